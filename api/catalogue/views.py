"""What models and workers there are."""

from __future__ import annotations

from contextlib import suppress

from django.http import HttpResponse
from rest_framework.request import Request

from predict_worker.connect import service
from predict_worker.core.errors import StoreUnavailable

from ..auth import StaffOnly, may_use
from ..views import ApiView, json_response
from . import render


class Models(ApiView):
    def get(self, request: Request) -> HttpResponse:
        seen = [model for model in service().models() if may_use(request, model.entry.name)]
        return json_response({"models": [render.summary(model) for model in seen]})


class OneModel(ApiView):
    def get(self, request: Request, name: str) -> HttpResponse:
        model, stats = service().model(name), None
        with suppress(StoreUnavailable):  # the model itself is known from before
            stats = service().queues.stats(name)
        return json_response(render.model_object(model, stats))


class Workers(ApiView):
    permission_classes = (StaffOnly,)

    def get(self, request: Request) -> HttpResponse:
        return json_response({"workers": [render.worker_object(worker) for worker in service().workers()]})
