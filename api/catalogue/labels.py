"""Labels that are moved while workers run."""

from __future__ import annotations

import re

import orjson
from django.http import HttpResponse
from rest_framework.request import Request

from predict_worker.codec.from_json import describe
from predict_worker.connect import service
from predict_worker.core.errors import InvalidRequest

from ..auth import StaffOnly
from ..body import read_body
from ..views import ApiView, json_response
from . import render

_VERSION = re.compile(r"[0-9]{1,18}\Z")


class Label(ApiView):
    """Where a label points: moved, it stays there until it is cleared."""

    permission_classes = (StaffOnly,)

    def put(self, request: Request, name: str, label: str) -> HttpResponse:
        moved = service().move_label(name, label, _version(read_body(request._request)))
        return json_response(render.labels(moved))

    def delete(self, request: Request, name: str, label: str) -> HttpResponse:
        return json_response(render.labels(service().clear_label(name, label)))


def _version(body: bytes) -> int:
    """Of ``{"version": "3"}``. Raises InvalidRequest."""
    try:
        fields = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest("body", "a JSON object", str(error)) from None
    if not isinstance(fields, dict) or fields.keys() != {"version"}:
        raise InvalidRequest("body", 'an object such as {"version": "3"}', describe(fields))
    version = fields["version"]
    if not (isinstance(version, str) and _VERSION.match(version)):
        raise InvalidRequest("version", 'an integer as a string, such as "1"', describe(version))
    return int(version)
