"""ONNX models, by ONNX Runtime."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("tensorflow")  # the helper that writes the other formats too

from onnx import TensorProto, helper  # noqa: E402

from predict_worker.core.errors import ModelLoadError  # noqa: E402
from predict_worker.core.spec import TensorSpec  # noqa: E402
from predict_worker.repository.artefact import Artefact, digest_of  # noqa: E402
from predict_worker.repository.manifest import Manifest  # noqa: E402
from predict_worker.runtimes.base import runtime_for  # noqa: E402
from tests.runtimes.artefacts import onnx as write_case  # noqa: E402
from tests.runtimes.artefacts import onnx_bytes  # noqa: E402


def load(path: Path) -> Any:
    return runtime_for("onnx").load(Artefact("onnx", path, ""), Manifest())


def floats(name: str, *shape: Any) -> Any:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def a_list_of_dictionaries(name: str) -> Any:
    scores = helper.make_map_type_proto(
        TensorProto.INT64, helper.make_tensor_type_proto(TensorProto.FLOAT, [])
    )
    return helper.make_value_info(name, helper.make_sequence_type_proto(scores))


ZIP = helper.make_node("ZipMap", ["x"], ["maps"], domain="ai.onnx.ml", classlabels_int64s=[0, 1])


def test_an_output_that_is_no_tensor_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    best = helper.make_node("ArgMax", ["x"], ["label"], axis=1, keepdims=0)
    label = helper.make_tensor_value_info("label", TensorProto.INT64, ["rows"])
    outputs = [label, a_list_of_dictionaries("maps")]
    (tmp_path / "model.onnx").write_bytes(onnx_bytes([ZIP, best], [floats("x", "rows", 2)], outputs))
    model = load(tmp_path / "model.onnx")
    assert model.signatures["serving_default"].outputs == (TensorSpec("label", "int64", (-1,)),)
    x = np.array([[0.1, 0.9], [0.8, 0.2]], np.float32)
    assert {n: a.tolist() for n, a in model.run("serving_default", {"x": x}).items()} == {"label": [1, 0]}
    assert "output maps is left out: it is a seq(map(int64,tensor(float)))" in caplog.text


def test_a_model_without_any_tensor_to_answer_is_refused(tmp_path: Path) -> None:
    content = onnx_bytes([ZIP], [floats("x", "rows", 2)], [a_list_of_dictionaries("maps")])
    (tmp_path / "model.onnx").write_bytes(content)
    with pytest.raises(ModelLoadError, match=r"no output of model\.onnx"):
        load(tmp_path / "model.onnx")


def test_weights_in_a_file_of_their_own_are_found_and_count_in_the_digest(tmp_path: Path) -> None:
    weights = np.arange(512, dtype=np.float32).reshape(2, 256)
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    content = onnx_bytes(nodes, [floats("x", "rows", 2)], [floats("y", "rows", 256)], w=weights)
    path = tmp_path / "model.onnx"
    model = onnx.load_from_string(content)
    model.graph.initializer[0].raw_data = weights.tobytes()
    model.graph.initializer[0].ClearField("float_data")
    onnx.save_model(model, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    assert (tmp_path / "weights.bin").stat().st_size == weights.nbytes
    x = np.ones((3, 2), np.float32)
    np.testing.assert_allclose(load(path).run("serving_default", {"x": x})["y"], x @ weights)

    before = digest_of("onnx", path)
    (tmp_path / "weights.bin").write_bytes(b"\0" * weights.nbytes)
    assert digest_of("onnx", path) != before


def test_a_string_that_is_no_text_fails_without_harm(tmp_path: Path) -> None:
    write_case("same", tmp_path / "1", ("string",))
    model = load(tmp_path / "1" / "model.onnx")
    with pytest.raises(UnicodeDecodeError):
        model.run("serving_default", {"in_string": np.array([b"\xff"], object)})
    answer = model.run("serving_default", {"in_string": np.array([b"ok"], object)})
    assert answer["out_string"].tolist() == [b"ok"]


def test_the_environment_sets_the_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_case("double", tmp_path / "1")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    options = load(tmp_path / "1" / "model.onnx")._session.get_session_options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (3, 1)


def test_a_child_forked_after_the_import_runs_models(tmp_path: Path) -> None:
    """A worker's parent imports the library; a session in the parent would hang its children."""
    write_case("double", tmp_path / "1")
    code = f"""
import os
from pathlib import Path
import numpy as np, onnxruntime
from predict_worker.repository.artefact import Artefact
from predict_worker.repository.manifest import Manifest
from predict_worker.runtimes.base import runtime_for
for _ in range(5):
    child = os.fork()
    if not child:
        path = Path({str(tmp_path)!r}) / "1" / "model.onnx"
        model = runtime_for("onnx").load(Artefact("onnx", path, ""), Manifest())
        answer = model.run("serving_default", {{"x": np.ones((64, 3), np.float32)}})
        os._exit(int(answer["y"].sum() != 384))
    assert os.waitpid(child, 0)[1] == 0
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, timeout=60)
