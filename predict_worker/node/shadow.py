"""A second version answers a copy of the traffic, in a thread of its own; only differences are kept."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np

from ..batch import run_batch
from ..codec import unpack
from ..codec.dtypes import Array
from ..core.errors import ModelNotFound
from ..core.ports import Entry, Outcome, ShadowCounts
from ..registry import LoadedModel, ModelRegistry
from ..repository.manifest import ShadowPolicy
from ..service.admission import share_of

log = logging.getLogger(__name__)

MAX_WAITING = 2
"""Batches that wait for the shadow; more are left out, and counted."""


@dataclass(frozen=True, slots=True)
class _Copy:
    name: str
    version: int
    tolerance: float
    answered: Sequence[tuple[Entry, Outcome]]


class Shadow:
    """``policy`` gives the version that shadows a model, if any, and how.

    What ran is kept back by :meth:`ran` until :meth:`published`: the answer of the model is never late, or
    lost, for what its shadow does.
    """

    def __init__(
        self, registry: ModelRegistry, policy: Callable[[str], tuple[int, ShadowPolicy] | None]
    ) -> None:
        self._registry, self._policy = registry, policy
        self._kept: list[_Copy] = []
        self._waiting: queue.Queue[_Copy] = queue.Queue(MAX_WAITING)
        self._thread: threading.Thread | None = None
        self._counting = threading.Lock()
        self._counts: dict[tuple[str, int], ShadowCounts] = {}

    @property
    def counts(self) -> tuple[ShadowCounts, ...]:
        with self._counting:
            return tuple(self._counts.values())

    def ran(self, name: str, outcomes: Sequence[Outcome]) -> None:
        chosen = self._policy(name)
        if chosen is None:
            return
        version, policy = chosen
        answered = [
            (outcome.entry, outcome)
            for outcome in outcomes
            if outcome.payload is not None
            and outcome.version != version
            and share_of(f"shadow {outcome.entry.job_id}") < policy.share
        ]
        if answered:
            self._kept.append(_Copy(name, version, policy.tolerance, answered))

    def published(self) -> None:
        """What ran so far has been answered: its shadow may run."""
        kept, self._kept = self._kept, []
        for copy in kept:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="shadow", daemon=True)
                self._thread.start()
            try:
                self._waiting.put_nowait(copy)
            except queue.Full:
                self._count(copy, dropped=len(copy.answered))

    def _run(self) -> None:
        while True:
            copy = self._waiting.get()
            try:
                self.compare(copy)
            except Exception:
                # The thread must outlive what it did not foresee.
                log.exception("shadow of %s", copy.name)

    def compare(self, copy: _Copy) -> None:
        with suppress(ModelNotFound):  # it is not loaded yet, or any more
            model = self._registry.get(copy.name, copy.version)
            self._compare(copy, model)

    def _compare(self, copy: _Copy, model: LoadedModel) -> None:
        shadows = run_batch(lambda _: model, [entry for entry, _ in copy.answered])
        for (_, outcome), shadow in zip(copy.answered, shadows, strict=True):
            if shadow.payload is None:
                self._count(copy, failed=1)
                continue
            difference = _difference(unpack(outcome.payload or b""), unpack(shadow.payload))
            different = difference is None or difference > copy.tolerance
            self._count(copy, compared=1, different=int(different), max_difference=difference or 0.0)

    def _count(self, copy: _Copy, max_difference: float = 0.0, **more: int) -> None:
        key = copy.name, copy.version
        with self._counting:
            counts = self._counts.get(key, ShadowCounts(*key))
            added = {field: getattr(counts, field) + number for field, number in more.items()}
            largest = max(counts.max_difference, max_difference)
            self._counts[key] = replace(counts, **added, max_difference=largest)


def _difference(answer: dict[str, Array], shadow: dict[str, Array]) -> float | None:
    """The largest between two numbers at the same place; None where they differ otherwise: in the outputs
    that there are, in a shape, in a text, or where one alone is a number at all."""
    if answer.keys() != shadow.keys():
        return None
    largest = 0.0
    for name, array in answer.items():
        other = shadow[name]
        if array.shape != other.shape or (array.dtype == object) != (other.dtype == object):
            return None
        if array.dtype == object:
            if not np.array_equal(array, other):
                return None
        elif array.size:
            same = (array == other) | ((array != array) & (other != other))
            gaps = np.abs(np.where(same, 0, array).astype(complex) - np.where(same, 0, other).astype(complex))
            if not np.isfinite(gaps).all():
                return None
            largest = max(largest, float(gaps.max()))
    return largest
