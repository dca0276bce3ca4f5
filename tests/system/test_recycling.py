"""Children that have done their part are replaced: nothing is lost, nothing runs twice, nothing loops."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.system.conftest import StartStack
from tests.system.stack import Stack, lines, until

LEAKY = """
from predict_worker.core.spec import Signature, TensorSpec
X, Y = TensorSpec("x", "float32", (-1, 2)), TensorSpec("y", "float32", (-1, 2))
SIGNATURES = (Signature("serving_default", (X,), (Y,)),)
KEPT = []

def load(directory):
    def run(x):
        KEPT.append(bytearray(LEAK))
        return {"y": x * 2}
    return run
"""


@pytest.fixture
def leaky(tmp_path: Path) -> Path:
    """A model that keeps 2 MB of each batch."""
    (tmp_path / "leaky" / "1").mkdir(parents=True)
    source = LEAKY.replace("LEAK)", "b'x' * (2 << 20))")
    (tmp_path / "leaky" / "1" / "model.py").write_text(source)
    return tmp_path


def pids(stack: Stack) -> set[int]:
    return {worker["pid"] for worker in stack.workers()}


def test_children_are_replaced_after_their_batches_and_nothing_is_lost(
    new_stack: StartStack, leaky: Path
) -> None:
    environment = {"PREDICT_WORKER_MAX_TASKS": "20", "PREDICT_WORKER_SLICE_MS": "50"}
    stack = new_stack(leaky, PREDICT_WORKER_ALLOW_PYTHON_MODELS="1", **environment)
    stack.start(children=2)
    first = pids(stack)

    def ask(number: int) -> dict[str, object]:
        response = stack.predict("leaky", [[float(number), 0.0]], wait_s=20)
        assert response.status_code == 200, lines(response)
        return dict(response.json())

    with ThreadPoolExecutor(4) as pool:
        jobs = list(pool.map(ask, range(300)))
    assert [job["outputs"] for job in jobs] == [{"y": [[2.0 * n, 0.0]]} for n in range(300)]
    assert {job["attempts"] for job in jobs} == {1}
    until(lambda: pids(stack) - first, what="another child")
    log = stack.log("worker")
    assert log.count("another takes its place") >= 2
    assert "they run again" not in log
    assert "WorkerLostError" not in log


def test_a_child_whose_memory_grows_is_replaced(new_stack: StartStack, leaky: Path) -> None:
    stack = new_stack(leaky, PREDICT_WORKER_ALLOW_PYTHON_MODELS="1", PREDICT_WORKER_MAX_MEMORY_MB="200")
    stack.start(children=1)
    first = pids(stack)
    deadline = time.monotonic() + 60
    while pids(stack) & first or not pids(stack):
        assert time.monotonic() < deadline, "it was not replaced"
        job = stack.predict("leaky", [[1.0, 2.0]], wait_s=20).json()
        assert (job["state"], job["attempts"]) == ("succeeded", 1)
    assert "MB of its own: another takes its place" in stack.log("worker")


def test_a_child_that_is_too_large_once_loaded_is_told_of_and_serves(
    new_stack: StartStack, leaky: Path
) -> None:
    stack = new_stack(leaky, PREDICT_WORKER_ALLOW_PYTHON_MODELS="1", PREDICT_WORKER_MAX_MEMORY_MB="1")
    stack.start(children=1)
    first = pids(stack)
    assert "MAX_MEMORY_MB, which is 1, has no effect" in stack.log("worker")
    until(lambda: stack.workers()[0]["age_s"] >= 0 and stack.predict("leaky", [[1.0, 2.0]], wait_s=5))
    assert pids(stack) == first
