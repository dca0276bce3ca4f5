"""TensorFlow SavedModels: every signature, called as a traced function."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from ..codec.dtypes import DTYPES, STRING, Array
from ..core.errors import ModelLoadError
from ..core.spec import DYNAMIC, Signature, TensorSpec
from ..repository.artefact import Artefact
from ..repository.manifest import Manifest

logger = logging.getLogger(__name__)

_SERVE = "serve"
_PREDICT = "tensorflow/serving/predict"


class SavedModelRuntime:
    def load(self, artefact: Artefact, manifest: Manifest) -> SavedModel:
        """Raises ModelLoadError when no signature can be served, else what TensorFlow raises."""
        methods, graphs = _read_proto(artefact.path)
        loaded = tf.saved_model.load(str(artefact.path), tags=[_SERVE] if graphs > 1 else None)
        functions: dict[str, _Function] = {}
        for name, signature in loaded.signatures.items():
            try:
                functions[name] = _Function(name, signature, methods.get(name) or _PREDICT)
            except _Unservable as reason:
                logger.warning("%s: signature %s is not served: %s", artefact.path, name, reason)
        if not functions:
            raise ModelLoadError(f"no signature of {artefact.path.name}/ can be served")
        return SavedModel(loaded, functions)


class SavedModel:
    def __init__(self, loaded: Any, functions: dict[str, _Function]) -> None:
        self._loaded = loaded  # the owner of the variables: not every function keeps it alive
        self._functions = functions
        self.signatures: Mapping[str, Signature] = {name: f.signature for name, f in functions.items()}

    def run(self, signature_name: str, inputs: Mapping[str, Array]) -> dict[str, Array]:
        return self._functions[signature_name].run(inputs)


class _Unservable(Exception):
    pass


class _Function:
    """One signature, traced once more around the loaded one: that call has less Python in it
    (0.13 ms instead of 0.21 for a small model). The number of rows is not part of the trace.

    bfloat16, which NumPy does not have, is float32 outside of the graph.
    """

    def __init__(self, name: str, inner: Any, method_name: str) -> None:
        positional, by_name = inner.structured_input_signature
        if positional or not all(isinstance(spec, tf.TensorSpec) for spec in by_name.values()):
            raise _Unservable("it takes something else than tensors by name")
        names = tuple(by_name)

        def call(*tensors: Any) -> dict[str, Any]:
            given = zip(names, tensors, strict=True)
            outputs = inner(
                **{n: tf.cast(t, by_name[n].dtype) if _narrow(by_name[n]) else t for n, t in given}
            )
            return {n: tf.cast(t, tf.float32) if _narrow(t) else t for n, t in outputs.items()}

        outer = [tf.TensorSpec(s.shape, tf.float32 if _narrow(s) else s.dtype) for s in by_name.values()]
        self._call = tf.function(call, autograph=False).get_concrete_function(*outer)
        self._dtypes = {n: spec.dtype for n, spec in zip(names, outer, strict=True)}
        self.signature = Signature(
            name,
            tuple(_spec(n, spec) for n, spec in zip(names, outer, strict=True)),
            tuple(_spec(n, tensor) for n, tensor in self._call.structured_outputs.items()),
            method_name,
        )

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        outputs = self._call(*[tf.constant(inputs[n], dtype) for n, dtype in self._dtypes.items()])
        return {name: _array(tensor.numpy()) for name, tensor in outputs.items()}


def _narrow(tensor: Any) -> bool:
    return bool(tensor.dtype == tf.bfloat16)


def _spec(name: str, tensor: Any) -> TensorSpec:
    dtype = tensor.dtype.name
    if dtype != STRING and dtype not in DTYPES:
        raise _Unservable(f"{name} is of dtype {dtype}")
    if tensor.shape.rank is None:
        return TensorSpec(name, dtype, None)
    return TensorSpec(
        name, dtype, tuple(DYNAMIC if size is None else size for size in tensor.shape.as_list())
    )


def _array(value: Any) -> Array:
    """A scalar string arrives as bare ``bytes``."""
    return (
        value if isinstance(value, np.ndarray) else np.array(value, object if type(value) is bytes else None)
    )


def _read_proto(path: Path) -> tuple[dict[str, str], int]:
    """The method name of each signature, and how many graphs there are; of the text form nothing is known."""
    binary = path / "saved_model.pb"
    if not binary.exists():
        return {}, 1
    graphs = saved_model_pb2.SavedModel.FromString(binary.read_bytes()).meta_graphs
    served = next((g for g in graphs if _SERVE in g.meta_info_def.tags), graphs[0] if graphs else None)
    signatures = {} if served is None else dict(served.signature_def.items())
    return {name: definition.method_name for name, definition in signatures.items()}, len(graphs)
