"""TensorFlow functions as signatures: what the runtimes that run on TensorFlow share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from ..codec.dtypes import DTYPES, STRING, Array
from ..core.spec import DYNAMIC, Signature, TensorSpec

PREDICT = "tensorflow/serving/predict"


class Unservable(Exception):
    """Why a function cannot be a signature."""


class TracedFunction:
    """A function of tensors by name, traced once as it is called here (a SavedModel's own signature has
    more Python in its call: 0.21 ms instead of 0.13 for a small model). The number of rows is not part of
    the trace.

    bfloat16, which NumPy does not have, is float32 outside of the graph. Raises Unservable.
    """

    def __init__(
        self,
        name: str,
        function: Callable[..., Mapping[str, Any]],
        specs: Mapping[str, tf.TensorSpec],
        method_name: str = PREDICT,
    ) -> None:
        names = tuple(specs)

        def call(*tensors: Any) -> dict[str, Any]:
            given = {
                n: tf.cast(t, specs[n].dtype) if _narrow(specs[n]) else t
                for n, t in zip(names, tensors, strict=True)
            }
            return {n: tf.cast(t, tf.float32) if _narrow(t) else t for n, t in function(**given).items()}

        outer = [tf.TensorSpec(s.shape, tf.float32 if _narrow(s) else s.dtype) for s in specs.values()]
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


class TracedModel:
    """Traced functions by the names of their signatures; ``owner`` holds the variables, which not every
    function keeps alive."""

    def __init__(self, owner: Any, functions: Mapping[str, TracedFunction]) -> None:
        self._owner, self._functions = owner, functions
        self.signatures: Mapping[str, Signature] = {name: f.signature for name, f in functions.items()}

    def run(self, signature_name: str, inputs: Mapping[str, Array]) -> dict[str, Array]:
        return self._functions[signature_name].run(inputs)


def _narrow(tensor: Any) -> bool:
    return bool(tensor.dtype == tf.bfloat16)


def _spec(name: str, tensor: Any) -> TensorSpec:
    if not isinstance(tensor, tf.Tensor | tf.TensorSpec):
        raise Unservable(f"{name} is a {type(tensor).__name__}, no dense tensor")
    dtype = tensor.dtype.name
    if dtype != STRING and dtype not in DTYPES:
        raise Unservable(f"{name} is of dtype {dtype}")
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
