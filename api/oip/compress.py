"""Compressed answers, for those who ask (RFC 9110, 12.5.3)."""

from __future__ import annotations

import gzip
import zlib
from functools import partial

from predict_worker.core.inbox import apart

MIN_BYTES = 1024
"""What fits into a packet or so travels as fast as it is."""
_LEVEL = 1
_LARGE_BYTES = 64 * 1024
"""It takes a millisecond, and lets go of the interpreter."""


def compressed(body: bytes, accept_encoding: str) -> tuple[bytes, dict[str, str]]:
    """The body and its ``Content-Encoding``, if any: gzip or deflate, whichever is asked for first."""
    coding = _chosen(accept_encoding) if accept_encoding and len(body) >= MIN_BYTES else None
    if coding is None:
        return body, {}
    squeeze = partial(_squeezed, body, coding)
    return apart(squeeze) if len(body) > _LARGE_BYTES else squeeze(), {"Content-Encoding": coding}


def _squeezed(body: bytes, coding: str) -> bytes:
    return gzip.compress(body, _LEVEL, mtime=0) if coding == "gzip" else zlib.compress(body, _LEVEL)


def _chosen(accept_encoding: str) -> str | None:
    for item in accept_encoding.lower().split(","):
        coding, _, parameter = item.partition(";")
        refused = parameter.replace(" ", "").startswith("q=0") and not parameter.strip("q=0. \t")
        if (coding := coding.strip()) in ("gzip", "deflate") and not refused:
            return coding
    return None
