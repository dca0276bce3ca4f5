"""The repository extension: what exists, and whether callers may ask for it.

Workers load what is in the repository by themselves; nobody can tell them to hold less over HTTP. What this
can do, and means to a caller: an unloaded model refuses requests once what is queued has run (``drain``), a
loaded one takes them again (``resume``).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.http import HttpResponse
from rest_framework.request import Request

from predict_worker.codec.from_json import describe
from predict_worker.connect import service
from predict_worker.core.errors import InvalidRequest
from predict_worker.core.ports import Mode
from predict_worker.service import ModelView

from .. import json_text
from ..auth import StaffOnly, may_use
from ..body import read_body
from ..keys.scopes import Scope
from ..views import json_response
from .errors import NotOffered, OipView
from .parse import parameters


class Index(OipView):
    scope = Scope.READ

    def post(self, request: Request) -> HttpResponse:
        ready = _fields(request).get("ready", False)
        if not isinstance(ready, bool):
            raise InvalidRequest("ready", "true or false", describe(ready))
        rows = [row for model in _allowed(request) for row in _rows(model)]
        return json_response([row for row in rows if not ready or row["state"] == "READY"])


class SetMode(OipView):
    """``mode`` is given by the path."""

    permission_classes = (StaffOnly,)
    mode = Mode.SERVING

    def post(self, request: Request, name: str) -> HttpResponse:
        for parameter in parameters(_fields(request)):
            if parameter == "config" or parameter.startswith("file:"):
                raise NotOffered(f"parameters.{parameter[:100]}: models come from the repository alone")
        service().queues.set_mode(name, self.mode)
        return json_response({})


def _allowed(request: Request) -> list[ModelView]:
    return [model for model in service().models() if may_use(request, model.entry.name)]


def _fields(request: Request) -> dict[str, Any]:
    """An empty body is an empty object."""
    fields = json_text.loads(read_body(request._request) or b"{}")
    if not isinstance(fields, dict):
        raise InvalidRequest("body", "a JSON object", describe(fields))
    return fields


def _rows(model: ModelView) -> Iterator[dict[str, str]]:
    name, errors = model.entry.name, dict[int, str]()
    for worker in model.workers:
        errors |= {s.version: s.error for s in worker.models if s.model == name and s.error}
    mode = service().queues.stats(name).mode
    for version in sorted({*model.entry.versions, *model.ready}):
        serving = version in model.ready and mode is Mode.SERVING
        reason = f"the model is {mode}" if version in model.ready else errors.get(version, "not loaded")
        yield {
            "name": name,
            "version": str(version),
            "state": "READY" if serving else "UNAVAILABLE",
            "reason": "" if serving else reason,
        }
    if not model.entry.versions and not model.ready:
        yield {
            "name": name,
            "version": "",
            "state": "UNAVAILABLE",
            "reason": model.entry.error or "no version",
        }
