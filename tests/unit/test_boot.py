"""The parent's side of Celery's signals and steps."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from celery.worker import state
from kombu.asynchronous import Hub

from predict_worker import boot
from predict_worker.node.board import Board
from predict_worker.node.handover import Handover
from predict_worker.node.heartbeat import Heartbeat
from predict_worker.store.memory_catalogue import MemoryWakeups


class Parent:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.board = Board()
        self.handover = Handover(MemoryWakeups(), tuple)

    def tick(self, pool: Any) -> bool:
        self.told.append(pool)
        return pool != "failing"

    def kill(self, pool: Any, failing: bool = False) -> None:
        self.told.append("kill failing" if failing else "kill")

    def leave(self) -> None:
        self.told.append("leave")


@pytest.fixture
def parent(monkeypatch: pytest.MonkeyPatch) -> Parent:
    parent = Parent()
    monkeypatch.setattr(boot.Node, "parent", parent, raising=False)
    monkeypatch.setattr(boot.Node, "heartbeat", Turns(), raising=False)
    return parent


class Turns(Heartbeat):
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def turned(self) -> None:
        self.told.append("turned")

    def left(self) -> None:
        self.told.append("left")


def turns() -> list[str]:
    heartbeat = boot.Node.heartbeat
    assert isinstance(heartbeat, Turns)
    return heartbeat.told


def worker(pool: str | None) -> Any:
    return SimpleNamespace(hostname="worker", exitcode=None, pool=SimpleNamespace(_pool=pool))


def test_tick_is_given_the_pool(parent: Parent) -> None:
    boot.Watch(None)._tick(worker("pool"))
    assert parent.told == ["pool"]
    assert turns() == ["turned"]


def test_worker_that_runs_alone_has_no_children_to_watch(parent: Parent) -> None:
    boot.Watch(None)._tick(worker(None))
    assert parent.told == []
    assert turns() == []


def test_a_worker_that_drains_is_not_expected_to_turn_its_loop(parent: Parent) -> None:
    boot.drain()
    boot.Watch(None)._tick(worker("pool"))
    assert turns() == ["left"]
    assert parent.told == ["pool"]


def test_a_loop_that_is_closed_is_not_expected_to_turn(parent: Parent) -> None:
    hub = Hub()
    boot.Watch(None).register_with_event_loop(worker("pool"), hub)
    hub.close()
    assert turns() == ["left"]


def test_worker_whose_children_never_start_ends(parent: Parent) -> None:
    failing = worker("failing")
    with pytest.raises(SystemExit):
        boot.Watch(None)._tick(failing)
    assert failing.exitcode == 1
    assert parent.told == ["failing", "kill failing"]


def test_cold_shutdown_signs_the_node_off(parent: Parent) -> None:
    """Celery tells nobody of it but the steps."""
    boot.Watch(None).terminate(worker("pool"))
    assert parent.told == ["leave"]


def test_children_are_killed_in_a_cold_shutdown_alone(
    parent: Parent, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped: list[bool] = []
    pool = SimpleNamespace(_pool="pool")
    for cold in (None, True):
        monkeypatch.setattr(state, "should_terminate", cold)
        boot.Watch(None)._stop(pool, lambda: stopped.append(True))
        assert parent.told == (["kill"] if cold else [])
    assert len(stopped) == 2
