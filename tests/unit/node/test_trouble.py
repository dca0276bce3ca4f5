"""A node whose children fail to start shows it, as long as they do."""

from __future__ import annotations

import pytest

from predict_worker.core.errors import StoreUnavailable
from predict_worker.core.ports import Heartbeat
from predict_worker.node.board import Board
from predict_worker.node.handover import Handover
from predict_worker.node.parent import Parent
from predict_worker.node.sweeper import NODE_TTL_S, Sweeper
from predict_worker.store.config import StoreConfig
from predict_worker.store.memory import MemoryJobStore
from predict_worker.store.memory_catalogue import MemoryCatalogue, MemoryWakeups
from tests.contract.scene import eventually
from tests.unit.node.test_parent import FakePool, FakeProcess

POOL = FakePool([FakeProcess(11, 0), FakeProcess(12, 1)])


@pytest.fixture
def parent() -> Parent:
    catalogue = MemoryCatalogue()
    sweeper = Sweeper(MemoryJobStore(StoreConfig()), catalogue, MemoryWakeups(), "n1", tuple)
    parent = Parent("n1", Board(), catalogue, sweeper, Handover(MemoryWakeups(), tuple))
    parent.tick(POOL)
    return parent


def trouble(parent: Parent) -> Heartbeat:
    heartbeat = parent.trouble()
    assert heartbeat is not None
    return heartbeat


def test_a_first_start_is_no_trouble(parent: Parent) -> None:
    parent.board.starting(0)
    assert parent.trouble() is None


def test_failed_starts_are_counted_with_the_last_reason(parent: Parent) -> None:
    parent.board.starting(1)
    parent.board.failed(1, "OSError: é" + "x" * 300)
    parent.board.starting(1)
    assert trouble(parent).error.startswith("children fail to start, 1 in a row: OSError: éxxx")
    parent.board.starting(1)
    parent.board.failed(1, "ValueError: no")
    assert trouble(parent).error == "children fail to start, 2 in a row: ValueError: no"
    assert trouble(parent).state == "unhealthy"
    parent.board.clear(1)
    assert parent.trouble() is None


def test_a_start_that_a_signal_ends_is_trouble_too(parent: Parent) -> None:
    parent.board.starting(0)
    parent.board.end(0)
    parent.board.starting(0)
    assert trouble(parent).error == "children fail to start, 1 in a row: their process ended"


def test_trouble_is_shown_as_long_as_it_lasts(parent: Parent) -> None:
    catalogue = parent._catalogue
    parent.board.starting(0)
    parent.board.failed(0, "ValueError: no")
    parent.board.starting(0)
    parent.start()
    try:
        eventually(lambda: [w.state for w in catalogue.read().workers] == ["unhealthy"])
        (shown,) = catalogue.read().workers
        assert "ValueError: no" in shown.error
        parent.board.clear(0)
        eventually(lambda: catalogue.read().workers == (), timeout_s=NODE_TTL_S - 1)
    finally:
        parent.sweeper.stop()


def test_a_store_that_takes_no_trouble_does_not_end_the_sweeper() -> None:
    class Refusing(MemoryCatalogue):
        tried = 0

        def beat(self, heartbeat: Heartbeat, ttl_s: float) -> None:
            self.tried += 1
            raise StoreUnavailable("away")

    catalogue = Refusing()
    sweeper = Sweeper(MemoryJobStore(StoreConfig()), catalogue, MemoryWakeups(), "n1", tuple)
    sweeper.start(lambda: Heartbeat("n1:1", "host", 1, "unhealthy", 0))
    try:
        eventually(lambda: catalogue.tried >= 2)
    finally:
        sweeper.stop()
