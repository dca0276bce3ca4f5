"""What models and workers there are."""

from __future__ import annotations

from contextlib import suppress

from django.http import HttpResponse
from rest_framework.request import Request

from predict_worker.connect import service
from predict_worker.core.errors import StoreUnavailable

from ..views import ApiView, json_response
from . import render


class Models(ApiView):
    def get(self, request: Request) -> HttpResponse:
        return json_response({"models": [render.summary(model) for model in service().models()]})


class OneModel(ApiView):
    def get(self, request: Request, name: str) -> HttpResponse:
        model, stats = service().model(name), None
        with suppress(StoreUnavailable):  # the model itself is known from before
            stats = service().queues.stats(name)
        return json_response(render.model_object(model, stats))


class Workers(ApiView):
    def get(self, request: Request) -> HttpResponse:
        return json_response({"workers": [render.worker_object(worker) for worker in service().workers()]})
