"""Small models of known answers, written in every format that can hold them.

A maker writes one case into a version's directory. Cases, by name:

double      x float32 [-1, 3] -> y = 2 x
pair        a float32 [-1, 2], b int64 [-1] -> sum [-1, 2], twice [-1]
signatures  serving_default y = 2 x, half y = x / 2; x float32 [-1]
dynamic     x float32 [-1, -1] -> y = 2 x
fixed       x float32 [2, 3] -> y = 2 x
scalar      x float32 [] -> y = 2 x
unranked    x float32 of any rank -> y = 2 x
total       x float32 [-1, 3] -> y [] = sum of x
same        one input ``in_D`` [-1] and one output ``out_D`` for each dtype D given, unchanged
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from onnx import TensorProto, helper

FLOAT_CASES: Mapping[str, tuple[int | None, ...] | None] = {
    "double": (None, 3),
    "dynamic": (None, None),
    "fixed": (2, 3),
    "scalar": (),
    "unranked": None,
    "total": (None, 3),
}
"""Shape of ``x`` in the cases of one float32 input and one output."""


# ---------------------------------------------------------------- TensorFlow


def _functions(case: str, dtypes: Sequence[str]) -> dict[str, Any]:
    """tf.functions by the name of their signature."""

    def traced(function: Callable[..., Mapping[str, Any]], **specs: Any) -> Any:
        names = list(specs)
        return tf.function(
            lambda *tensors: function(**dict(zip(names, tensors, strict=True))),
            input_signature=[tf.TensorSpec(*spec, name=name) for name, spec in specs.items()],
            autograph=False,
        )

    def double(x: Any) -> Mapping[str, Any]:
        return {"y": x * 2.0}

    if case == "pair":
        both = traced(
            lambda a, b: {"sum": a + tf.cast(b, tf.float32)[:, None], "twice": b * 2},
            a=((None, 2), tf.float32),
            b=((None,), tf.int64),
        )
        return {"serving_default": both}
    if case == "signatures":
        half = traced(lambda x: {"y": x / 2.0}, x=((None,), tf.float32))
        return {"serving_default": traced(double, x=((None,), tf.float32)), "half": half}
    if case == "same":
        specs = {f"in_{name}": ((None,), tf.as_dtype(name)) for name in dtypes}
        same = traced(lambda **x: {n.replace("in_", "out_"): tf.identity(t) for n, t in x.items()}, **specs)
        return {"serving_default": same}
    function = (lambda x: {"y": tf.reduce_sum(x)}) if case == "total" else double
    return {"serving_default": traced(function, x=(FLOAT_CASES[case], tf.float32))}


def saved_model(case: str, version: Path, dtypes: Sequence[str] = ()) -> None:
    module, functions = tf.Module(), _functions(case, dtypes)
    for name, function in functions.items():
        setattr(module, name, function)
    tf.saved_model.save(module, str(version), signatures=functions)


def tflite(case: str, version: Path, dtypes: Sequence[str] = ()) -> None:
    with tempfile.TemporaryDirectory() as folder:
        saved_model(case, Path(folder), dtypes)
        keys = ["serving_default", "half"] if case == "signatures" else None
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=keys)
        version.mkdir(parents=True)
        (version / "model.tflite").write_bytes(converter.convert())


# ---------------------------------------------------------------- Keras


def _keras_model(case: str, dtypes: Sequence[str]) -> Any:
    def scaled(x: Any, name: str, factor: float = 2.0) -> Any:
        return keras.layers.Rescaling(factor, name=name, dtype=x.dtype)(x)

    if case == "pair":
        a = keras.Input((2,), name="a")
        b = keras.Input((), dtype="int64", name="b")
        column = keras.layers.Reshape((1,))(keras.layers.Rescaling(1.0, dtype="float32")(b))
        return keras.Model([a, b], [keras.layers.Add(name="sum")([a, column]), scaled(b, "twice")])
    if case == "same":
        inputs = [keras.Input((), dtype=name, name=f"in_{name}") for name in dtypes]
        layers = [keras.layers.Identity(dtype=name, name=f"out_{name}") for name in dtypes]
        return keras.Model(inputs, [layer(x) for layer, x in zip(layers, inputs, strict=True)])
    shape = FLOAT_CASES[case] or ()
    x = keras.Input(shape[1:], batch_size=shape[0], name="x")
    return keras.Model(x, scaled(x, "y"))


def keras_file(case: str, version: Path, dtypes: Sequence[str] = ()) -> None:
    version.mkdir(parents=True)
    _keras_model(case, dtypes).save(version / "model.keras")


def h5_file(case: str, version: Path, dtypes: Sequence[str] = ()) -> None:
    version.mkdir(parents=True)
    _keras_model(case, dtypes).save(version / "model.h5")


# ---------------------------------------------------------------- ONNX

_ONNX_TYPES = {"float32": TensorProto.FLOAT, "float64": TensorProto.DOUBLE}


def _value(name: str, dtype: str, shape: Sequence[int | str | None] | None) -> Any:
    kind = _ONNX_TYPES.get(dtype) or getattr(TensorProto, dtype.upper())
    return helper.make_tensor_value_info(name, kind, shape)


def onnx_bytes(
    nodes: Sequence[Any], inputs: Sequence[Any], outputs: Sequence[Any], **constants: Any
) -> bytes:
    stored = [
        helper.make_tensor(n, TensorProto.FLOAT, np.shape(v), np.ravel(v)) for n, v in constants.items()
    ]
    graph = helper.make_graph(nodes, "graph", inputs, outputs, stored)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    return bytes(model.SerializeToString())


def onnx(case: str, version: Path, dtypes: Sequence[str] = ()) -> None:
    node = helper.make_node
    version.mkdir(parents=True)
    if case == "pair":
        nodes = [
            node("Cast", ["b"], ["float"], to=TensorProto.FLOAT),
            node("Unsqueeze", ["float", "axes"], ["column"]),
            node("Constant", [], ["axes"], value_ints=[1]),
            node("Add", ["a", "column"], ["sum"]),
            node("Add", ["b", "b"], ["twice"]),
        ]
        nodes.insert(0, nodes.pop(2))
        inputs = [_value("a", "float32", ["rows", 2]), _value("b", "int64", ["rows"])]
        outputs = [_value("sum", "float32", ["rows", 2]), _value("twice", "int64", ["rows"])]
        content = onnx_bytes(nodes, inputs, outputs)
    elif case == "same":
        nodes = [node("Identity", [f"in_{name}"], [f"out_{name}"]) for name in dtypes]
        inputs = [_value(f"in_{name}", name, [None]) for name in dtypes]
        content = onnx_bytes(nodes, inputs, [_value(f"out_{name}", name, [None]) for name in dtypes])
    else:
        shape = FLOAT_CASES[case]
        total = [node("ReduceSum", ["x"], ["y"], keepdims=0)]
        nodes = total if case == "total" else [node("Add", ["x", "x"], ["y"])]
        out = _value("y", "float32", () if case == "total" else shape)
        content = onnx_bytes(nodes, [_value("x", "float32", shape)], [out])
    (version / "model.onnx").write_bytes(content)


# ---------------------------------------------------------------- Python


def python(case: str, version: Path, dtypes: Sequence[str] = ()) -> None:
    version.mkdir(parents=True)
    constants = f"CASE, DTYPES, SHAPES = {case!r}, {tuple(dtypes)!r}, {dict(FLOAT_CASES)!r}\n"
    (version / "model.py").write_text(constants + _PYTHON)


_PYTHON = """
from predict_worker.core.spec import Signature, TensorSpec

