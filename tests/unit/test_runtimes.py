"""Which library loads what, and with how many threads."""

import os
import subprocess
import sys

import pytest

from predict_worker.core.errors import ModelLoadError
from predict_worker.runtimes.base import parent_imports, runtime_for
from predict_worker.runtimes.threads import ONE, VARIABLES, cores, set_threads, threads_per_child


def test_a_kind_without_runtime_is_named():
    with pytest.raises(ModelLoadError, match="kind pickle"):
        runtime_for("pickle")


def test_the_parent_imports_only_what_its_models_need():
    assert parent_imports(["python"]) == frozenset()
    assert parent_imports(["saved_model", "keras", "h5"]) == {"tensorflow"}
    assert parent_imports(["tflite", "onnx"]) == {"ai_edge_litert.interpreter", "onnxruntime"}


@pytest.mark.parametrize("kind", ["keras", "tflite", "onnx"])
def test_a_library_that_is_not_installed_is_named(kind, monkeypatch):
    for name in ("ai_edge_litert.interpreter", "keras", "onnxruntime"):
        monkeypatch.setitem(sys.modules, name, None)
    for name in ("keras", "litert", "onnx"):
        monkeypatch.delitem(sys.modules, f"predict_worker.runtimes.{name}", raising=False)
    with pytest.raises(ModelLoadError, match=f"the runtime for {kind} cannot be imported"):
        runtime_for(kind)


@pytest.mark.parametrize(
    "module", ["codec", "inputs", "repository.directory", "runtimes.base", "registry", "batch"]
)
def test_tensorflow_is_not_imported_before_a_model_is_loaded(module):
    code = f"import predict_worker.{module}, sys; sys.exit('tensorflow' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_quota_bounds_the_cores(tmp_path):
    quota = tmp_path / "cpu.max"
    affinity = cores(quota)
    assert affinity == len(os.sched_getaffinity(0))
    for text, expected in (
        ("max 100000", affinity),
        ("50000 100000", 1),
        ("100000 100000", 1),
        ("9900000 100000", affinity),
    ):
        quota.write_text(text)
        assert cores(quota) == expected


def test_a_child_has_a_thread_at_the_least():
    assert threads_per_child(10**6) == 1


def test_what_the_environment_says_stays(monkeypatch):
    for name in (ONE, *VARIABLES):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    set_threads(2)
    assert [os.environ.pop(name) for name in (ONE, *VARIABLES)] == ["1", "2", "7"]
