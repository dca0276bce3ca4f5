"""The parent's ticks, with a pool that only lists its processes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from predict_worker.core.job import JobState, NewJob, RowRange, new_job_id
from predict_worker.core.ports import ClaimLimits, Lane, Loss, ModelEntry
from predict_worker.node.board import Board
from predict_worker.node.handover import Handover
from predict_worker.node.parent import MAX_FAILED_STARTS, Parent, PoolProcess, check_fork
from predict_worker.node.sweeper import Sweeper
from predict_worker.store.config import StoreConfig
from predict_worker.store.memory import MemoryJobStore
from predict_worker.store.memory_catalogue import MemoryCatalogue, MemoryWakeups
from tests.unit.world import worker

NODE = "node"


@dataclass
class FakeProcess:
    pid: int
    index: int


@dataclass
class FakePool:
    _pool: Sequence[PoolProcess]
    maintained: int = 0
    dead: set[int] = field(default_factory=set)

    def maintain_pool(self) -> None:
        self.maintained += 1
        self._pool = [process for process in self._pool if process.pid not in self.dead]


class LostChildren(Sweeper):
    """Only writes down what it is told."""

    def __init__(self) -> None:
        self.lost: list[tuple[str, Loss]] = []

    def child_lost(self, consumer: str, loss: Loss) -> None:
        self.lost.append((consumer, loss))


@pytest.fixture
def parent() -> Parent:
    return Parent(NODE, Board(), MemoryCatalogue(), LostChildren(), Handover(MemoryWakeups(), tuple))


def lost(parent: Parent) -> list[tuple[str, Loss]]:
    assert isinstance(parent.sweeper, LostChildren)
    return parent.sweeper.lost


def test_dead_child_is_noticed_once_at_the_next_tick(parent: Parent) -> None:
    pool = FakePool([FakeProcess(11, 0), FakeProcess(12, 1)])
    parent.tick(pool)
    pool.dead.add(11)
    parent.tick(pool)
    parent.tick(pool)
    assert lost(parent) == [("node:11", Loss.CHILD)]
    assert pool.maintained == 3


def test_child_over_its_hard_limit_is_killed_and_reported_as_such(parent: Parent) -> None:
    victim = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        pool = FakePool([FakeProcess(victim.pid, 3)])
        parent.tick(pool)
        parent.board.limit(3, timeout_s=-1)
        parent.tick(pool)
        assert victim.wait(10) == -9
        pool.dead.add(victim.pid)
        parent.tick(pool)
        assert lost(parent) == [(f"node:{victim.pid}", Loss.TIMEOUT)]
        assert not parent.board.overdue(3)
    finally:
        victim.kill()
        victim.wait()


def test_children_that_keep_failing_to_start_stop_the_node(parent: Parent) -> None:
    """However they ended: nobody but the parent notices one that was killed."""
    pool = FakePool([FakeProcess(11, 0)])
    for _ in range(MAX_FAILED_STARTS):
        parent.board.starting(0)
        assert parent.tick(pool)
        pool.dead.add(11)
        parent.tick(pool)
        pool = FakePool([FakeProcess(11, 0)])
    parent.board.starting(0)
    assert not parent.tick(pool)
    parent.board.clear(0)  # one that started well
    assert parent.tick(pool)


def test_deaths_of_loads_are_not_failed_starts(parent: Parent) -> None:
    """Else a few models that end their process would end the node, before each is left alone."""
    for number in range(2 * MAX_FAILED_STARTS):
        parent.board.starting(0)
        assert parent.tick(FakePool([FakeProcess(os.getpid(), 0)]))
        with pytest.raises(SystemExit), parent.board.loads.loading(0, f"model{number}"):
            raise SystemExit
        assert parent.tick(FakePool([FakeProcess(os.getpid() + 1, 0)]))


def test_child_that_dies_later_has_not_failed_to_start(parent: Parent) -> None:
    for _ in range(2 * MAX_FAILED_STARTS):
        parent.board.starting(0)
        parent.board.clear(0)
        parent.board.limit(0, timeout_s=9)
        parent.board.end(0)
    parent.board.starting(0)
    assert parent.tick(FakePool([FakeProcess(11, 0)]))


def test_fork_is_refused_once_tensorflow_has_run() -> None:
    def modules(initialized: bool) -> dict[str, object]:
        context = SimpleNamespace(_context=SimpleNamespace(_initialized=initialized))
        return {"tensorflow.python.eager.context": context}

    check_fork({})
    check_fork(modules(initialized=False))
    with pytest.raises(SystemExit, match="parent process"):
        check_fork(modules(initialized=True))


def test_dead_childs_jobs_run_again_and_a_worker_is_woken() -> None:
    store, catalogue, wakeups = MemoryJobStore(StoreConfig()), MemoryCatalogue(), MemoryWakeups()
    sweeper = Sweeper(store, catalogue, wakeups, NODE, lambda: ["digits"])
    new = NewJob(new_job_id(0), "digits", (RowRange(0, 1, b"x"),))
    accepted = store.submit(new)
    assert accepted.wakeup
    store.step(Lane("digits", "node:11", accepted.wakeup), (), ClaimLimits(8, 1000))
    sweeper.recover("node:11", Loss.CHILD)
    ((model, token),) = wakeups.sent
    assert model == "digits"
    (entry,) = store.step(Lane("digits", "node:12", token), (), ClaimLimits(8, 1000)).entries
    assert (entry.job_id, entry.attempt) == (new.id, 2)


def test_lapsed_node_is_recovered_by_the_one_that_sweeps() -> None:
    now = 1_000_000
    store, wakeups = MemoryJobStore(StoreConfig()), MemoryWakeups()
    catalogue = MemoryCatalogue(lambda: now)
    first = Sweeper(store, catalogue, MemoryWakeups(), "first", lambda: ["digits"])
    second = Sweeper(store, catalogue, wakeups, "second", lambda: ["digits"])
    accepted = store.submit(NewJob(new_job_id(0), "digits", (RowRange(0, 1, b"x"),)))
    assert accepted.wakeup
    first.sweep()
    second.sweep()
    store.step(Lane("digits", "first:11", accepted.wakeup), (), ClaimLimits(8, 1000))
    now += 60_000_000  # the first node is gone
    second.sweep()
    assert catalogue.lapsed_nodes() == ()
    ((_, token),) = wakeups.sent
    (entry,) = store.step(Lane("digits", "second:12", token), (), ClaimLimits(8, 1000)).entries
    assert entry.attempt == 2
    assert store.get(accepted.job.id).state is JobState.RUNNING


# ---------------------------------------------------------------- what exists


def test_model_that_leaves_the_repository_is_said_to_be_gone_once(parent: Parent) -> None:
    catalogue = parent._catalogue
    parent.publish([ModelEntry("digits", (1,)), ModelEntry("cats", (1,))])
    parent.publish([ModelEntry("cats", (1,))])
    cats, digits = catalogue.read().models
    assert (digits.versions, digits.gone, cats.gone) == ((), True, False)
    catalogue.publish_models([ModelEntry("digits", (1,))])  # another node has it
    parent.publish([ModelEntry("cats", (1,))])
    assert not catalogue.read().models[1].gone


def test_label_moves_when_its_target_is_loaded(parent: Parent) -> None:
    catalogue = parent._catalogue

    def published(target: int) -> tuple[tuple[str, int], ...]:
        parent.publish([ModelEntry("digits", (1,), (("stable", target),))])
        return catalogue.read().models[0].labels

    catalogue.beat(worker(("digits", 1)), 60)
    assert published(1) == published(2) == (("stable", 1),)
    catalogue.beat(worker(("digits", 1), ("digits", 2)), 60)
    assert published(2) == published(2) == (("stable", 2),)
    catalogue.leave("n1:1")
    assert published(3) == (("stable", 3),), "nobody holds the other either"


def test_children_are_killed_at_once_all_or_those_that_do_not_start(parent: Parent) -> None:
    children = [subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) for _ in range(2)]
    try:
        pool = FakePool([FakeProcess(child.pid, index) for index, child in enumerate(children)])
        parent.board.starting(1)
        parent.board.starting(1)
        parent.kill(pool, failing=True)
        assert children[1].wait(10) == -9
        assert children[0].poll() is None
        parent.kill(pool)  # also those that are no more
        assert children[0].wait(10) == -9
        parent.kill(None)
    finally:
        for child in children:
            child.kill()
            child.wait()
