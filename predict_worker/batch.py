"""Claimed entries stacked into few calls of the model, each entry with its own outcome.

One bad entry fails alone: transforms run on each by itself, what cannot be stacked is left out, and a
call that fails for several entries is repeated for each of them.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise

import numpy as np

from .codec import pack, unpack_raw
from .codec.dtypes import Array
from .core.errors import CorruptPayload, InvalidRequest, ModelNotFound, PredictionError, Retryable
from .core.job import JobError, Timings
from .core.ports import Entry, Outcome
from .core.spec import BatchPolicy, ModelSpec, RetryPolicy, Signature
from .declared import shape_fits
from .inputs import Arrays as Given
from .inputs import Bound, RawInputs, bind, check_outputs, size_bytes, split
from .registry import LoadedModel

MAX_DETAIL = 1000
"""Characters of an exception's message that a job keeps."""

Arrays = dict[str, Array]


@dataclass(slots=True)
class _Ready:
    """An entry whose inputs fit its model. ``signature`` is the model's own, ``batched`` as it says;
    ``raw``: the arrays have yet to pass the transform, part by part."""

    position: int
    entry: Entry
    model: LoadedModel
    signature: Signature
    batched: bool
    arrays: Arrays
    rows: int
    size: int  # bytes
    raw: bool = False

    @property
    def key(self) -> object:
        """Entries of one key may share a call."""
        if not self.batched:
            return self.position
        shapes = tuple([(name, array.shape[1:]) for name, array in self.arrays.items()])
        return self.model.spec.version, self.signature.name, shapes


class _Failed(Exception):
    """Why an entry has no answer. ``retry``: how it is tried again, if at all."""

    def __init__(self, code: str, title: str, detail: str, retry: RetryPolicy | None = None) -> None:
        super().__init__(detail)
        self.error, self.retry = JobError(code, title, detail[:MAX_DETAIL]), retry


def run_batch(resolve: Callable[[int | None], LoadedModel], entries: Sequence[Entry]) -> list[Outcome]:
    """One outcome for each entry, in order. ``resolve`` gives a version of the model, or the newest
    for None, and raises ModelNotFound."""
    outcomes: dict[int, Outcome] = {}
    fitting: dict[object, int] = {}
    held: list[_Ready] = []
    held_bytes = 0
    for position, entry in enumerate(entries):
        try:
            ready = _prepare(resolve, position, entry, fitting)
        except _Failed as failed:
            outcomes[position] = _failure(entry, failed)
            continue
        # What was small as claimed may be large once decoded: no more is held than one call takes.
        if held and held_bytes + ready.size > ready.model.spec.batch.max_bytes:
            outcomes |= _run_all(held)
            held, held_bytes = [], 0
        held.append(ready)
        held_bytes += ready.size
    outcomes |= _run_all(held)
    return [outcomes[position] for position in range(len(entries))]


def _run_all(entries: Sequence[_Ready]) -> dict[int, Outcome]:
    """Outcomes by position, in as few calls as the policy allows."""
    groups: dict[object, list[_Ready]] = {}
    for ready in entries:
        groups.setdefault(ready.key, []).append(ready)
    return {
        ready.position: outcome
        for group in groups.values()
        for call in _calls(group, group[0].model.spec.batch)
        for ready, outcome in zip(call, _run(call), strict=True)
    }


def _prepare(
    resolve: Callable[[int | None], LoadedModel], position: int, entry: Entry, fitting: dict[object, int]
) -> _Ready:
    """Raises _Failed. Inputs checked at submit are checked again: the version may be another one now."""
    if entry.payload is None:
        raise _Failed("payload_gone", "Inputs no longer stored", "the job's inputs have been removed")
    model = _resolve(resolve, entry)
    spec = model.spec
    try:
        signature = spec.signatures.get(entry.signature_name)
        if signature is None:
            raise InvalidRequest(
                "signature_name", f"one of {', '.join(spec.signatures)}", entry.signature_name
            )
        if entry.outputs:
            check_outputs(signature, entry.outputs)
        bound = _bound(spec, signature, unpack_raw(entry.payload), fitting)
    except InvalidRequest as error:
        raise _unfit(entry, error) from None
    except CorruptPayload as error:
        raise _Failed(error.code, error.title, str(error)) from None
    own = model.runnable.signatures[signature.name]
    batched, transforms = own.batched, model.steps.pre is not None
    raw_yet = transforms and batched and bound.rows > spec.batch.max_rows
    arrays = _transformed(model, entry, bound.arrays) if transforms and not raw_yet else bound.arrays
    rows = len(next(iter(arrays.values()))) if batched else bound.rows
    return _Ready(position, entry, model, own, batched, arrays, rows, size_bytes(arrays), raw_yet)


