"""What each loaded model takes and gives, as schemas, and an example of asking it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from math import prod
from typing import Any

import numpy as np

from predict_worker.codec.dtypes import DTYPES, STRING
from predict_worker.core.spec import DEFAULT_SIGNATURE, DYNAMIC, ModelSpec, Signature, TensorSpec
from predict_worker.service import ModelView

Json = dict[str, Any]

MAX_EXAMPLE_ELEMENTS = 256
"""A longer example is left out: nobody reads it."""

_BYTES: Json = {
    "anyOf": [
        {"type": "string"},
        {
            "type": "object",
            "properties": {"b64": {"type": "string", "contentEncoding": "base64"}},
            "required": ["b64"],
            "additionalProperties": False,
        },
    ]
}
_FLOAT: Json = {"anyOf": [{"type": "number"}, {"enum": ["NaN", "Infinity", "-Infinity"]}]}


def schemas(models: Iterable[ModelView]) -> dict[str, Json]:
    """By component: ``NAME.inputs`` and ``NAME.outputs`` of the default signature, ``NAME.SIGNATURE.inputs``
    of others, of the newest version that is published."""
    found: dict[str, Json] = {}
    for spec in _newest(models):
        for signature in spec.signatures.values():
            name = spec.name
            if signature.name != DEFAULT_SIGNATURE:
                name += "." + re.sub(r"[^A-Za-z0-9._-]", "_", signature.name)
            found[f"{name}.inputs"] = _inputs(signature)
            found[f"{name}.outputs"] = _by_name(signature.outputs)
    return found


def examples(models: Iterable[ModelView]) -> dict[str, Json]:
    """Requests of the jobs API, by model. One that would be long is left out."""
    found: dict[str, Json] = {}
    for spec in _newest(models):
        signature = spec.signatures.get(DEFAULT_SIGNATURE)
        if signature and all(_short(tensor) for tensor in signature.inputs):
            inputs = {tensor.name: _zeros(tensor) for tensor in signature.inputs}
            given = next(iter(inputs.values())) if len(inputs) == 1 else inputs
            found[spec.name] = {"summary": f"Ask {spec.name}", "value": {"model": spec.name, "inputs": given}}
    return found


def _newest(models: Iterable[ModelView]) -> Iterator[ModelSpec]:
    for model in models:
        if model.specs:
            yield model.specs[max(model.specs)]


def _inputs(signature: Signature) -> Json:
    """A single input may also come without its name."""
    named = _by_name(signature.inputs)
    if len(signature.inputs) != 1:
        return named
    return {"anyOf": [_tensor(signature.inputs[0]), named]}


def _by_name(tensors: tuple[TensorSpec, ...]) -> Json:
    return {
        "type": "object",
        "properties": {tensor.name: _tensor(tensor) for tensor in tensors},
        "required": [tensor.name for tensor in tensors],
        "additionalProperties": False,
    }


def _tensor(spec: TensorSpec) -> Json:
    about = f"{spec.dtype}, {'any shape' if spec.shape is None else list(spec.shape)}"
    if spec.shape is None:
        return {"description": about}
    schema = _element(spec.dtype)
    for size in reversed(spec.shape):
        fixed = {} if size == DYNAMIC else {"minItems": size, "maxItems": size}
        schema = {"type": "array", "items": schema, **fixed}
    if spec.encoded:
        rows = {"type": "array", "items": _BYTES}
        return {"anyOf": [schema, rows], "description": f"{about}; or one {spec.encoded} a row"}
    return {**schema, "description": about}


def _element(dtype: str) -> Json:
    if dtype == STRING:
        return dict(_BYTES)
    kind = DTYPES[dtype].kind if dtype in DTYPES else ""
    if kind == "b":
        return {"type": "boolean"}
    if kind in "iu" and kind:
        bounds = np.iinfo(DTYPES[dtype])
        return {"type": "integer", "minimum": int(bounds.min), "maximum": int(bounds.max)}
    return dict(_FLOAT) if kind == "f" else {}


def _short(spec: TensorSpec) -> bool:
    written = spec.dtype == STRING or (spec.dtype in DTYPES and DTYPES[spec.dtype].kind != "c")
    sizes = None if spec.shape is None else [max(size, 1) for size in spec.shape]
    return written and sizes is not None and prod(sizes) <= MAX_EXAMPLE_ELEMENTS


def _zeros(spec: TensorSpec) -> Any:
    """One row."""
    shape = [1 if size == DYNAMIC else size for size in spec.shape or ()]
    fill: Any = "" if spec.dtype == STRING else DTYPES[spec.dtype].type(0).item()
    return np.full(shape, fill, object).tolist()
