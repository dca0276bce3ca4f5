"""The parent's side of Celery's signals and steps."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from predict_worker import boot


class Parent:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def tick(self, pool: Any) -> bool:
        self.told.append(pool)
        return pool != "failing"

    def leave(self) -> None:
        self.told.append("leave")


@pytest.fixture
def parent(monkeypatch: pytest.MonkeyPatch) -> Parent:
    parent = Parent()
    monkeypatch.setattr(boot.Node, "parent", parent, raising=False)
    return parent


def worker(pool: str | None) -> Any:
    return SimpleNamespace(hostname="worker", exitcode=None, pool=SimpleNamespace(_pool=pool))


def test_tick_is_given_the_pool(parent: Parent) -> None:
    boot.Watch(None)._tick(worker("pool"))
    assert parent.told == ["pool"]


def test_worker_that_runs_alone_has_no_children_to_watch(parent: Parent) -> None:
    boot.Watch(None)._tick(worker(None))
    assert parent.told == []


def test_worker_whose_children_never_start_ends(parent: Parent) -> None:
    failing = worker("failing")
    with pytest.raises(SystemExit):
        boot.Watch(None)._tick(failing)
    assert failing.exitcode == 1


def test_cold_shutdown_signs_the_node_off(parent: Parent) -> None:
    """Celery tells nobody of it but the steps."""
    boot.Watch(None).terminate(worker("pool"))
    assert parent.told == ["leave"]
