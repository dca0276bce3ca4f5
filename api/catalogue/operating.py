"""What operators do with a model's queue."""

from __future__ import annotations

from django.http import HttpResponse
from rest_framework.request import Request

from predict_worker.connect import service
from predict_worker.core.ports import Mode

from ..auth import StaffOnly
from ..views import ApiView, json_response
from . import render


class SetMode(ApiView):
    """``mode`` is given by the path."""

    permission_classes = (StaffOnly,)
    mode = Mode.SERVING

    def post(self, request: Request, name: str) -> HttpResponse:
        service().queues.set_mode(name, self.mode)
        return json_response({"name": name, **render.queue(service().queues.stats(name))})


class Purge(ApiView):
    permission_classes = (StaffOnly,)

    def post(self, request: Request, name: str) -> HttpResponse:
        cancelled = service().queues.purge(name)
        return json_response(
            {"name": name, "cancelled": cancelled, **render.queue(service().queues.stats(name))}
        )
