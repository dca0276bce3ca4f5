"""Requests that were recorded for a SavedModel's warm-up, in the file that TensorFlow Serving reads.

``assets.extra/tf_serving_warmup_requests`` is a TFRecord of its ``PredictionLog`` messages. Their schema is
not part of TensorFlow: of it only the path to a PredictRequest's inputs is followed here.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.framework import tensor_pb2

from ..codec.dtypes import Array
from ..core.errors import ModelLoadError
from ..core.spec import DEFAULT_SIGNATURE

FILE = "assets.extra/tf_serving_warmup_requests"
MAX_RECORDS = 1000
"""As many as TensorFlow Serving reads."""

_LENGTH, _CHECKSUM_BYTES = struct.Struct("<Q"), 4
_PREDICT_LOG, _REQUEST = 6, 1  # of PredictionLog, of PredictLog
_MODEL_SPEC, _INPUTS = 1, 2  # of PredictRequest
_SIGNATURE_NAME = 3  # of ModelSpec
_KEY, _VALUE = 1, 2  # of a map's entry
_VARINT, _FIXED64, _DELIMITED, _FIXED32 = 0, 1, 2, 5


def requests(saved_model: Path) -> Iterator[tuple[str, dict[str, Array]]]:
    """Signature and inputs of each recorded predict call; other calls are left out.

    Raises ModelLoadError for a file that is none.
    """
    path = saved_model / FILE
    if not path.is_file():
        return
    try:
        for record in _records(path.read_bytes()):
            for log in _submessages(record, _PREDICT_LOG):
                for request in _submessages(log, _REQUEST):
                    yield _signature_name(request), _inputs(request)
    except (ValueError, IndexError, struct.error, DecodeError) as error:
        raise ModelLoadError(f"warm-up: {FILE} is unreadable: {error}") from error


def _records(data: bytes) -> Iterator[bytes]:
    """Of a TFRecord: length, its checksum, the record, its checksum."""
    at, count = 0, 0
    while at < len(data) and count < MAX_RECORDS:
        (length,) = _LENGTH.unpack_from(data, at)
        start = at + _LENGTH.size + _CHECKSUM_BYTES
        at, count = start + length + _CHECKSUM_BYTES, count + 1
        if at > len(data):
            raise ValueError(f"it ends within record {count}")
        yield data[start : start + length]


def _signature_name(request: bytes) -> str:
    for spec in _submessages(request, _MODEL_SPEC):
        for name in _submessages(spec, _SIGNATURE_NAME):
            return name.decode() or DEFAULT_SIGNATURE
    return DEFAULT_SIGNATURE


def _inputs(request: bytes) -> dict[str, Array]:
    arrays: dict[str, Array] = {}
    for entry in _submessages(request, _INPUTS):
        name = b"".join(_submessages(entry, _KEY)).decode()
        tensor = tensor_pb2.TensorProto.FromString(b"".join(_submessages(entry, _VALUE)))
        arrays[name] = tf.make_ndarray(tensor)
    return arrays


def _submessages(message: bytes, number: int) -> Iterator[bytes]:
    """The length-delimited fields of that number."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        field, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            _, at = _varint(message, at)
        elif kind in (_FIXED64, _FIXED32):
            at += 8 if kind == _FIXED64 else 4
        elif kind == _DELIMITED:
            size, at = _varint(message, at)
            if at + size > len(message):
                raise ValueError("a field is longer than its message")
            if field == number:
                yield message[at : at + size]
            at += size
        else:
            raise ValueError(f"a field of wire type {kind}")


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
