"""JSON objects as serialised ``tf.Example`` messages, which is what signatures to classify and regress take.

Messages: https://github.com/tensorflow/tensorflow/blob/master/tensorflow/core/example/feature.proto, in
protobuf's wire format: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np

from predict_worker.codec.dtypes import Array
from predict_worker.codec.from_json import describe

from .errors import InvalidArgument

# Field number and wire type 2: a length, then so many bytes. Also of a Feature: which kind of list it holds.
_FIRST, _SECOND, _THIRD = b"\x0a", b"\x12", b"\x1a"


def serialised(examples: Any, context: Any) -> Array:
    """A byte string for each example, of shape (examples,). ``context`` has features that all of them share
    unless they have their own. Raises InvalidArgument."""
    if not isinstance(examples, list) or not examples:
        raise InvalidArgument(f"examples: expected a list of at least one, got {describe(examples)}")
    if not isinstance(context, dict):
        raise InvalidArgument(f"context: expected an object, got {describe(context)}")
    out = np.empty(len(examples), object)
    for position, example in enumerate(examples):
        place = f"examples[{position}]"
        if not isinstance(example, dict):
            raise InvalidArgument(f"{place}: expected an object, got {describe(example)}")
        out[position] = _example({**context, **example}, place)
    return out


def _example(features: Mapping[str, Any], place: str) -> bytes:
    entries = []
    for name, value in features.items():
        try:
            entry = _field(_FIRST, name.encode()) + _field(_SECOND, _feature(value))
        except (TypeError, ValueError, OverflowError, struct.error):
            wanted = "numbers, texts or bytes of one kind that a tf.Example can hold"
            raise InvalidArgument(f"{place}.{name}: expected {wanted}, got {describe(value)}") from None
        entries.append(_field(_FIRST, entry))
    return _field(_FIRST, b"".join(entries))


def _feature(value: Any) -> bytes:
    """Raises TypeError, ValueError, OverflowError, struct.error."""
    values = value if isinstance(value, list) else [value]
    kinds = set(map(type, values))
    if kinds <= {str, dict}:
        return _field(_FIRST, b"".join(_field(_FIRST, _bytes(v)) for v in values)) if values else b""
    if kinds in ({int}, {bool}):
        return _field(_THIRD, _field(_FIRST, b"".join(_varint(_as_uint64(v)) for v in values)))
    if kinds <= {int, float}:
        return _field(_SECOND, _field(_FIRST, struct.pack(f"<{len(values)}f", *values)))
    raise TypeError


def _bytes(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if value.keys() != {"b64"}:
        raise TypeError
    return base64.b64decode(value["b64"], validate=True)


def _as_uint64(value: int) -> int:
    """Two's complement."""
    return int.from_bytes(int(value).to_bytes(8, "little", signed=True), "little")


def _field(tag: bytes, content: bytes) -> bytes:
    return tag + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
