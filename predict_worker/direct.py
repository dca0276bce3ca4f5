"""A prediction without a job: checked, split and batched as a job is, its errors raised."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from .batch import run_batch
from .codec import join_ranges
from .codec.dtypes import Array
from .core.errors import PredictionFailed
from .core.job import RowRange
from .core.ports import Entry
from .registry import LoadedModel
from .service import PredictRequest
from .service.admission import row_ranges

Resolve = Callable[[int | None], LoadedModel]


def run_request(
    resolve: Resolve,
    request: PredictRequest,
    max_bytes: int,
    limited: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> dict[str, Array]:
    """Outputs by name. ``resolve`` is as in :func:`~predict_worker.batch.run_batch`; ``max_bytes``
    bounds the inputs; ``limited`` surrounds each batch.

    Raises InvalidRequest, PayloadTooLarge, ModelNotFound, PredictionFailed.
    """
    model = resolve(request.ref.version)

    def same(_: int | None) -> LoadedModel:
        return model  # for all batches, whatever is loaded meanwhile

    payloads: list[bytes] = []
    for index, part in enumerate(row_ranges(request, model.spec, max_bytes)):
        with limited():
            payloads.append(_payload(same, _entry(request, index, part)))
    return join_ranges(payloads)


def _payload(resolve: Resolve, entry: Entry) -> bytes:
    (outcome,) = run_batch(resolve, [entry])
    if outcome.error is not None:
        raise PredictionFailed(f"{outcome.error.title} ({outcome.error.code}): {outcome.error.detail}")
    if outcome.payload is None:
        raise AssertionError("an outcome holds a payload or an error")
    return outcome.payload


def _entry(request: PredictRequest, index: int, part: RowRange) -> Entry:
    return Entry(
        id="",
        job_id="",
        range_index=index,
        rows=part.rows,
        version=None,
        pinned=True,
        signature_name=request.signature_name,
        outputs=request.outputs,
        attempt=1,
        queue_ms=0.0,
        payload=part.payload,
    )
