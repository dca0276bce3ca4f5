"""JSON as callers send it: strict, and every refusal says where and why."""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

from predict_worker.core.errors import InvalidRequest

_BARE_TOKEN = re.compile(r"-?(?:NaN|Infinity)")


def loads(body: bytes, field: str = "body") -> Any:
    """Raises InvalidRequest, naming ``field``: not as RFC 8259 allows, or a name twice in one object."""
    value = _parsed(body, field)
    try:
        # Without escapes, a text with one colon more than its values account for names something twice.
        if b"\\" in body or body.count(b":") != _colons(value):
            del value  # a text of empty lists takes fifty times its length, and once is enough
            _refuse_duplicates(body, field)
            value = _parsed(body, field)
    except RecursionError:
        raise InvalidRequest(field, "lists nested as deep as a tensor's", "deeper nesting") from None
    return value


def _parsed(body: bytes, field: str) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(field, "JSON", _got(error)) from None


def _got(error: json.JSONDecodeError) -> str:
    place = f"at line {error.lineno}, column {error.colno}"
    for start in (error.pos - 1, error.pos):  # the parser takes a minus sign for a number's
        if start >= 0 and (token := _BARE_TOKEN.match(error.doc, start)):
            return f'the bare token {token.group()} {place}; write "{token.group()}" in quotes'
    return f"{error.msg} {place}"


def _colons(value: Any) -> int:
    """Colons in the text of a value, without walking lists of anything but objects (then too few)."""
    if isinstance(value, dict):
        return len(value) + sum(_colons(name) + _colons(inner) for name, inner in value.items())
    if isinstance(value, str):
        return value.count(":")
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return sum(map(_colons, value))
    return 0


def _refuse_duplicates(body: bytes, field: str) -> None:
    def unique(pairs: list[tuple[str, Any]]) -> None:
        seen = set()
        for name, _ in pairs:
            if name in seen:
                raise InvalidRequest(field, "each name once in an object", f"{name[:100]!r} twice")
            seen.add(name)

    json.loads(body, object_pairs_hook=unique)
