"""A child at work for the task predict."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from predict_worker.codec import Columnar
from predict_worker.core.errors import ModelLoadError, QueueFull
from predict_worker.core.ports import Heartbeat
from predict_worker.core.spec import ModelRef
from predict_worker.node import follower
from predict_worker.node.board import Board
from predict_worker.node.child import Child, Place
from predict_worker.node.served import Served
from predict_worker.registry import ModelRegistry
from predict_worker.repository.directory import ModelRepository
from predict_worker.service import PredictRequest
from predict_worker.store.config import StoreConfig
from predict_worker.store.memory_catalogue import MemoryCatalogue, MemoryWakeups
from tests.contract.scene import eventually
from tests.unit.models import FunctionRunnable
from tests.unit.world import Store

MAX_BYTES = 1000
REQUEST = PredictRequest(ModelRef("m"), Columnar([[1.0, 2.0]]))


class OneFunction:
    """A runtime for which every artefact is this function."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self._runnable = FunctionRunnable(lambda x: {"y": function(x)})

    def load(self, artefact: Any, manifest: Any) -> FunctionRunnable:
        return self._runnable


def started(repository: Path, board: Board, function: Callable[[Any], Any]) -> Child:
    """A child that serves the model ``m``, and whose store then goes away."""
    store, place = Store(StoreConfig()), Place("n1", 0, board)
    served = Served(ModelRepository(repository), ["m"])
    served.scan()
    registry = ModelRegistry(served.repository, lambda kind: OneFunction(function))
    child = Child(place, store, MemoryCatalogue(), MemoryWakeups(), served, registry, lease_s=60, slice_s=1)
    child.start()
    store.away.add("*")
    return child


def test_prediction_asks_no_store_and_runs_under_the_hard_limit(tmp_path: Path) -> None:
    (tmp_path / "m" / "1").mkdir(parents=True)
    (tmp_path / "m" / "1" / "saved_model.pb").touch()
    (tmp_path / "m" / "model.toml").write_text("timeout_s = 0.001")
    board = Board()

    overdue: list[bool] = []

    def outlive(x: Any) -> Any:
        time.sleep(0.002)
        overdue.append(board.overdue(0))
        return x

    child = started(tmp_path, board, outlive)
    assert child.predict(REQUEST, MAX_BYTES)["y"].tolist() == [[1.0, 2.0]]
    assert overdue[-1]
    assert not board.overdue(0)


def test_child_starts_though_a_full_store_takes_no_heartbeat(tmp_path: Path) -> None:
    """Else nobody would drain it."""

    class Full(MemoryCatalogue):
        def beat(self, heartbeat: Heartbeat, ttl_s: float) -> None:
            raise QueueFull("full")

    served = Served(ModelRepository(tmp_path), None)
    registry = ModelRegistry(served.repository, lambda kind: OneFunction(lambda x: x))
    place, store = Place("n1", 0, Board()), Store(StoreConfig())
    Child(place, store, Full(), MemoryWakeups(), served, registry, lease_s=60, slice_s=1).start()


def test_model_that_did_not_load_is_answered_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    child = started(tmp_path, Board(), lambda x: x)
    with pytest.raises(ModelLoadError, match="no version to offer"):
        child.predict(REQUEST, MAX_BYTES)


def test_prediction_waits_for_a_model_that_has_just_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower, "SCAN_S", 0.05)
    child = started(tmp_path, Board(), lambda x: x)
    with pytest.raises(ModelLoadError, match="no model 'm' in the repository"):
        child.predict(REQUEST, MAX_BYTES)
    (tmp_path / "m" / "1").mkdir(parents=True)
    (tmp_path / "m" / "1" / "saved_model.pb").touch()
    assert child.predict(REQUEST, MAX_BYTES)["y"].tolist() == [[1.0, 2.0]]


def test_version_is_unloaded_after_the_batch_that_runs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower, "SCAN_S", 0.05)
    monkeypatch.setattr(follower, "GRACE_S", 0.0)
    freed, running, go_on = threading.Event(), threading.Event(), threading.Event()
    monkeypatch.setattr(follower, "free", freed.set)

    def slow(x: Any) -> Any:
        if running.is_set():
            assert go_on.wait(10)
        return x

    (tmp_path / "m" / "1").mkdir(parents=True)
    (tmp_path / "m" / "1" / "saved_model.pb").touch()
    child = started(tmp_path, Board(), slow)
    running.set()
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(child.predict(REQUEST, MAX_BYTES)))
    thread.start()
    eventually(lambda: child._begun == 1)
    shutil.rmtree(tmp_path / "m")
    eventually(lambda: child._registry.names() == ())
    assert not freed.wait(0.2)
    go_on.set()
    assert freed.wait(5)
    thread.join(5)
    assert answers[0]["y"].tolist() == [[1.0, 2.0]]
