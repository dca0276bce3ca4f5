"""What a child has answered, by model and version, for those who ask workers how they do."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import astuple, dataclass

from ..core.ports import Outcome, ServedCounts


@dataclass(slots=True)
class _Tally:
    """The counts of :class:`ServedCounts`, in its order, while they grow."""

    succeeded: int = 0
    failed: int = 0
    rows: int = 0
    batches: int = 0
    queue_ms: float = 0.0
    predict_ms: float = 0.0
    last_us: int = 0

    def add(self, outcome: Outcome) -> None:
        if outcome.error is not None:
            self.failed += 1
            return
        self.succeeded += 1
        self.rows += outcome.entry.rows
        self.queue_ms += outcome.timings.queue_ms or 0
        self.predict_ms += outcome.timings.predict_ms or 0


class Counts:
    """The loop over batches counts, the heartbeat reads."""

    def __init__(self) -> None:
        self._counting = threading.Lock()
        self._tallies: dict[tuple[str, int], _Tally] = {}

    @property
    def all(self) -> tuple[ServedCounts, ...]:
        with self._counting:
            return tuple(ServedCounts(*key, *astuple(tally)) for key, tally in self._tallies.items())

    def ran(self, model: str, outcomes: Sequence[Outcome]) -> None:
        """A batch. What is to run again, or ran in no version, counts nowhere."""
        now_us, answered = time.time_ns() // 1000, set[int]()
        with self._counting:
            for outcome in outcomes:
                version = outcome.entry.version if outcome.version is None else outcome.version
                if version is None or outcome.retry_in_s is not None:
                    continue
                tally = self._tallies.get((model, version))
                if tally is None:
                    tally = self._tallies[model, version] = _Tally()
                tally.add(outcome)
                tally.last_us = now_us
                if outcome.error is None and version not in answered:
                    answered.add(version)
                    tally.batches += 1
