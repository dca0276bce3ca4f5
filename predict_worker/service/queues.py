"""What operators ask of a model's queue: pause, drain, resume, purge."""

from __future__ import annotations

import logging

from ..catalogue import Catalogue
from ..core.ports import JobStore, Mode, QueueStats, Wakeups
from ..core.wake import wake

log = logging.getLogger(__name__)


class Queues:
    """Every method raises ModelNotFound and StoreUnavailable."""

    def __init__(self, store: JobStore, catalogue: Catalogue, wakeups: Wakeups) -> None:
        self._store, self._catalogue, self._wakeups = store, catalogue, wakeups

    def stats(self, model: str) -> QueueStats:
        return self._store.stats(self._catalogue.entry(model).name)

    def set_mode(self, model: str, mode: Mode) -> None:
        """Stays until it is set again, over restarts of everything."""
        name = self._catalogue.entry(model).name
        for token in self._store.set_mode(name, mode):
            wake(self._store, self._wakeups, name, token)
        log.warning("model %s is %s", name, mode)

    def purge(self, model: str) -> int:
        """Cancel all jobs that no worker is at work on; returns how many."""
        name = self._catalogue.entry(model).name
        count = self._store.purge(name)
        log.warning("model %s: %d jobs purged", name, count)
        return count
