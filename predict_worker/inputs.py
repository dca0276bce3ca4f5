"""What a caller sent, checked against a signature: names, dtypes, shapes, finite numbers, size.

Every refusal is an InvalidRequest (PayloadTooLarge for size) that names the field.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .codec.dtypes import STRING, Array, byte_strings, canonical, dtype_name
from .codec.from_json import Place, describe, from_json
from .codec.raw import Arrays, Columnar, Instances, RawInputs
from .core.errors import InvalidRequest, PayloadTooLarge
from .core.spec import Signature, TensorSpec
from .declared import shape_fits
from .encoded import as_strings, check_encoded, decoded_bytes, is_encoded

__all__ = ["Arrays", "Bound", "Columnar", "Instances", "RawInputs", "bind", "check_outputs", "split"]


@dataclass(frozen=True, slots=True)
class Bound:
    """Inputs that fit a signature, by name. ``rows`` is 1 where the signature has no batch dimension."""

    arrays: dict[str, Array]
    rows: int


@dataclass(frozen=True, slots=True)
class _Column:
    """One input as it came: JSON, or an array."""

    spec: TensorSpec
    place: Place
    value: Any


def bind(signature: Signature, raw: RawInputs, *, inputs_finite: bool = False, max_bytes: int) -> Bound:
    """Arrays in the dtypes and shapes of the signature.

    ``inputs_finite`` refuses NaN and infinities; ``max_bytes`` bounds all inputs together.
    Raises InvalidRequest, PayloadTooLarge.
    """
    if isinstance(raw, Columnar):
        columns = _columnar(signature, raw.value)
    elif isinstance(raw, Instances):
        columns = _instances(signature, raw.rows)
    else:
        columns = _arrays(signature, raw.arrays)
    arrays: dict[str, Array] = {}
    for column in columns:
        encoded = column.spec.encoded
        if encoded and is_encoded(column.value):
            column = replace(column, spec=as_strings(column.spec))
        if isinstance(raw, Arrays):
            array = _checked(column, max_bytes)
        else:
            array = from_json(column.value, column.spec, column.place, max_bytes)
        if encoded and array.dtype == object:
            check_encoded(encoded, array, column.place)
        if inputs_finite:
            _check_finite(array, column.place)
        max_bytes -= _size(array)
        arrays[column.spec.name] = array
    return Bound(arrays, _rows(columns, arrays) if signature.batched else 1)


def check_outputs(signature: Signature, names: Sequence[str]) -> tuple[str, ...]:
    """The names of the outputs asked for; none: all. Raises InvalidRequest for unknown or repeated ones."""
    known = [spec.name for spec in signature.outputs]
    for position, name in enumerate(names):
        if name not in known:
            raise InvalidRequest(f"outputs[{position}]", f"one of {_listed(known)}", describe(name))
        if name in names[:position]:
            raise InvalidRequest(f"outputs[{position}]", "each output once", describe(name))
    return tuple(names)


def split(
    signature: Signature, arrays: Mapping[str, Array], max_rows: int, max_bytes: int
) -> list[tuple[int, int, dict[str, Array]]]:
    """Row ranges ``(start, stop, arrays)`` of at most so many rows and bytes, one row at the least.

    For signatures with a batch dimension; the parts are views. Encoded rows count as the tensors that
    will be made of them.
    """
    rows = next(iter(arrays.values())).shape[0]
    row_bytes = sum(_largest_row(signature.input(name), array) for name, array in arrays.items())
    step = max(1, min(max_rows, max_bytes // max(row_bytes, 1)))
    return [
        (
            start,
            min(start + step, rows),
            {name: array[start : start + step] for name, array in arrays.items()},
        )
        for start in range(0, rows, step)
    ]


def _columnar(signature: Signature, value: Any) -> list[_Column]:
    if _by_name(signature, value):
        _check_names(signature, value, "inputs")
        return [_Column(spec, Place(f"inputs.{spec.name}"), value[spec.name]) for spec in signature.inputs]
    if len(signature.inputs) != 1:
        names = _listed(spec.name for spec in signature.inputs)
        raise InvalidRequest("inputs", f"an object with {names}", describe(value))
    return [_Column(signature.inputs[0], Place("inputs"), value)]


def _instances(signature: Signature, rows: Any) -> list[_Column]:
    if not isinstance(rows, list) or not rows:
        raise InvalidRequest("instances", "a non-empty list of rows", describe(rows))
    if len(signature.inputs) == 1 and not any(_by_name(signature, row) for row in rows):
        return [_Column(signature.inputs[0], Place("instances"), rows)]
    for position, row in enumerate(rows):
        if not _by_name(signature, row):
            names = _listed(spec.name for spec in signature.inputs)
            raise InvalidRequest(f"instances[{position}]", f"an object with {names}", describe(row))
        _check_names(signature, row, f"instances[{position}]")
    return [
        _Column(spec, Place("instances", f".{spec.name}"), [row[spec.name] for row in rows])
        for spec in signature.inputs
    ]


def _arrays(signature: Signature, arrays: Mapping[str, Array]) -> list[_Column]:
    if arrays.keys() == {""}:
        if len(signature.inputs) != 1:
            names = _listed(spec.name for spec in signature.inputs)
            raise InvalidRequest("inputs", f"one for each of {names}", "one without a name")
        return [_Column(signature.inputs[0], Place("inputs"), arrays[""])]
    _check_names(signature, arrays, "inputs")
    return [_Column(spec, Place(f"inputs.{spec.name}"), arrays[spec.name]) for spec in signature.inputs]


def _by_name(signature: Signature, value: Any) -> bool:
    """Whether this is an object of inputs, not one element ``{"b64": ...}`` of the only input."""
    if not isinstance(value, dict):
        return False
    only = signature.inputs[0] if len(signature.inputs) == 1 else None
    takes_bytes = only and (only.dtype == STRING or only.encoded)
    return not (only and takes_bytes and only.name != "b64" and value.keys() == {"b64"})


def _check_names(signature: Signature, given: Mapping[str, Any], field: str) -> None:
    names = [spec.name for spec in signature.inputs]
    if given.keys() == set(names):
        return
    for name in given:
        if name not in names:
            raise InvalidRequest(f"{field}.{name}", f"one of {_listed(names)}", "an unknown input")
    missing = next(name for name in names if name not in given)
    raise InvalidRequest(f"{field}.{missing}", "a value", "nothing")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"


def _checked(column: _Column, max_bytes: int) -> Array:
    """The array in canonical form. A dtype is never converted: what came is what was meant."""
    spec, field = column.spec, column.place()
    try:
        array = canonical(column.value)
        array = byte_strings(array) if array.dtype == object else array
    except TypeError as error:
        raise InvalidRequest(field, f"an array of {spec.dtype}", str(error)) from None
    if dtype_name(array) != spec.dtype:
        got = "texts or files (string)" if dtype_name(array) == STRING else dtype_name(array)
        raise InvalidRequest(field, f"an array of {spec.dtype}", got)
    if not shape_fits(array.shape, spec.shape):
        raise InvalidRequest(field, f"shape {list(spec.shape or ())}", f"shape {list(array.shape)}")
    if _size(array) > max_bytes:
        raise PayloadTooLarge(field, f"at most {max_bytes} bytes", f"{_size(array)} bytes")
    return array


def _check_finite(array: Array, place: Place) -> None:
    if array.dtype.kind in "fc" and not np.isfinite(array).all():
        index = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise InvalidRequest(place(index), "a finite number", str(array[index]))


def _rows(columns: Sequence[_Column], arrays: Mapping[str, Array]) -> int:
    first, *others = columns
    rows = len(arrays[first.spec.name])
    if rows == 0:
        raise InvalidRequest(first.place(), "at least one row", "none")
    for column in others:
        if (other := len(arrays[column.spec.name])) != rows:
            raise InvalidRequest(column.place(), f"{rows} rows as in {first.place()}", f"{other} rows")
    return rows


def size_bytes(arrays: Mapping[str, Array]) -> int:
    return sum(_size(array) for array in arrays.values())


def _size(array: Array) -> int:
    return sum(map(len, array.flat)) if array.dtype == object else array.nbytes


def _largest_row(spec: TensorSpec | None, array: Array) -> int:
    if array.dtype != object:
        return array.nbytes // len(array)
    largest = max(_size(row) for row in array.reshape(len(array), -1))
    return max(largest, decoded_bytes(spec)) if spec and spec.encoded else largest
