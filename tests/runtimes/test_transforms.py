"""Transforms around models of real libraries: their layouts and dtypes, and a vocabulary of Keras'."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")
pytest.importorskip("onnx")
pytest.importorskip("ai_edge_litert")

import keras  # noqa: E402
from onnx import TensorProto, helper  # noqa: E402

from predict_worker.codec import Columnar  # noqa: E402
from predict_worker.core.spec import ModelRef  # noqa: E402
from predict_worker.direct import run_request  # noqa: E402
from predict_worker.public import raw_inputs  # noqa: E402
from predict_worker.registry import LoadedModel, ModelRegistry  # noqa: E402
from predict_worker.repository.directory import ModelRepository  # noqa: E402
from predict_worker.service import PredictRequest  # noqa: E402
from tests.pictures import plain  # noqa: E402
from tests.runtimes.artefacts import onnx_bytes  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def version(tmp_path: Path) -> Path:
    """Where a version of the model ``m`` goes."""
    folder = tmp_path / "m" / "1"
    folder.mkdir(parents=True)
    return folder


def load(version: Path, model_toml: str) -> LoadedModel:
    (version.parent / "model.toml").write_text(model_toml)
    return ModelRegistry(ModelRepository(version.parents[1])).load("m", 1)


def predict(model: LoadedModel, inputs: Any) -> dict[str, Any]:
    request = PredictRequest(ModelRef("m"), raw_inputs(inputs, None))
    return dict(run_request(lambda _: model, request, 1 << 20))


def test_an_onnx_model_has_its_channels_first(version: Path) -> None:
    mean = helper.make_node("ReduceMean", ["x"], ["y"], axes=[2, 3], keepdims=0)
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 3, 4, 6])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", 3])
    (version / "model.onnx").write_bytes(onnx_bytes([mean], [x], [y]))
    model = load(version, "[image]\nscale = '-1..1'\n[top_k]\nk = 1")
    found = predict(model, [plain((255, 0, 0), (9, 9), "RGB"), plain((0, 0, 255), (6, 4), "RGB", "WEBP")])
    assert found["labels"].tolist() == [[b"0"], [b"2"]]
    np.testing.assert_allclose(found["scores"], [[1], [1]], atol=0.03)


def test_a_litert_model_takes_one_image_of_whole_numbers(version: Path) -> None:
    module = tf.Module()
    module.f = tf.function(
        lambda x: {"y": tf.reduce_mean(tf.cast(x, tf.float32), axis=(1, 2))},
        input_signature=[tf.TensorSpec((1, 4, 4, 3), tf.uint8, name="x")],
    )
    converter = tf.lite.TFLiteConverter.from_concrete_functions([module.f.get_concrete_function()], module)
    (version / "model.tflite").write_bytes(converter.convert())
    model = load(version, "[image]")
    assert model.spec.signatures["serving_default"].inputs[0].shape == (1, 4, 4, 3)
    (found,) = predict(model, [plain((255, 0, 10), (9, 9), "RGB")]).values()
    assert found.tolist() == [[255, 0, 10]]


def test_a_keras_model_of_open_size_takes_the_size_of_its_file(version: Path) -> None:
    x = keras.Input((None, None, 3), name="x")
    keras.Model(x, keras.layers.GlobalAveragePooling2D(name="y")(x)).save(version / "model.keras")
    model = load(version, "[image]\nheight = 5\nwidth = 7\nscale = '0..255'")
    (found,) = predict(model, [plain((200, 100, 0), (90, 90), "RGB")]).values()
    np.testing.assert_allclose(found, [[200, 100, 0]], atol=1)


TEXTS = ["The quick brown fox!", "the QUICK fox's den...", "", "nobody knows - them", "a b c d e f g h i j k"]


def test_texts_become_the_ids_that_keras_would_make_of_them(version: Path) -> None:
    layer = keras.layers.TextVectorization(output_sequence_length=6)
    layer.adapt(["the quick brown fox", "the foxs den is quick", "a b c d e f"])
    ids = keras.Input((6,), dtype="int64", name="ids")
    keras.Model(ids, keras.layers.Rescaling(1.0, dtype="int64", name="y")(ids)).save(version / "model.keras")
    vocabulary = "\n".join(layer.get_vocabulary())
    (version / "vocabulary.txt").write_text(vocabulary + "\n")
    model = load(version, "[tokenise]\nvocabulary = 'vocabulary.txt'")
    (found,) = predict(model, TEXTS).values()
    np.testing.assert_array_equal(found, layer(tf.constant(TEXTS)).numpy())
    request = PredictRequest(ModelRef("m"), Columnar([[1, 2, 3, 4, 5, 6]]))
    (native,) = run_request(lambda _: model, request, 1 << 20).values()
    assert native.tolist() == [[1, 2, 3, 4, 5, 6]]
