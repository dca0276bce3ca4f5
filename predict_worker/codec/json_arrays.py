"""Arrays as JSON. Non-finite floats become the strings ``NaN``, ``Infinity`` and ``-Infinity``."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson

from .dtypes import STRING, Array, canonical, dtype_name

NAMES: Mapping[str, Any] = {"NaN": "NaN", "Infinity": "Infinity", "-Infinity": "-Infinity"}
BARE: Mapping[str, Any] = {name: orjson.Fragment(name.encode()) for name in NAMES}
"""Without quotes, as JavaScript and Python's own parser read them: for a dialect whose clients do."""


def dumps(value: Any) -> bytes:
    """JSON of plain Python values and of what :func:`to_json` returns."""
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)


def to_json(array: Array, names: Mapping[str, Any] = NAMES) -> Any:
    """What :func:`dumps` writes as nested lists: the array itself where JSON can hold all its values.

    Floats are written with the fewest digits that read back as the same value of their
    dtype. Strings are UTF-8 text, or ``{"b64": ...}`` where they are not UTF-8; a complex
    number is the list of its two parts. ``names`` (:data:`NAMES`, :data:`BARE`) are those of
    floats that are not finite.
    """
    array = canonical(array)
    if dtype_name(array) == STRING:
        return _nested([_text(element) for element in array.reshape(-1).tolist()], array.shape).tolist()
    if array.dtype.kind == "c":
        return to_json(np.stack([array.real, array.imag], axis=-1), names)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        return _named(array, names)
    return array if array.ndim else array[()]


def _nested(elements: list[Any], shape: tuple[int, ...]) -> Array:
    out = np.empty(len(elements), object)
    out[:] = elements
    return out.reshape(shape)


def _named(array: Array, names: Mapping[str, Any]) -> Any:
    out = _nested(list(array.flat), array.shape)  # NumPy's own scalars: they keep their dtype's short form
    out[np.isnan(array)] = names["NaN"]
    out[np.isposinf(array)] = names["Infinity"]
    out[np.isneginf(array)] = names["-Infinity"]
    return out.tolist()


def _text(value: bytes) -> Any:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"b64": base64.b64encode(value).decode()}
