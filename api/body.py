"""Reading a request's body within ``MAX_BODY_BYTES``, plain or compressed."""

from __future__ import annotations

import zlib
from collections.abc import Mapping

from django.http import HttpRequest
from rest_framework.exceptions import UnsupportedMediaType

from predict_worker.conf import get_config
from predict_worker.core.errors import InvalidRequest, PayloadTooLarge

UNKNOWN_LENGTH = "-1"
PIECE_BYTES = 4096

# The header's name -> zlib's window bits (https://zlib.net/manual.html, inflateInit2).
CODINGS: Mapping[str, int] = {"gzip": 31, "x-gzip": 31, "deflate": 15}


def admit_chunked(request: HttpRequest) -> None:
    """Let a body of undeclared length be read: Django and DRF take one without Content-Length as empty."""
    meta = request.META
    if meta.get("CONTENT_LENGTH") or "chunked" not in meta.get("HTTP_TRANSFER_ENCODING", "").lower():
        return
    meta["CONTENT_LENGTH"] = UNKNOWN_LENGTH
    if meta.get("wsgi.input_terminated"):
        request._stream = meta["wsgi.input"]


def read_body(request: HttpRequest) -> bytes:
    """The body, inflated. Raises PayloadTooLarge, InvalidRequest for a body that ends early or does
    not inflate, UnsupportedMediaType for an unknown Content-Encoding."""
    limit = get_config().max_body_bytes
    coding = request.META.get("HTTP_CONTENT_ENCODING", "").strip().lower()
    if coding and coding != "identity" and coding not in CODINGS:
        raise UnsupportedMediaType(coding, f"Content-Encoding {coding!r} is none of gzip, deflate, identity")
    raw = _read(request, limit)
    return _inflate(raw, coding, limit) if coding in CODINGS else raw


def _read(request: HttpRequest, limit: int) -> bytes:
    given = request.META.get("CONTENT_LENGTH") or "0"
    try:
        declared = int(given)
    except ValueError:
        raise InvalidRequest("Content-Length", "a number of bytes", repr(given[:100])) from None
    if declared > limit:
        raise _too_large(limit, f"{declared} bytes")
    parts, left = [], limit + 1
    while left and (part := request.read(left)):
        parts.append(part)
        left -= len(part)
    body = b"".join(parts)
    if len(body) > limit:
        raise _too_large(limit, "more")
    if 0 <= declared != len(body):
        raise InvalidRequest("body", f"{declared} bytes as Content-Length says", f"{len(body)} bytes")
    return body


def _inflate(raw: bytes, coding: str, limit: int) -> bytes:
    view, at, inflated = memoryview(raw), 0, bytearray()
    while True:  # a gzip file may have several members
        # "deflate" is zlib's format, but some clients send the bare one.
        bare = coding == "deflate" and at < len(view) and (view[at] & 0x0F != 8)
        stream = zlib.decompressobj(-15 if bare else CODINGS[coding])
        while not stream.eof:
            # In pieces: what follows a member is copied at its end, and there may be a million members.
            piece = view[at : at + PIECE_BYTES]
            if not piece:
                raise InvalidRequest("body", f"complete {coding} data", "data that ends early")
            try:
                inflated += stream.decompress(piece, limit + 1 - len(inflated))
            except zlib.error as error:
                raise InvalidRequest("body", f"{coding} data", str(error)) from None
            if len(inflated) > limit:
                raise _too_large(limit, "more once inflated")
            at += len(piece) - len(stream.unused_data)
        if at == len(view):
            return bytes(inflated)


def _too_large(limit: int, got: str) -> PayloadTooLarge:
    return PayloadTooLarge("body", f"at most {limit} bytes (MAX_BODY_BYTES)", got)
