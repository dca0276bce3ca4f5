"""Looks after what is due: retries whose time has come, and wake-ups that were lost."""

from __future__ import annotations

import logging
import threading

from ..core.errors import PredictionError
from ..core.hooks import HookStore
from ..core.ports import Wakeups
from ..core.wake import wake_hooks

log = logging.getLogger(__name__)

LOOK_S = 0.5


class Knocker:
    """A thread in the parent of every worker that takes deliveries: without one, nobody need be told."""

    def __init__(self, store: HookStore, wakeups: Wakeups) -> None:
        self._store, self._wakeups = store, wakeups
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="knocker", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(timeout=5)

    def look(self) -> None:
        """Raises StoreUnavailable."""
        for token in self._store.due_wakeups():
            wake_hooks(self._wakeups, token)

    def _run(self) -> None:
        while not self._stopping.wait(LOOK_S):
            try:
                self.look()
            except PredictionError as error:
                log.warning("deliveries that are due: %s", error)
            except Exception:
                # The thread must outlive what it did not foresee: nobody else does its work.
                log.exception("deliveries that are due")
