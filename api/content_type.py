"""``Content-Type``: Django reads its parameters, and the query by its charset, before it asks any view."""

from __future__ import annotations

import codecs
from typing import Any

from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpRequest
from django.utils.http import parse_header_parameters
from rest_framework.exceptions import UnsupportedMediaType

GIVEN = "predict_worker.content_type"
"""In a request's ``META``: the header as it came, where :func:`shield` has cut it."""

NO_TEXT = "binary"
"""What ``file --mime`` calls the charset of an image."""
_PYTHONS_OWN = frozenset({"idna", "punycode", "raw-unicode-escape", "undefined", "unicode-escape"})
"""Codecs of texts that no body is in: they fail at most queries."""


def shield(environ: dict[str, Any] | None = None, **_: Any) -> None:
    """Receives ``request_started``. A request that Django could not even make loses these parameters: a view
    then sees it, and refuses it (:func:`refuse_unreadable`, or whoever reads the query)."""
    meta = environ or {}  # under ASGI there is none, and Django reads nothing by the charset
    given = meta.get("CONTENT_TYPE", "")
    if ";" not in given:
        return
    try:
        WSGIRequest(dict(meta))
    except Exception:  # LookupError, ValueError, SuspiciousOperation: codecs raise what they like
        meta["CONTENT_TYPE"], meta[GIVEN] = given.partition(";")[0], given


def refuse_unreadable(request: HttpRequest) -> None:
    """Raises UnsupportedMediaType for a charset that no text can be in."""
    given = request.META.get(GIVEN) or request.META.get("CONTENT_TYPE", "")
    if ";" in given and not _readable(given):
        wanted = "a charset of texts, such as utf-8, and parameters that can be read"
        raise UnsupportedMediaType(given, f"Content-Type: expected {wanted}, got {given[:100]!r}")


def _readable(content_type: str) -> bool:
    try:
        charset = parse_header_parameters(content_type)[1].get("charset", "")
        if charset in ("", NO_TEXT):
            return True
        "a".encode(charset)  # a codec that is none of texts raises LookupError, too
        return codecs.lookup(charset).name not in _PYTHONS_OWN
    except (LookupError, ValueError):
        return False
