"""Keeps a running batch's entries leased: a thread, since the batch itself holds the main one."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ..core.errors import PredictionError
from ..core.ports import Entry, JobStore, Lane

log = logging.getLogger(__name__)


class Lease:
    """Renews what is held three times a lease."""

    def __init__(self, store: JobStore, lease_s: float) -> None:
        self._store, self._pause_s = store, lease_s / 3
        self._lock = threading.Lock()
        self._held: tuple[Lane, Sequence[Entry]] | None = None
        threading.Thread(target=self._run, name="lease", daemon=True).start()

    @contextmanager
    def holding(self, lane: Lane, entries: Sequence[Entry]) -> Iterator[None]:
        self._held = (lane, entries)
        try:
            yield
        finally:
            # Not while a renewal is under way: it would revive what is being published.
            with self._lock:
                self._held = None

    def _run(self) -> None:
        pause = threading.Event()
        while not pause.wait(self._pause_s):
            with self._lock:
                if self._held is None:
                    continue
                try:
                    self._store.renew(*self._held)
                except PredictionError as error:
                    log.warning("lease not renewed: %s", error)
                except Exception:
                    # The thread must outlive what it did not foresee: all later batches need it.
                    log.exception("lease not renewed")
