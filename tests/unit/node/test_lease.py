"""The thread that renews what a batch holds."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from predict_worker.core.errors import StoreUnavailable
from predict_worker.core.ports import Entry, Lane
from predict_worker.node.lease import Lease
from predict_worker.store.config import StoreConfig
from predict_worker.store.memory import MemoryJobStore

LANE = Lane("digits", "node:1", "")


class Store(MemoryJobStore):
    """Each renewal fails in another way, until none is left."""

    def __init__(self, *failures: Exception) -> None:
        super().__init__(StoreConfig())
        self.failures = list(failures)
        self.renewed = threading.Semaphore(0)

    def renew(self, lane: Lane, entries: Sequence[Entry]) -> None:
        if self.failures:
            raise self.failures.pop()
        self.renewed.release()


def test_what_is_held_is_renewed_and_nothing_else() -> None:
    store = Store()
    lease = Lease(store, lease_s=0.03)
    assert not store.renewed.acquire(timeout=0.05)
    with lease.holding(LANE, ()):
        assert all(store.renewed.acquire(timeout=5) for _ in range(3))
    while store.renewed.acquire(blocking=False):
        pass
    assert not store.renewed.acquire(timeout=0.05)


def test_renewals_go_on_after_failures_of_any_kind() -> None:
    store = Store(StoreUnavailable("away"), ValueError("unforeseen"))
    with Lease(store, lease_s=0.03).holding(LANE, ()):
        assert store.renewed.acquire(timeout=5)
