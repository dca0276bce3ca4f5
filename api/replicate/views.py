"""Predictions as Replicate's API has them: what its published client asks for, asked of this service."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from rest_framework.request import Request

from predict_worker.connect import service
from predict_worker.core.errors import InvalidRequest
from predict_worker.service import Answer

from .. import prefer, sse
from ..admission import submit
from ..auth import owner_of
from ..views import ApiView, NoSuchPath, json_response
from . import parse, render
from .errors import exception_handler
from .stream import teller

LONGEST_WAIT_S = 60
"""What ``Prefer: wait`` without a number means to Replicate."""
PAGE = 100


class ReplicateView(ApiView):
    def get_exception_handler(self) -> Any:
        return exception_handler


class Predictions(ReplicateView):
    waits = frozenset({"POST"})

    def get(self, request: Request) -> HttpResponse:
        for name in request.query_params:
            if name != "cursor":
                raise InvalidRequest(name[:100], "no parameter but cursor", "an unknown parameter")
        cursor = request.query_params.get("cursor", "")
        found = service().backlog.jobs(owner_of(request), PAGE, cursor)
        return json_response(render.page(found, render.Site(request)))

    def post(self, request: Request, name: str | None = None) -> HttpResponse:
        site = render.Site(request)
        asked = parse.question(request, self.request_id, name)
        preference = prefer.parse(request.META.get("HTTP_PREFER", ""), LONGEST_WAIT_S)
        answer = submit(request, asked, preference.wait_s or 0)
        headers = preference.applied(waited_s=answer.waited_s, answered_async=not answer.job.state.final)
        return json_response(render.created(answer, site), 201, headers)


class OfModel(Predictions):
    """The same, of a model that the path names. Its owner may be anybody: models have none here."""

    http_method_names = ("post", "options")

    def post(self, request: Request, name: str | None = None, owner: str = "") -> HttpResponse:
        return super().post(request, name)


class OnePrediction(ReplicateView):
    def get(self, request: Request, job_id: str) -> HttpResponse:
        answer = service().get(job_id, owner_of(request))
        return json_response(render.prediction(answer, render.Site(request)))


class Cancel(ReplicateView):
    def post(self, request: Request, job_id: str) -> HttpResponse:
        site = render.Site(request)
        job = service().cancel(job_id, owner_of(request))
        return json_response(render.prediction(Answer(job), site))


class Stream(ReplicateView):
    def get(self, request: Request, job_id: str) -> HttpResponseBase:
        last, owner = sse.last_event_id(request), owner_of(request)
        return sse.answer(request, service().watch(job_id, owner), teller(owner), last)


class NoSuchReplicatePath(ReplicateView, NoSuchPath):
    """Any other path of Replicate's."""
