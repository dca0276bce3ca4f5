"""Keras models: safe mode, names, and one trace for all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow")

import keras

from predict_worker.core.errors import ModelLoadError
from predict_worker.repository.artefact import Artefact
from predict_worker.repository.manifest import Manifest
from predict_worker.runtimes.base import runtime_for

pytestmark = pytest.mark.filterwarnings("ignore")

Reload = Callable[..., Any]
formats = pytest.mark.parametrize("suffix", ["keras", "h5"])


def load(path: Path) -> Any:
    kind = path.suffix[1:]
    return runtime_for(kind).load(Artefact(kind, path, ""), Manifest())


@pytest.fixture
def reload(tmp_path: Path) -> Reload:
    """Save a model, load it as a worker does."""

    def save(model: Any, suffix: str = "keras") -> Any:
        path = tmp_path / f"model.{suffix}"
        model.save(path)
        return load(path)

    return save


def names(model: Any) -> tuple[list[str], list[str]]:
    signature = model.signatures["serving_default"]
    return [spec.name for spec in signature.inputs], [spec.name for spec in signature.outputs]


@formats
def test_a_sequential_model_is_named_by_its_input_and_last_layer(reload: Reload, suffix: str) -> None:
    layers = [keras.Input((4,), name="measured"), keras.layers.Dense(3), keras.layers.Dense(2, name="score")]
    network = keras.Sequential(layers)
    model = reload(network, suffix)
    assert names(model) == (["measured"], ["score"])
    x = np.random.default_rng(1).normal(size=(5, 4)).astype(np.float32)
    answer = model.run("serving_default", {"measured": x})["score"]
    np.testing.assert_allclose(answer, network.predict(x, verbose=0), rtol=1e-5, atol=1e-6)


@formats
def test_dictionaries_of_inputs_and_outputs_keep_their_keys(reload: Reload, suffix: str) -> None:
    b, a = keras.Input((2,), name="b"), keras.Input((2,), name="a")
    outputs = {"z": keras.layers.Add(name="added")([a, b]), "y": keras.layers.Subtract(name="taken")([a, b])}
    model = reload(keras.Model({"b": b, "a": a}, outputs), suffix)
    assert sorted(names(model)[0]) == ["a", "b"]
    assert sorted(names(model)[1]) == ["y", "z"]
    given = {"a": np.full((1, 2), 5, np.float32), "b": np.full((1, 2), 3, np.float32)}
    answer = model.run("serving_default", given)
    assert (answer["z"].tolist(), answer["y"].tolist()) == ([[8, 8]], [[2, 2]])


def test_a_layer_of_several_outputs_gives_each_a_number(reload: Reload) -> None:
    x = keras.Input((None, 3), name="x")
    model = reload(keras.Model(x, keras.layers.LSTM(2, return_state=True, name="lstm")(x)))
    assert names(model) == (["x"], ["lstm_0", "lstm_1", "lstm_2"])
    for steps in (2, 5):
        answer = model.run("serving_default", {"x": np.ones((1, steps, 3), np.float32)})
        np.testing.assert_array_equal(answer["lstm_0"], answer["lstm_1"])


def test_text_goes_in_as_strings(reload: Reload) -> None:
    words = keras.layers.TextVectorization(output_sequence_length=3, name="tokens")
    words.adapt(["apple pear", "pear"])
    text = keras.Input((), dtype="string", name="text")
    model = reload(keras.Model(text, words(text)))
    answer = model.run("serving_default", {"text": np.array([b"pear apple", b"fig"], object)})
    assert answer["tokens"].tolist() == [[2, 3, 0], [1, 0, 0]]


def test_what_is_for_training_alone_is_off(reload: Reload) -> None:
    x = keras.Input((50,), name="x")
    model = reload(keras.Model(x, keras.layers.Dropout(0.5, name="y")(x)))
    assert model.run("serving_default", {"x": np.ones((4, 50), np.float32)})["y"].tolist() == [[1.0] * 50] * 4


def test_a_model_is_traced_once_for_all_sizes_of_batches(
    reload: Reload, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = keras.Sequential([keras.Input((1,), name="x"), keras.layers.Rescaling(2.0, name="y")])
    calls: list[object] = []
    call = keras.Sequential.call

    def counted(self: Any, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        calls.append(inputs)
        return call(self, inputs, training=training, mask=mask)

    monkeypatch.setattr(keras.Sequential, "call", counted)
    model = reload(network)
    assert len(calls) == 1
    for rows in (1, 2, 3):
        model.run("serving_default", {"x": np.ones((rows, 1), np.float32)})
    assert len(calls) == 1


@formats
def test_python_code_in_the_file_is_refused(reload: Reload, suffix: str) -> None:
    x = keras.Input((2,))
    with pytest.raises(ModelLoadError, match=r"in its safe mode.*Lambda"):
        reload(keras.Model(x, keras.layers.Lambda(lambda t: t * 2)(x)), suffix)


class Doubling(keras.layers.Layer):
    def call(self, x: Any) -> Any:
        return x * 2


@formats
def test_a_layer_that_nobody_knows_here_is_named_with_the_remedy(reload: Reload, suffix: str) -> None:
    with pytest.raises(ModelLoadError, match=r"export it as a SavedModel.*'Doubling'"):
        reload(keras.Sequential([keras.Input((2,)), Doubling()]), suffix)


def test_a_file_of_weights_alone_is_refused_with_the_remedy(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.save_weights(tmp_path / "only.weights.h5")
    with pytest.raises(ModelLoadError, match=r"export it as a SavedModel.*No model config found"):
        load(tmp_path / "only.weights.h5")


def test_the_remedy_works(tmp_path: Path) -> None:
    keras.Sequential([keras.Input((2,), name="x"), Doubling()]).export(tmp_path / "1", verbose=False)
    model = runtime_for("saved_model").load(Artefact("saved_model", tmp_path / "1", ""), Manifest())
    (given,), (answered,) = names(model)
    answer = model.run("serving_default", {given: np.ones((3, 2), np.float32)})
    assert answer[answered].tolist() == [[2, 2]] * 3
