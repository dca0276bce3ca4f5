"""Rows that come as files or texts (``TensorSpec.encoded``): a transform in the worker makes the tensor."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import Any

import numpy as np

from .codec.dtypes import DTYPES, STRING, Array
from .codec.from_json import Place
from .core.errors import InvalidRequest
from .core.spec import DYNAMIC, TensorSpec

IMAGE = "image"
TEXT = "text"


def is_encoded(value: Any) -> bool:
    """Whether an input that may come either way came encoded: texts, or ``{"b64": ...}`` in JSON."""
    if isinstance(value, np.ndarray):
        return value.dtype.kind in "OSU"
    return isinstance(value, list) and bool(value) and type(value[0]) in (str, dict)


def as_strings(spec: TensorSpec) -> TensorSpec:
    """What an encoded input is on its way to the worker: one string a row."""
    return TensorSpec(spec.name, STRING, (DYNAMIC,) if spec.shape is None else spec.shape[:1])


def decoded_bytes(spec: TensorSpec) -> int:
    """Of the tensor that is made of one row; 0 where its shape is open."""
    sizes = (DYNAMIC,) if spec.shape is None else spec.shape[1:]
    return 0 if DYNAMIC in sizes or spec.dtype == STRING else prod(sizes) * DTYPES[spec.dtype].itemsize


def check_encoded(encoded: str, rows: Array, place: Place) -> None:
    """Images by their first bytes alone: what is inside is the worker's affair. Raises InvalidRequest."""
    if encoded not in _EXPECTED:
        return
    accepts, expected = _EXPECTED[encoded]
    for row, data in enumerate(rows.reshape(-1).tolist()):
        if not accepts(data):
            got = f"{len(data)} bytes that begin with {data[:12]!r}" if data else "an empty file"
            raise InvalidRequest(place((row,)), expected, got)


def image_type(data: bytes) -> str | None:
    """``png``, ``jpeg`` or ``webp``; None for anything else."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if data.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    return "webp" if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else None


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


_EXPECTED: Mapping[str, tuple[Callable[[bytes], object], str]] = {
    IMAGE: (image_type, "a PNG, JPEG or WebP image"),
    TEXT: (_is_text, "a text in UTF-8"),
}
