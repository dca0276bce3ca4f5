"""What models and workers there are."""

from __future__ import annotations

from django.http import HttpResponse
from rest_framework.request import Request

from predict_worker.connect import service

from ..views import ApiView, json_response
from . import render


class Models(ApiView):
    def get(self, request: Request) -> HttpResponse:
        return json_response({"models": [render.summary(model) for model in service().models()]})


class OneModel(ApiView):
    def get(self, request: Request, name: str) -> HttpResponse:
        return json_response(render.model_object(service().model(name)))


class Workers(ApiView):
    def get(self, request: Request) -> HttpResponse:
        return json_response({"workers": [render.worker_object(worker) for worker in service().workers()]})
