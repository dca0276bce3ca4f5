"""From an inference request to the request that the service knows, and how it is to be answered."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

from predict_worker.codec import Arrays
from predict_worker.codec.dtypes import Array
from predict_worker.codec.from_json import Place, describe, from_json
from predict_worker.codec.payload import MAX_RANK
from predict_worker.conf import get_config
from predict_worker.core.errors import InvalidRequest
from predict_worker.core.job import Priority
from predict_worker.core.spec import DEFAULT_SIGNATURE, TensorSpec

from . import datatypes
from .binary import HEADER_LENGTH, Shape, Tail

MAX_ELEMENTS = 2**40
"""Of a shape, zeros counted as ones: NumPy can hold the shape of an empty tensor within that."""

_KNOWN = ", ".join((*datatypes.DTYPES, datatypes.BFLOAT16))


def inputs(fields: Mapping[str, Any], tail: Tail | None) -> Arrays:
    """Raises InvalidRequest, PayloadTooLarge."""
    given = fields.get("inputs")
    if not isinstance(given, list) or not given:
        raise InvalidRequest("inputs", "a list of at least one tensor", described(fields, "inputs"))
    arrays: dict[str, Array] = {}
    for position, tensor in enumerate(given):
        field = f"inputs[{position}]"
        name = name_of(tensor, field)
        if name in arrays:
            raise InvalidRequest(f"{field}.name", "each input once", f"{name[:100]!r} twice")
        arrays[name] = _array(tensor, field, tail)
    if tail is not None:
        tail.close()
    return Arrays(arrays)


def _array(tensor: Mapping[str, Any], field: str, tail: Tail | None) -> Array:
    shape, datatype = _shape(tensor, field), tensor.get("datatype")
    if not isinstance(datatype, str) or datatype not in (*datatypes.DTYPES, datatypes.BFLOAT16):
        raise InvalidRequest(f"{field}.datatype", f"one of {_KNOWN}", described(tensor, "datatype"))
    given = parameters(tensor, field)
    size = given.get("binary_data_size")
    if size is None:
        return _from_json(tensor, field, datatype, shape)
    if type(size) is not int or size < 0:
        raise InvalidRequest(f"{field}.parameters.binary_data_size", "a number of bytes", describe(size))
    if "data" in tensor:
        raise InvalidRequest(f"{field}.data", "either data or binary_data_size, not both", "both")
    if tail is None:
        raise InvalidRequest(HEADER_LENGTH, "the length of the JSON before the binary data", "no header")
    return tail.read(field, datatype, shape, size)


def _from_json(tensor: Mapping[str, Any], field: str, datatype: str, shape: Shape) -> Array:
    """``data`` is nested as the shape says, or flat."""
    data = tensor.get("data")
    if datatype in datatypes.BINARY_ONLY:
        raise InvalidRequest(field, f"binary data: {datatype} has no JSON", "none")
    if not isinstance(data, list):
        raise InvalidRequest(f"{field}.data", "a list, or binary_data_size", described(tensor, "data"))
    nested = bool(data) and isinstance(data[0], list)
    spec = TensorSpec("", datatypes.DTYPES[datatype], shape if nested else (prod(shape),))
    array = from_json(data, spec, Place(f"{field}.data"), get_config().max_body_bytes)
    return array if nested else array.reshape(shape)


def _shape(tensor: Mapping[str, Any], field: str) -> Shape:
    shape = tensor.get("shape")
    if not isinstance(shape, list) or len(shape) > MAX_RANK:
        expected = f"a list of at most {MAX_RANK} sizes"
        raise InvalidRequest(f"{field}.shape", expected, described(tensor, "shape"))
    for position, size in enumerate(shape):
        if type(size) is not int or size < 0:
            raise InvalidRequest(f"{field}.shape[{position}]", "a size from 0", describe(size))
    if prod(size or 1 for size in shape) > MAX_ELEMENTS:
        raise InvalidRequest(f"{field}.shape", f"at most {MAX_ELEMENTS} elements", str(shape))
    return tuple(shape)


def name_of(tensor: Any, field: str) -> str:
    """Of an input or output. Raises InvalidRequest."""
    if not isinstance(tensor, dict):
        raise InvalidRequest(field, "an object", describe(tensor))
    name = tensor.get("name")
    if not isinstance(name, str) or not name:
        raise InvalidRequest(f"{field}.name", "a string that is not empty", described(tensor, "name"))
    return name


def parameters(holder: Mapping[str, Any], field: str = "") -> Mapping[str, Any]:
    """Those of a request, an input or an output; what this service does not know is left alone, as the
    protocol has it. Raises InvalidRequest for those that ask for what is not offered."""
    given = holder.get("parameters")
    place = f"{field}.parameters" if field else "parameters"
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise InvalidRequest(place, "an object", describe(given))
    for name, value in given.items():
        if name.startswith("shared_memory_"):
            raise InvalidRequest(
                f"{place}.{name[:100]}", "no shared memory: it is not offered", describe(value)
            )
        if name.startswith("sequence_") and value not in (0, "", False, None):
            expected = "no sequence: every request stands for itself"
            raise InvalidRequest(f"{place}.{name[:100]}", expected, describe(value))
    return given


def priority(given: Mapping[str, Any]) -> Priority:
    """1 is the highest, 0 the default. Raises InvalidRequest."""
    level = given.get("priority", 0)
    if type(level) is not int or level < 0:
        raise InvalidRequest("parameters.priority", "a whole number from 0", describe(level))
    return _LEVELS.get(level, Priority.LOW)


_LEVELS: Mapping[int, Priority] = {0: Priority.NORMAL, 1: Priority.HIGH, 2: Priority.NORMAL}


def deadline_s(given: Mapping[str, Any]) -> float | None:
    """``timeout`` is in microseconds, 0: none. Raises InvalidRequest."""
    timeout_us = given.get("timeout", 0)
    if type(timeout_us) is not int or timeout_us < 0:
        raise InvalidRequest("parameters.timeout", "microseconds, a whole number", describe(timeout_us))
    return timeout_us / 1e6 if timeout_us else None


def signature_name(given: Mapping[str, Any]) -> str:
    name = given.get("signature_name", DEFAULT_SIGNATURE)
    if not isinstance(name, str) or not name:
        raise InvalidRequest("parameters.signature_name", "a string that is not empty", describe(name))
    return name


def described(holder: Mapping[str, Any], name: str) -> str:
    return describe(holder[name]) if name in holder else "nothing"
