"""Every kind of artefact in one worker; and a worker of small runtimes, which has no TensorFlow."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.system.conftest import StartStack
from tests.system.stack import ROOT, Stack, lines, until

KINDS = ("saved_model", "keras", "h5", "tflite", "onnx", "python")
_MAKE = """
import sys
from pathlib import Path
from tests.runtimes.artefacts import MAKERS
for kind, make in MAKERS.items():
    make("double", Path(sys.argv[1]) / kind / "1")
"""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of each kind, by the name of the kind: x float32 [-1, 3] -> y = 2 x."""
    pytest.importorskip("onnx")
    root = tmp_path_factory.mktemp("kinds")
    subprocess.run([sys.executable, "-c", _MAKE, str(root)], cwd=ROOT, check=True, capture_output=True)
    return root


def answers(stack: Stack, kind: str) -> None:
    response = stack.predict(kind, [[1.0, 2.0, 3.0]] * 2, wait_s=20)
    assert response.status_code == 200, lines(response)
    job = response.json()
    assert (job["state"], job["artefact"]) == ("succeeded", kind)
    assert list(job["outputs"].values()) == [[[2.0, 4.0, 6.0]] * 2]


def test_one_worker_serves_every_kind_also_after_its_child_died(new_stack: StartStack, models: Path) -> None:
    stack = new_stack(models, PREDICT_WORKER_ALLOW_PYTHON_MODELS="1")
    stack.redis.start()
    stack.web()
    worker = stack.worker()
    stack.await_ready()
    for kind in KINDS:
        answers(stack, kind)
    (child,) = stack.children(worker)
    child.kill()
    until(lambda: [c.pid for c in stack.children(worker)] not in ([], [child.pid]), 5, "a replacement")
    for kind in KINDS:
        answers(stack, kind)


def test_worker_of_small_runtimes_has_no_tensorflow(new_stack: StartStack, models: Path) -> None:
    stack = new_stack(models)
    stack.redis.start()
    stack.web()
    worker = stack.worker(queues="model.tflite,model.onnx")
    stack.await_ready()
    for kind in ("tflite", "onnx"):
        answers(stack, kind)
    for process in (psutil.Process(worker.pid), *stack.children(worker)):
        mapped = " ".join(m.path for m in process.memory_maps())
        assert "litert" in mapped
        assert "onnxruntime" in mapped
        assert "tensorflow" not in mapped


def test_python_model_that_is_not_allowed_says_so(new_stack: StartStack, models: Path) -> None:
    stack = new_stack(models)
    stack.redis.start()
    stack.web()
    stack.worker(queues="model.python,model.onnx")
    stack.await_ready()
    job = stack.predict("python", [[1.0, 2.0, 3.0]], wait_s=20).json()
    assert (job["state"], job["error"]["code"]) == ("failed", "model_unavailable")
    assert "ALLOW_PYTHON_MODELS" in job["error"]["detail"]