def spec(name, dtype, shape):
    return TensorSpec(name, dtype, None if shape is None else tuple(-1 if s is None else s for s in shape))

def signature(inputs, outputs, name="serving_default"):
    return Signature(name, tuple(inputs), tuple(outputs))

if CASE == "pair":
    SIGNATURES = [signature(
        [spec("a", "float32", (-1, 2)), spec("b", "int64", (-1,))],
        [spec("sum", "float32", (-1, 2)), spec("twice", "int64", (-1,))],
    )]
elif CASE == "signatures":
    one = [spec("x", "float32", (-1,))], [spec("y", "float32", (-1,))]
    SIGNATURES = [signature(*one), signature(*one, name="half")]
elif CASE == "same":
    SIGNATURES = [signature(*([spec(side + d, d, (-1,)) for d in DTYPES] for side in ("in_", "out_")))]
else:
    SIGNATURES = [signature(
        [spec("x", "float32", SHAPES[CASE])], [spec("y", "float32", () if CASE == "total" else SHAPES[CASE])]
    )]

def load(directory):
    if CASE == "pair":
        return lambda a, b: {"sum": a + b[:, None].astype("float32"), "twice": b * 2}
    if CASE == "signatures":
        return {"serving_default": lambda x: {"y": x * 2}, "half": lambda x: {"y": x / 2}}
    if CASE == "same":
        return lambda **tensors: {name.replace("in_", "out_"): array for name, array in tensors.items()}
    return lambda x: {"y": x.sum() if CASE == "total" else x + x}
"""


MAKERS: Mapping[str, Callable[..., None]] = {
    "saved_model": saved_model,
    "keras": keras_file,
    "h5": h5_file,
    "tflite": tflite,
    "onnx": onnx,
    "python": python,
}
