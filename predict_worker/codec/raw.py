"""A caller's inputs before they are checked against a signature, and their payload.

A payload of the second kind, ``b"PWJ1"`` and JSON, carries the inputs of a model that no
worker has loaded yet: only the worker that loads it can know their dtypes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..core.errors import CorruptPayload, InvalidRequest
from .dtypes import Array, canonical
from .payload import pack, unpack

MAGIC = b"PWJ1"


@dataclass(frozen=True, slots=True)
class Columnar:
    """JSON of the field ``inputs``: one array with the batch dimension, or one for each input name."""

    value: Any


@dataclass(frozen=True, slots=True)
class Instances:
    """JSON of the field ``instances``: a row each, or an object of one value for each input name."""

    rows: list[Any]


@dataclass(frozen=True, slots=True)
class Arrays:
    """Arrays by input name; the name ``""`` stands for the only input."""

    arrays: Mapping[str, Array]


RawInputs = Columnar | Instances | Arrays


def pack_raw(raw: RawInputs) -> bytes:
    """Raises InvalidRequest for JSON too deeply nested to be any tensor, and for arrays that no tensor is."""
    if isinstance(raw, Arrays):
        try:
            return pack({name: canonical(array) for name, array in raw.arrays.items()})
        except TypeError as error:
            raise InvalidRequest("inputs", "arrays of numbers or texts", str(error)) from None
    content = {"inputs": raw.value} if isinstance(raw, Columnar) else {"instances": raw.rows}
    try:
        # Not orjson: it writes NaN and infinities as null, and refuses integers past 64 bits.
        return MAGIC + json.dumps(content, separators=(",", ":")).encode()
    except RecursionError:
        raise InvalidRequest(next(iter(content)), "nested lists of numbers", "deeper nesting") from None


def unpack_raw(payload: bytes) -> RawInputs:
    """Inputs from a payload of either kind. Raises CorruptPayload."""
    if payload[:4] != MAGIC:
        return Arrays(unpack(payload))
    try:
        content = json.loads(payload[4:])
    except (ValueError, RecursionError) as error:
        raise CorruptPayload(f"unreadable inputs: {error}") from None
    match content:
        case {"inputs": value}:
            return Columnar(value)
        case {"instances": [*rows]}:
            return Instances(rows)
    raise CorruptPayload("neither inputs nor instances")
