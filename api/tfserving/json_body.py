"""A request's body: JSON in which floats may also be bare ``NaN``, ``Infinity`` and ``-Infinity``."""

from __future__ import annotations

import json
import math
from typing import Any

import orjson
from rest_framework.request import Request

from predict_worker.codec.from_json import describe

from ..body import read_body
from .errors import InvalidArgument


def read(request: Request) -> dict[str, Any]:
    """Whatever its Content-Type says, as TensorFlow Serving. Raises InvalidArgument, PayloadTooLarge."""
    fields = loads(read_body(request._request))
    if not isinstance(fields, dict):
        raise InvalidArgument(f"JSON Parse error: expected an object, got {describe(fields)}")
    return fields


def loads(body: bytes) -> Any:
    if not body:
        raise InvalidArgument("JSON Parse error: The document is empty")
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        refused = error
    try:
        value = json.loads(body, parse_float=_finite)
        if b"\\u" in body:  # this parser lets half a character through, which nothing after it can write
            json.dumps(value, ensure_ascii=False).encode()
        return value
    except (ValueError, RecursionError):
        raise InvalidArgument(f"JSON Parse error: {refused.msg} at offset: {refused.pos}") from None


def _finite(text: str) -> float:
    """Who means an infinity writes one."""
    number = float(text)
    if math.isinf(number):
        raise ValueError(text)
    return number
