"""The sweeper beside stores that fail, in part or for a while."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from predict_worker.core.errors import PredictionError, QueueFull, StoreUnavailable
from predict_worker.core.job import NewJob, RowRange, new_job_id
from predict_worker.core.ports import Accepted, ClaimLimits, Lane, Loss, Swept
from predict_worker.node.sweeper import NODE_TTL_S, Sweeper
from predict_worker.store.config import StoreConfig
from predict_worker.store.memory import MemoryJobStore
from predict_worker.store.memory_catalogue import MemoryCatalogue, MemoryWakeups

MODEL = "digits"


class Catalogue(MemoryCatalogue):
    """Takes no sign of life while ``failure`` is set."""

    failure: PredictionError | None = None
    beats = 0

    def beat_node(self, node: str, ttl_s: float) -> None:
        if self.failure is not None:
            raise self.failure
        self.beats += 1
        super().beat_node(node, ttl_s)


class Store(MemoryJobStore):
    """``during`` a sweep of a model something may happen."""

    during: Callable[[str], object] = staticmethod(lambda model: None)

    def sweep(self, model: str) -> Swept:
        self.during(model)
        return super().sweep(model)


class Scene:
    """A clock for all, in seconds."""

    def __init__(self) -> None:
        self.now = 100.0
        self.store = Store(StoreConfig(), self.micros)
        self.catalogue = Catalogue(self.micros)
        self.wakeups = MemoryWakeups()
        self.sweeper = self.node("this")

    def node(self, name: str) -> Sweeper:
        return Sweeper(
            self.store, self.catalogue, self.wakeups, name, lambda: [MODEL, "words"], lambda: self.now
        )

    def micros(self) -> int:
        return int(self.now * 1e6)

    def submit(self, model: str = MODEL, deadline_s: float | None = None) -> Accepted:
        new = NewJob(new_job_id(0), model, (RowRange(0, 1, b"x"),), deadline_s=deadline_s)
        return self.store.submit(new)


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_nodes_are_not_taken_for_lost_because_the_store_was_away(scene: Scene) -> None:
    other = scene.node("other")
    scene.sweeper.sweep()
    other.sweep()
    token = scene.submit().wakeup
    assert token
    scene.store.step(Lane(MODEL, "other:1", token), (), ClaimLimits(1, 1))
    scene.catalogue.failure = StoreUnavailable("away")
    with pytest.raises(StoreUnavailable):
        scene.sweeper.sweep()
    scene.now += 2 * NODE_TTL_S
    with pytest.raises(StoreUnavailable):
        scene.sweeper.sweep()
    scene.catalogue.failure = None
    scene.sweeper.sweep()
    assert scene.store.stats(MODEL).running == 1
    other.sweep()
    scene.now += NODE_TTL_S - 1
    other.sweep()
    scene.now += 1.5
    scene.sweeper.sweep()
    assert scene.store.stats(MODEL).running == 1
    scene.now += NODE_TTL_S
    scene.sweeper.sweep()
    assert scene.store.stats(MODEL).running == 0


def test_full_store_is_swept_though_it_takes_no_sign_of_life(scene: Scene) -> None:
    scene.sweeper.sweep()
    scene.submit(deadline_s=1)
    scene.catalogue.failure = QueueFull("full")
    scene.now += 1.5
    scene.sweeper.sweep()
    assert scene.store.stats(MODEL).waiting == 0


def test_trouble_with_one_model_leaves_the_others_alone(scene: Scene) -> None:
    for model in (MODEL, "words"):
        scene.submit(model, deadline_s=1)
    swept: list[str] = []

    def fails_once(model: str) -> None:
        swept.append(model)
        if len(swept) == 1:
            raise ValueError("unforeseen")

    scene.store.during = fails_once
    scene.now += 2
    scene.sweeper.sweep()
    assert sorted(swept) == [MODEL, "words"]
    assert scene.store.stats(swept[1]).waiting == 0


def test_node_stays_alive_during_a_long_round(scene: Scene) -> None:
    def takes_long(_: str) -> None:
        scene.now += NODE_TTL_S - 1

    scene.store.during = takes_long
    scene.sweeper.sweep()
    assert scene.catalogue.lapsed_nodes() == ()
    assert scene.catalogue.beats == 2


def test_wakeup_that_could_not_be_sent_is_issued_again_by_the_next_sweep(scene: Scene) -> None:
    scene.submit()
    scene.wakeups.failing = True
    for _ in range(10):
        scene.now += 1
        scene.sweeper.sweep()
    scene.wakeups.failing = False
    scene.now += 0.5
    scene.sweeper.sweep()
    assert [model for model, _ in scene.wakeups.sent] == [MODEL]


def test_deaths_that_cannot_be_recovered_yet_do_not_stop_the_sweeps() -> None:
    class Unrecoverable(MemoryJobStore):
        def recover(self, model: str, consumer: str, loss: Loss) -> int:
            raise QueueFull("full")

    swept = threading.Semaphore(0)

    class Watched(MemoryCatalogue):
        def beat_node(self, node: str, ttl_s: float) -> None:
            swept.release()

    sweeper = Sweeper(Unrecoverable(StoreConfig()), Watched(), MemoryWakeups(), "this", lambda: [MODEL])
    sweeper.child_lost("this:1", Loss.CHILD)
    sweeper.start()
    try:
        assert all(swept.acquire(timeout=5) for _ in range(3))
    finally:
        sweeper.stop()
