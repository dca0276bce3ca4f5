"""When a job that waits may be done."""

from __future__ import annotations

import time
from collections.abc import Callable

from ..core.errors import StoreUnavailable
from ..core.job import Job, JobState
from ..core.ports import JobStore, QueueStats

NO_STATS = QueueStats(waiting=0, running=0, entry_ms=0.0, ready_children=0)
STATS_MAX_AGE_S = 1.0


class Estimate:
    """Reads the statistics of a model's queue at most once a second."""

    def __init__(self, store: JobStore, clock: Callable[[], float] = time.monotonic) -> None:
        self._store, self._clock = store, clock
        self._stats: dict[str, tuple[float, QueueStats]] = {}

    def retry_after_s(self, job: Job) -> float:
        """The work ahead of the job, over the workers that share it; at least a second."""
        if job.state is not JobState.QUEUED:
            return 1.0
        stats = self._recent(job.model)
        ahead = stats.waiting if job.queue_position is None else job.queue_position
        return max(1.0, ahead * stats.entry_ms / 1000 / max(1, stats.ready_children))

    def _recent(self, model: str) -> QueueStats:
        """Of a store that is away nothing is known."""
        read_at, stats = self._stats.get(model, (float("-inf"), NO_STATS))
        now = self._clock()
        if now - read_at > STATS_MAX_AGE_S:
            self._stats[model] = now, stats  # meanwhile the other threads use the old ones
            try:
                stats = self._store.stats(model)
            except StoreUnavailable:
                stats = NO_STATS
            self._stats[model] = now, stats
        return stats
