"""A child that has done its part ends between two tasks, and its parent forks another in its place."""

from __future__ import annotations

import logging
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from billiard import current_process
from billiard.pool import EX_RECYCLE

log = logging.getLogger(__name__)

MEASURE_S = 5.0
SHORTEST_LIFE_S = 10.0
"""What fills its memory sooner is replaced no faster than that."""
_OWN = re.compile(r"^Private_\w+:\s+(\d+) kB", re.MULTILINE)


def own_memory_mb() -> float | None:
    """What would be free without this process: pages that it shares with its parent are not counted (in what
    Celery measures they are). None where the system does not say."""
    try:
        rollup = Path("/proc/self/smaps_rollup").read_text()
    except OSError:
        return None
    return sum(map(int, _OWN.findall(rollup))) / 1024


class Recycling:
    """The bounds of one child, made once it has loaded its models; a bound of 0 is none."""

    def __init__(
        self,
        max_batches: int,
        max_memory_mb: float,
        memory_mb: Callable[[], float | None] = own_memory_mb,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_batches, self._max_memory_mb = max_batches, max_memory_mb
        self._memory_mb, self._monotonic = memory_mb, monotonic
        self._measure_at = monotonic() + SHORTEST_LIFE_S
        if max_memory_mb:
            loaded_mb = memory_mb()
            if loaded_mb is None:
                self._ignore("this system does not say how much memory a process has of its own")
            elif loaded_mb >= max_memory_mb:
                # Its replacement would be, too, and would replace itself for ever.
                self._ignore(f"with its models loaded a child has {loaded_mb:.0f} MB already")

    def _ignore(self, why: str) -> None:
        log.warning("MAX_MEMORY_MB, which is %g, has no effect: %s", self._max_memory_mb, why)
        self._max_memory_mb = 0

    def due(self, batches: int) -> bool:
        """Whether a child that has run so many batches is to be replaced."""
        if 0 < self._max_batches <= batches:
            log.info("this child has run %d batches: another takes its place", batches)
            return True
        now = self._monotonic()
        if not self._max_memory_mb or now < self._measure_at:
            return False
        self._measure_at = now + MEASURE_S
        used_mb = self._memory_mb() or 0.0
        if used_mb > self._max_memory_mb:
            log.info("this child has %.0f MB of its own: another takes its place", used_mb)
            return True
        return False


def leave_when(due: Callable[[], bool]) -> None:
    """To be called in a new child: its pool's loop is left, before it waits for the next task, once ``due``
    says so. To Celery this is a child that has reached ``worker_max_tasks_per_child``: what its parent has
    written to it meanwhile goes to another."""
    pool_worker: Any = getattr(current_process(), "_target", None)
    if not hasattr(pool_worker, "wait_for_job"):  # the worker runs alone (solo): nobody would replace it
        log.warning("MAX_TASKS and MAX_MEMORY_MB have no effect in this pool")
        return
    receive = pool_worker.wait_for_job

    def wait_for_job() -> Any:
        if due():
            sys.exit(EX_RECYCLE)
        return receive()

    pool_worker.wait_for_job = wait_for_job