def _bound(spec: ModelSpec, signature: Signature, raw: RawInputs, fitting: dict[object, int]) -> Bound:
    """Raises InvalidRequest. ``fitting``: rows by the forms that were found to fit."""
    form = _form(spec, signature, raw.arrays) if isinstance(raw, Given) and not spec.inputs_finite else None
    if isinstance(raw, Given) and form in fitting:
        return Bound(dict(raw.arrays), fitting[form])
    # What the store has accepted is not refused for its size here.
    bound = bind(signature, raw, inputs_finite=spec.inputs_finite, max_bytes=sys.maxsize)
    if isinstance(raw, Given) and form is not None and [*bound.arrays] == [*raw.arrays]:
        fitting[form] = bound.rows
    return bound


def _form(spec: ModelSpec, signature: Signature, arrays: Mapping[str, Array]) -> object:
    """All that is asked of numbers; None for texts, which are looked at one by one."""
    form: list[object] = [spec.version, signature.name]
    for name, array in arrays.items():
        if array.dtype.hasobject:
            return None
        form += (name, array.dtype, array.shape)
    return tuple(form)


def _transformed(model: LoadedModel, entry: Entry, arrays: Arrays) -> Arrays:
    """As the model itself takes them. Raises _Failed."""
    try:
        return model.steps.before(entry.signature_name, arrays)
    except InvalidRequest as error:
        raise _unfit(entry, error) from None
    except PredictionError as error:
        raise _Failed(error.code, error.title, str(error), _retry(error, model)) from error


def _retry(error: BaseException | None, model: LoadedModel) -> RetryPolicy | None:
    """The model's policy, for an error that is marked retryable or comes of one that is."""
    while error is not None and not isinstance(error, Retryable):
        error = error.__cause__
    return None if error is None else model.spec.retry


def _unfit(entry: Entry, error: InvalidRequest) -> _Failed:
    where = f", in row range {entry.range_index} of the job" if entry.range_index else ""
    return _Failed("invalid_input", "Inputs do not fit the model", f"{error}{where}")


def _resolve(resolve: Callable[[int | None], LoadedModel], entry: Entry) -> LoadedModel:
    """The version that submit resolved, else the newest, unless the caller named a version."""
    try:
        return resolve(entry.version)
    except ModelNotFound as error:
        if entry.pinned:
            raise _Failed("version_gone", "Model version no longer served", str(error)) from None
    try:
        return resolve(None)
    except PredictionError as error:
        raise _Failed(error.code, error.title, str(error)) from None


def _calls(group: Sequence[_Ready], policy: BatchPolicy) -> Iterator[list[_Ready]]:
    """The group in order, as many rows and bytes together as the policy allows; one entry at the least."""
    call: list[_Ready] = []
    rows = size = 0
    for ready in group:
        if call and (rows + ready.rows > policy.max_rows or size + ready.size > policy.max_bytes):
            yield call
            call, rows, size = [], 0, 0
        call.append(ready)
        rows, size = rows + ready.rows, size + ready.size
    yield call


def _run(call: Sequence[_Ready]) -> list[Outcome]:
    started = time.monotonic()
    try:
        outputs, batch_rows = _predict(call)
    except _Failed as failed:
        if len(call) == 1:
            return [_failure(call[0].entry, failed)]
        return [outcome for ready in call for outcome in _run([ready])]
    predict_ms = round((time.monotonic() - started) * 1000, 3)
    if len(call) == 1:
        return [_outcome(call[0], outputs, predict_ms, batch_rows)]
    ends = accumulate((ready.rows for ready in call), initial=0)
    return [
        _outcome(ready, {name: array[start:stop] for name, array in outputs.items()}, predict_ms, batch_rows)
        for ready, (start, stop) in zip(call, pairwise(ends), strict=True)
    ]


