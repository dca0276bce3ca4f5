"""From a body to what is asked. The refusals name the dialect's fields."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from rest_framework.request import Request

from predict_worker.codec import Columnar
from predict_worker.codec.from_json import describe
from predict_worker.core.errors import InvalidRequest
from predict_worker.core.spec import ModelRef
from predict_worker.service import PredictRequest

from .. import json_text
from ..auth import owner_of
from ..body import read_body

_REFERENCE = re.compile(r"(?:[^/:]+/)?(?P<name>[^/:]+)(?::(?P<which>[^/:]+))?\Z")
_NUMBER = re.compile(r"[0-9]{1,18}\Z")
_IMAGE = re.compile(r"data:image/[a-z0-9.+-]+;base64,", re.IGNORECASE)
_FIELDS = ("input", "stream", "webhook", "webhook_events_filter")


def question(request: Request, request_id: str, model: str | None = None) -> PredictRequest:
    """``model`` where the path names it, else the field ``version`` does. Raises InvalidRequest."""
    fields = json_text.loads(read_body(request._request))
    if not isinstance(fields, dict):
        raise InvalidRequest("body", "a JSON object", describe(fields))
    known = _FIELDS if model else ("version", *_FIELDS)
    for name in fields:
        if name not in known:
            raise InvalidRequest(name[:100], f"one of {', '.join(known)}", "an unknown field")
    if not isinstance(stream := fields.get("stream", False), bool):  # whether it is: it can always be
        raise InvalidRequest("stream", "true or false", describe(stream))
    return PredictRequest(
        ref=ModelRef(model) if model else _reference(fields.get("version")),
        inputs=Columnar(_inputs(fields.get("input"))),
        owner=owner_of(request),
        request_id=request_id,
        webhook=_webhook(fields),
    )


def _reference(version: Any) -> ModelRef:
    """``owner/`` is what Replicate's client asks for; whoever that is, models have none here."""
    match = _REFERENCE.match(version) if isinstance(version, str) else None
    if match is None:
        expected = '"NAME", "NAME:VERSION" or "NAME:LABEL", with or without "OWNER/" before it'
        raise InvalidRequest("version", expected, "nothing" if version is None else describe(version))
    name, which = match["name"], match["which"]
    try:
        if which is None:
            return ModelRef(name)
        return ModelRef(name, int(which)) if _NUMBER.match(which) else ModelRef(name, label=which)
    except InvalidRequest as refusal:
        raise InvalidRequest("version", refusal.expected, refusal.got) from None


def _webhook(fields: Mapping[str, Any]) -> str | None:
    """Of its events this service tells the end alone, as it tells it to everybody."""
    url, events = fields.get("webhook"), fields.get("webhook_events_filter", ["completed"])
    if url is not None and not isinstance(url, str):
        raise InvalidRequest("webhook", "a URL", describe(url))
    if events != ["completed"]:
        got = ", ".join(map(str, events))[:100] if isinstance(events, list) else describe(events)
        raise InvalidRequest("webhook_events_filter", '["completed"]', got or "an empty list")
    return url


def _inputs(given: Any) -> Mapping[str, Any]:
    if not isinstance(given, dict):
        got = "nothing" if given is None else describe(given)
        raise InvalidRequest("input", "an object with the model's inputs", got)
    return {name: _rows(value) for name, value in given.items()}


def _rows(value: Any) -> Any:
    """Images come as data URIs, a lone one is a row."""
    if isinstance(value, list):
        return [_image(row) or row for row in value] if value and isinstance(value[0], str) else value
    image = _image(value)
    return [image] if image else value


def _image(value: Any) -> dict[str, str] | None:
    match = _IMAGE.match(value) if isinstance(value, str) else None
    return {"b64": value[match.end() :]} if match and isinstance(value, str) else None
