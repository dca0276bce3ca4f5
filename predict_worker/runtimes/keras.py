"""Keras models, ``.keras`` and ``.h5``: the whole model as one traced function."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from ..core.errors import ModelLoadError
from ..core.spec import DEFAULT_SIGNATURE
from ..repository.artefact import Artefact
from ..repository.manifest import Manifest
from .traced import TracedFunction, TracedModel, Unservable

_REMEDY = (
    "export it as a SavedModel where it was trained (model.export(directory), or tf.saved_model.save with an "
    "older Keras) and serve that"
)
_MAX_REASON = 250  # characters of each end; Keras may tell the whole configuration in between


class KerasRuntime:
    def load(self, artefact: Artefact, manifest: Manifest) -> TracedModel:
        """Raises ModelLoadError, with what to do, for a file that this Keras does not read.

        Only what Keras calls safe is read: a model that holds Python code is refused.
        """
        if keras.backend.backend() != "tensorflow":
            raise ModelLoadError(f"KERAS_BACKEND is {keras.backend.backend()}, expected tensorflow")
        try:
            model = keras.saving.load_model(artefact.path, compile=False, safe_mode=True)
            function = _traced(model)
        except Exception as error:
            raise ModelLoadError(
                f"{artefact.path.name} is no model that Keras {keras.__version__} reads in its safe mode: "
                f"{_REMEDY}. Keras says: {_shortened(str(error))}"
            ) from error
        return TracedModel(model, {DEFAULT_SIGNATURE: function})


def _shortened(text: str) -> str:
    return text if len(text) <= 2 * _MAX_REASON else f"{text[:_MAX_REASON]} … {text[-_MAX_REASON:]}"


def _traced(model: Any) -> TracedFunction:
    """Inputs by the names of their ``keras.Input``, outputs by their layers (or by their keys, where the
    model returns a dictionary).

    A prediction is a call of the model itself: ``predict()`` takes 40 ms longer and leaks.
    """
    inputs = getattr(model, "inputs", None)
    if not inputs:
        raise Unservable("a model without keras.Input does not say what it takes")
    structure = inputs[0] if isinstance(model, keras.Sequential) else model.input
    names = [tensor.name for tensor in inputs]

    def call(**tensors: Any) -> Mapping[str, Any]:
        given = keras.tree.pack_sequence_as(structure, [tensors[name] for name in names])
        return _named(model(given, training=False), _output_names(model))

    return TracedFunction(DEFAULT_SIGNATURE, call, {t.name: _spec(t) for t in inputs})


def _spec(tensor: Any) -> Any:
    if tensor.sparse:
        raise Unservable(f"input {tensor.name} is sparse")
    return tf.TensorSpec(tensor.shape, tensor.dtype)


def _output_names(model: Any) -> Sequence[str]:
    """Of the layers that make the outputs; one that makes several gives each a number."""
    names = getattr(model, "output_names", None) or [model.layers[-1].name]
    return [f"{n}_{names[:i].count(n)}" if names.count(n) > 1 else n for i, n in enumerate(names)]


def _named(outputs: Any, layer_names: Sequence[str]) -> dict[str, Any]:
    if isinstance(outputs, Mapping):
        return {".".join(map(str, path)): tensor for path, tensor in keras.tree.flatten_with_path(outputs)}
    return dict(zip(layer_names, keras.tree.flatten(outputs), strict=True))
