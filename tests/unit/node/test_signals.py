"""What a child tells a project's apps, and what its heartbeats say meanwhile."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.dispatch import Signal

from predict_worker import signals
from predict_worker.core.ports import Heartbeat
from predict_worker.node import child as child_module
from predict_worker.node.board import Board
from predict_worker.node.child import Child, Place
from predict_worker.node.served import Served
from predict_worker.registry import ModelRegistry
from predict_worker.repository.directory import ModelRepository
from predict_worker.store.config import StoreConfig
from predict_worker.store.memory import MemoryJobStore
from predict_worker.store.memory_catalogue import MemoryCatalogue, MemoryWakeups
from tests.contract.scene import eventually
from tests.unit.models import FunctionRunnable


class Runtime:
    """Every artefact doubles, but those of a model that is to fail."""

    def load(self, artefact: Any, manifest: Any) -> FunctionRunnable:
        if "fails" in str(artefact.path):
            raise ValueError("no model")
        return FunctionRunnable(lambda x: {"y": x * 2})


class Beats(MemoryCatalogue):
    """Remembers the states, one after another."""

    def __init__(self) -> None:
        super().__init__()
        self.states: list[str] = []

    def beat(self, heartbeat: Heartbeat, ttl_s: float) -> None:
        super().beat(heartbeat, ttl_s)
        if [heartbeat.state] != self.states[-1:]:
            self.states.append(heartbeat.state)


class Scene:
    def __init__(self, folder: Path, *models: str) -> None:
        for name in models:
            (folder / name / "1").mkdir(parents=True)
            (folder / name / "1" / "saved_model.pb").touch()
        self.board, self.beats = Board(), Beats()
        served = Served(ModelRepository(folder), None)
        served.scan()
        store = MemoryJobStore(StoreConfig())
        registry = ModelRegistry(served.repository, lambda kind: Runtime())
        place = Place("n1", 0, self.board)
        self.child = Child(place, store, self.beats, MemoryWakeups(), served, registry, lease_s=60, slice_s=1)


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    monkeypatch.setattr(child_module, "BEAT_S", 0.01)
    return Scene(tmp_path, "m")


@contextmanager
def heard(*wanted: Signal) -> Iterator[list[dict[str, Any]]]:
    """What is sent meanwhile; the first receiver of each signal raises."""
    told: list[dict[str, Any]] = []

    def broken(**_: Any) -> None:
        raise RuntimeError("a receiver's own")

    def hear(signal: Signal, sender: Any, **facts: Any) -> None:
        told.append({"signal": signal, **facts})

    with ExitStack() as stack:
        for signal in wanted:
            for receiver in (broken, hear):
                signal.connect(receiver, weak=False)
                stack.callback(signal.disconnect, receiver)
        yield told


def test_models_are_ready_before_the_child_says_so(scene: Scene) -> None:
    states: list[list[str]] = []

    def receive(**_: Any) -> None:
        states.append([*scene.beats.states])

    with heard(signals.models_ready) as told:
        signals.models_ready.connect(receive)
        scene.child.start()
    (fact,) = told
    assert fact["models"] == {"m": (1,)}
    assert fact["consumer"].startswith("n1:")
    assert states == [["starting"]]
    assert scene.beats.states == ["starting", "ready"]
    scene.child.stop()


def test_receiver_that_raises_is_logged(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    with heard(signals.models_ready), caplog.at_level(logging.ERROR):
        scene.child.start()
    assert "a receiver's own" in caplog.text
    assert scene.beats.read().workers[0].state == "ready"
    scene.child.stop()


def test_draining_is_told_once_and_shown_until_the_child_stops(scene: Scene) -> None:
    with heard(signals.worker_draining) as told:
        scene.child.start()
        assert told == []
        scene.board.drain()
        eventually(lambda: len(told) == 1 and scene.beats.states[-1] == "draining")
        scene.child.stop()
    assert len(told) == 1
    assert scene.beats.states == ["starting", "ready", "draining", "stopped"]
    assert scene.beats.read().workers == ()


def test_child_that_only_stops_has_drained_too(scene: Scene) -> None:
    with heard(signals.worker_draining) as told:
        scene.child.start()
        scene.child.stop()
    assert len(told) == 1
    assert scene.beats.states == ["starting", "ready", "stopped"]


def test_child_without_any_model_that_loads_is_unhealthy(tmp_path: Path) -> None:
    scene = Scene(tmp_path, "fails")
    with heard(signals.models_ready) as told:
        scene.child.start()
    assert told[0]["models"] == {}
    (worker,) = scene.beats.read().workers
    assert (worker.state, worker.models[0].state) == ("unhealthy", "END")
    assert "no model" in worker.models[0].error
    scene.child.stop()


def test_one_model_that_loads_makes_a_child_ready(tmp_path: Path) -> None:
    scene = Scene(tmp_path, "fails", "fine")
    scene.child.start()
    assert scene.beats.states == ["starting", "ready"]
    scene.child.stop()