def _predict(call: Sequence[_Ready]) -> tuple[Arrays, int]:
    """Outputs of all rows, and the rows of the (last) call of the model. Raises _Failed.

    An entry that nobody could split at submit, the model being unknown then, is split here.
    """
    first, policy = call[0], call[0].model.spec.batch
    rows = sum(ready.rows for ready in call)
    try:
        inputs = first.arrays if len(call) == 1 else _stacked([ready.arrays for ready in call])
        if not first.batched:
            return first.model.run(first.signature.name, inputs), rows
        if rows <= policy.max_rows and sum(ready.size for ready in call) <= policy.max_bytes:
            return _answered(first, inputs, rows), rows
        seen = first.model.spec.signatures[first.signature.name]
        parts = split(seen, inputs, policy.max_rows, policy.max_bytes)
        answers = [_answered(first, arrays, stop - start) for start, stop, arrays in parts]
        return _stacked(answers), parts[-1][1] - parts[-1][0]
    except _Failed:
        raise
    except Exception as error:
        told = f"{type(error).__name__}: {error}"
        raise _Failed("model_error", "Model failed", told, _retry(error, first.model)) from error


def _answered(ready: _Ready, inputs: Arrays, rows: int) -> Arrays:
    """One call of the model, padded if its policy says so; as many rows of every output as of input, each
    of the shape that the signature declares."""
    if ready.raw:
        inputs = _transformed(ready.model, ready.entry, inputs)
    wanted = min((size for size in ready.model.spec.batch.pad_to if size >= rows), default=rows)
    if wanted > rows:
        inputs = {name: _padded(array, wanted - rows) for name, array in inputs.items()}
    outputs = ready.model.run(ready.signature.name, inputs)
    declared = {spec.name: spec.shape for spec in ready.signature.outputs}
    for name, array in outputs.items():
        if array.ndim == 0 or len(array) != wanted:
            detail = f"output {name} has shape {array.shape} for {wanted} rows of input"
            raise _Failed("wrong_answer_count", "Model answered another number of rows", detail)
        if not shape_fits(array.shape, declared.get(name)):
            detail = f"output {name} has shape {array.shape}, declared is {declared[name]}"
            raise _Failed("wrong_answer_shape", "Model answered in another shape than it declares", detail)
    return outputs if wanted == rows else {name: array[:rows] for name, array in outputs.items()}


def _stacked(parts: Sequence[Arrays]) -> Arrays:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _padded(array: Array, more: int) -> Array:
    """The last row again, so often: a row that the model takes, unlike zeros perhaps."""
    return np.concatenate([array, np.repeat(array[-1:], more, axis=0)])


def _outcome(ready: _Ready, outputs: Arrays, predict_ms: float, batch_rows: int) -> Outcome:
    entry, spec = ready.entry, ready.model.spec
    payload, failed = None, None
    try:
        if spec.outputs_finite:
            _check_finite(outputs)
        outputs = ready.model.steps.after(ready.signature.name, outputs)
        payload = pack({name: outputs[name] for name in entry.outputs} if entry.outputs else outputs)
    except _Failed as error:
        failed = error
    except PredictionError as error:
        failed = _Failed(error.code, error.title, str(error), _retry(error, ready.model))
    except (KeyError, TypeError) as wrong:  # an output that the signature does not have, or no tensor
        failed = _Failed("model_error", "Model failed", f"{type(wrong).__name__}: {wrong}")
    timings = Timings(entry.queue_ms, predict_ms, batch_rows)
    outcome = Outcome(entry, payload, None, timings, spec.version, spec.digest, spec.artefact)
    return outcome if failed is None else _without_answer(outcome, failed)


def _check_finite(outputs: Arrays) -> None:
    for name, array in outputs.items():
        if array.dtype.kind in "fc" and not np.isfinite(array).all():
            row = int(np.argwhere(~np.isfinite(array))[0][0]) if array.ndim else 0
            raise _Failed("output_not_finite", "Answer is not finite", f"output {name}, row {row}")


def _failure(entry: Entry, failed: _Failed) -> Outcome:
    return _without_answer(Outcome(entry, timings=Timings(queue_ms=entry.queue_ms)), failed)


def _without_answer(outcome: Outcome, failed: _Failed) -> Outcome:
    if failed.retry is None:
        return replace(outcome, error=failed.error)
    share = random.random()  # noqa: S311 - spreads retries, guards nothing
    pause_s = failed.retry.pause_s(outcome.entry.retries, share)
    return replace(outcome, error=failed.error, retry_in_s=pause_s, given_up=pause_s is None)
