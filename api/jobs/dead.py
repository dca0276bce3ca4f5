"""Dead letters: jobs that were given up, and their way back."""

from __future__ import annotations

from django.http import HttpResponse
from rest_framework.request import Request

from predict_worker.connect import service
from predict_worker.service import Answer

from ..auth import scope_of
from ..prefer import NO_PREFERENCE
from ..views import ApiView, json_response
from . import render
from .paging import answered, asked


class Dead(ApiView):
    def get(self, request: Request, name: str) -> HttpResponse:
        query = asked(request, "limit", "cursor")
        return answered(service().backlog.dead(name, scope_of(request, name), query.limit, query.cursor))


class RedriveAll(ApiView):
    """A page of them at most; ``cursor`` leads to the rest."""

    def post(self, request: Request, name: str) -> HttpResponse:
        query = asked(request, "cursor")
        done = service().backlog.redrive_all(name, scope_of(request, name), query.cursor)
        body = {"redriven": done.job_ids, "gone": done.gone, "cursor": done.cursor or None}
        return json_response(body, 202)


class Redrive(ApiView):
    def post(self, request: Request, job_id: str) -> HttpResponse:
        job = service().backlog.redrive(job_id, scope_of(request))
        return render.answered(Answer(job), NO_PREFERENCE, service())
