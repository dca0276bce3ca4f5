"""Nested JSON lists to an array of a known dtype and shape.

NumPy alone would take ``true`` for 1.0, ``"1"`` for 1.0 and ``null`` for NaN. Here the types of
all elements are looked at first, one level of lists at a time and without a Python loop; a
loop runs only to find the culprit.
"""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any, NoReturn

import numpy as np

from ..core.errors import InvalidRequest, PayloadTooLarge
from ..core.spec import DYNAMIC, TensorSpec
from .dtypes import DTYPES, STRING, Array
from .payload import MAX_RANK

NAMED_FLOATS: Mapping[str, float] = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_ACCEPTED: Mapping[str, tuple[frozenset[type], str]] = {
    "b": (frozenset({bool}), "true or false"),
    "i": (frozenset({int}), "an integer"),
    "u": (frozenset({int}), "an integer"),
    "f": (frozenset({int, float}), "a number"),
    "c": (frozenset(), "a .npy body: JSON has no complex numbers,"),
}
"""Element types and what to call them, by NumPy's kind of the dtype."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the elements of one input stand in a request: ``before[i]after[j][k]``."""

    before: str
    after: str = ""

    def __call__(self, index: tuple[int, ...] = ()) -> str:
        steps = [f"[{i}]" for i in index]
        return "".join([self.before, *steps[:1], self.after if steps else "", *steps[1:]])


def from_json(value: Any, spec: TensorSpec, place: Place, max_bytes: int) -> Array:
    """The array that ``value`` writes down, its shape checked against ``spec``.

    Raises InvalidRequest naming the first element or list that does not fit, PayloadTooLarge.
    """
    items, shape = _flattened(value, spec, place)

    def at(position: int) -> str:
        return place(_index(position, shape))

    if spec.dtype == STRING:
        return _strings(items, at, place, max_bytes).reshape(shape)
    dtype = DTYPES[spec.dtype]
    if len(items) * dtype.itemsize > max_bytes:
        raise PayloadTooLarge(place(), f"at most {max_bytes} bytes", f"{len(items) * dtype.itemsize} bytes")
    return _numbers(items, dtype, at).reshape(shape)


def describe(value: Any) -> str:
    """A JSON value in few words, for an error."""
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, dict):
        return "an object"
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _flattened(value: Any, spec: TensorSpec, place: Place) -> tuple[list[Any], tuple[int, ...]]:
    """All elements in row-major order, and the shape."""
    items: list[Any] = [value]
    shape: tuple[int, ...] = ()
    rank = MAX_RANK if spec.shape is None else len(spec.shape)
    while len(shape) < rank and items:
        kinds = set(map(type, items))
        if spec.shape is None and list not in kinds:
            break
        size = DYNAMIC if spec.shape is None else spec.shape[len(shape)]
        if size == DYNAMIC and type(items[0]) is list:
            size = len(items[0])
        if kinds != {list} or set(map(len, items)) != {size}:
            _refuse_list(items, size, place, shape)
        shape += (size,)
        items = list(chain.from_iterable(items))
    if not items and spec.shape is not None:
        shape += tuple(max(size, 0) for size in spec.shape[len(shape) :])
    return items, shape


def _refuse_list(items: list[Any], size: int, place: Place, shape: tuple[int, ...]) -> NoReturn:
    for position, item in enumerate(items):
        if type(item) is not list or len(item) != size:
            expected = "a list" if size == DYNAMIC else f"a list of {size}"
            raise InvalidRequest(place(_index(position, shape)), expected, describe(item))
    raise AssertionError("every list fits")


def _index(position: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(position, shape)) if shape else ()


def _numbers(items: list[Any], dtype: np.dtype[Any], at: Callable[[int], str]) -> Array:
    accepted, noun = _ACCEPTED[dtype.kind]
    kinds = set(map(type, items))
    if str in kinds and dtype.kind == "f":
        items = [NAMED_FLOATS.get(item, item) if type(item) is str else item for item in items]
        kinds = set(map(type, items))
    if not kinds <= accepted:
        position = next(i for i, item in enumerate(items) if type(item) not in accepted)
        raise InvalidRequest(at(position), f"{noun} ({dtype})", describe(items[position]))
    try:
        if dtype.kind == "f":  # it knows what it cannot hold, where NumPy makes it infinite
            return np.frombuffer(struct.pack(f"<{len(items)}{dtype.char}", *items), dtype)
        return np.array(items, dtype)
    except (OverflowError, struct.error):
        position = next(i for i, item in enumerate(items) if _too_large(item, dtype))
        raise InvalidRequest(
            at(position), f"{noun} that {dtype} can hold", describe(items[position])
        ) from None


def _too_large(item: Any, dtype: np.dtype[Any]) -> bool:
    if dtype.kind != "f":
        return not np.iinfo(dtype).min <= item <= np.iinfo(dtype).max
    try:
        with np.errstate(over="ignore"):
            return math.isfinite(item) and not np.isfinite(dtype.type(item))
    except OverflowError:  # an integer beyond every float
        return True


def _strings(items: list[Any], at: Callable[[int], str], place: Place, max_bytes: int) -> Array:
    array = np.empty(len(items), object)
    for position, item in enumerate(items):
        try:
            array[position] = _bytes(item)
        except (ValueError, TypeError):
            raise InvalidRequest(at(position), 'a string or {"b64": "..."}', describe(item)) from None
        max_bytes -= len(array[position])
        if max_bytes < 0:
            raise PayloadTooLarge(place(), "fewer bytes of strings", "more than the bound")
    return array


def _bytes(item: Any) -> bytes:
    if type(item) is str:
        return item.encode()
    if type(item) is dict and item.keys() == {"b64"}:
        return base64.b64decode(item["b64"], validate=True)
    raise TypeError
