"""LiteRT models: quantised, without signatures, and without TensorFlow."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("ai_edge_litert")
tf = pytest.importorskip("tensorflow")

from ai_edge_litert import interpreter as litert  # noqa: E402

from predict_worker.core.spec import TensorSpec  # noqa: E402
from predict_worker.repository.artefact import Artefact  # noqa: E402
from predict_worker.repository.manifest import Manifest  # noqa: E402
from predict_worker.runtimes.base import parent_imports, runtime_for  # noqa: E402
from tests.runtimes.artefacts import tflite  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")

WEIGHTS = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)


def load(path: Path) -> Any:
    return runtime_for("tflite").load(Artefact("tflite", path, ""), Manifest())


def dense(x: Any) -> Any:
    return {"y": tf.nn.relu(x @ WEIGHTS)}


def converted(folder: Path, prepare: Callable[[Any], None]) -> Path:
    module = tf.Module()
    module.f = tf.function(dense, input_signature=[tf.TensorSpec((None, 4), tf.float32, name="x")])
    tf.saved_model.save(module, str(folder / "saved"), signatures=module.f)
    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder / "saved"))
    prepare(converter)
    path = folder / "model.tflite"
    path.write_bytes(converter.convert())
    return path


def samples() -> Any:
    return ([np.random.default_rng(n).normal(size=(1, 4)).astype(np.float32)] for n in range(50))


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_quantised_tensors_go_in_and_out_as_the_model_declares_them(tmp_path: Path, dtype: str) -> None:
    def quantise(converter: Any) -> None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = samples
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.as_dtype(dtype)

    path = converted(tmp_path, quantise)
    model = load(path)
    signature = model.signatures["serving_default"]
    assert signature.inputs == (TensorSpec("x", dtype, (-1, 4)),)
    assert signature.outputs == (TensorSpec("y", dtype, (-1, 3)),)

    details = litert.Interpreter(str(path))
    (in_scale, in_zero), (out_scale, out_zero) = (
        tensors[0]["quantization"] for tensors in (details.get_input_details(), details.get_output_details())
    )
    x = np.random.default_rng(99).normal(size=(5, 4)).astype(np.float32)
    limits = np.iinfo(dtype)
    quantised = np.clip(np.round(x / in_scale) + in_zero, limits.min, limits.max).astype(dtype)
    answer = model.run("serving_default", {"x": quantised})["y"]
    assert answer.dtype == dtype
    np.testing.assert_allclose((answer.astype(float) - out_zero) * out_scale, dense(x)["y"], atol=0.15)


def test_weights_alone_may_be_quantised(tmp_path: Path) -> None:
    def quantise(converter: Any) -> None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]

    model = load(converted(tmp_path, quantise))
    assert model.signatures["serving_default"].inputs == (TensorSpec("x", "float32", (-1, 4)),)
    x = np.ones((2, 4), np.float32)
    np.testing.assert_allclose(model.run("serving_default", {"x": x})["y"], dense(x)["y"], atol=0.05)


def test_a_model_without_signatures_has_its_tensors_names(tmp_path: Path) -> None:
    function = tf.function(
        lambda x: x * 2.0, input_signature=[tf.TensorSpec((None, 3), tf.float32, name="x")]
    )
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()])
    path = tmp_path / "old.tflite"
    path.write_bytes(converter.convert())
    model = load(path)
    signature = model.signatures["serving_default"]
    assert signature.inputs == (TensorSpec("x", "float32", (-1, 3)),)
    (output,) = signature.outputs
    for rows in (1, 4, 2):
        x = np.arange(rows * 3, dtype=np.float32).reshape(rows, 3)
        np.testing.assert_array_equal(model.run("serving_default", {"x": x})[output.name], 2 * x)


def test_a_shape_that_it_refuses_leaves_the_model_well(tmp_path: Path) -> None:
    model = load(converted(tmp_path, lambda converter: None))
    with pytest.raises((RuntimeError, ValueError)):
        model.run("serving_default", {"x": np.ones((2, 5), np.float32)})
    x = np.ones((2, 4), np.float32)
    np.testing.assert_allclose(model.run("serving_default", {"x": x})["y"], dense(x)["y"], rtol=1e-5)


def test_a_file_that_is_overwritten_does_not_change_the_loaded_model(tmp_path: Path) -> None:
    table = tf.constant(np.arange(1, 301, dtype=np.int32))  # read from where it lies at each call
    function = tf.function(
        lambda x: {"y": tf.gather(table, x)}, input_signature=[tf.TensorSpec((None,), tf.int32, name="x")]
    )
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()])
    path = tmp_path / "model.tflite"
    path.write_bytes(converter.convert())
    model = load(path)
    with path.open("r+b") as file:
        file.write(b"\0" * path.stat().st_size)
    signature = model.signatures["serving_default"]
    answer = model.run("serving_default", {signature.inputs[0].name: np.array([0, 299], np.int32)})
    assert answer[signature.outputs[0].name].tolist() == [1, 300]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="counts the threads as Linux tells them")
def test_the_environment_sets_the_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, x = converted(tmp_path, lambda converter: None), np.ones((64, 4), np.float32)

    def more_threads(wanted: int) -> int:
        before = set(Path("/proc/self/task").iterdir())
        monkeypatch.setenv("OMP_NUM_THREADS", str(wanted))
        models.append(load(path))
        models[-1].run("serving_default", {"x": x})
        return len(set(Path("/proc/self/task").iterdir()) - before)

    models: list[Any] = []
    assert [more_threads(wanted) for wanted in (1, 3)] == [0, 2]


def test_serving_it_needs_no_tensorflow(tmp_path: Path) -> None:
    """The whole way of a worker's child: read, load, warm, run."""
    tflite("double", tmp_path / "m" / "1")
    code = f"""
import sys
from pathlib import Path
import numpy as np
from predict_worker.node import local
from predict_worker.registry import ModelRegistry
from predict_worker.repository.directory import ModelRepository
model = ModelRegistry(ModelRepository(Path({str(tmp_path)!r}))).load("m", 1)
print(model.run("serving_default", {{"x": np.ones((1, 3), np.float32)}})["y"].tolist())
sys.exit("tensorflow" in sys.modules)
"""
    ran = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=60)
    assert ran.stdout.strip() == b"[[2.0, 2.0, 2.0]]"
    assert parent_imports(["tflite"]) == {"ai_edge_litert.interpreter"}
