"""The native jobs API."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from django.utils.datastructures import MultiValueDict
from rest_framework.exceptions import NotAcceptable
from rest_framework.request import Request

from predict_worker.codec import join_ranges, write_npy
from predict_worker.connect import service
from predict_worker.core.errors import InvalidRequest
from predict_worker.job_object import outputs_object
from predict_worker.service import Answer

from .. import prefer
from ..admission import submit
from ..auth import owner_of
from ..views import ApiView, json_response
from . import forms, parse, render
from .paging import answered, asked
from .parsers import FormParser, ImageParser, JsonParser, NpyParser, NpzParser


class Jobs(ApiView):
    waits = frozenset({"POST"})
    parser_classes = (JsonParser, NpyParser, NpzParser, ImageParser, FormParser)

    def get(self, request: Request) -> HttpResponse:
        query = asked(request, "limit", "cursor", "state", "model")
        page = service().backlog.jobs(owner_of(request), query.limit, query.cursor, query.state, query.model)
        return answered(page)

    def post(self, request: Request) -> HttpResponse:
        preference = prefer.parse(request.META.get("HTTP_PREFER", ""))
        predict_request = parse.predict_request(
            _fields(request),
            owner=owner_of(request),
            request_id=self.request_id,
            key_header=request.META.get("HTTP_IDEMPOTENCY_KEY"),
        )
        answer = submit(request, predict_request, preference.wait_s or 0)
        return render.answered(answer, preference, service())


def _fields(request: Request) -> Any:
    fields = request.data
    if isinstance(fields, MultiValueDict):
        fields = forms.form_fields(request)
    if not fields:
        raise InvalidRequest("body", "the fields of a request", "nothing")
    return fields


class OneJob(ApiView):
    waits = frozenset({"GET"})

    def get(self, request: Request, job_id: str) -> HttpResponse:
        preference = prefer.parse(request.META.get("HTTP_PREFER", ""))
        answer = service().get(job_id, owner_of(request), preference.wait_s or 0)
        return render.found(answer, preference, service())

    def delete(self, request: Request, job_id: str) -> HttpResponse:
        service().delete(job_id, owner_of(request))
        return HttpResponse(status=204)


class Cancel(ApiView):
    def post(self, request: Request, job_id: str) -> HttpResponse:
        job = service().cancel(job_id, owner_of(request))
        return json_response(render.job_object(Answer(job)))


class Result(ApiView):
    """The outputs alone: JSON, or a ``.npy`` file where there is one output."""

    def get(self, request: Request, job_id: str) -> HttpResponse:
        form = request.get_preferred_type(["application/json", "application/x-npy"])
        if form is None:
            raise NotAcceptable("a result is application/json or application/x-npy")
        answer = service().result(job_id, owner_of(request))
        payloads = answer.payloads or ()
        if form == "application/json":
            return json_response({"outputs": outputs_object(payloads)}, headers={"Vary": "Accept"})
        outputs = join_ranges(payloads)
        if len(outputs) != 1:
            raise NotAcceptable(f"a .npy file holds one output, this job has {', '.join(outputs)}")
        (array,) = outputs.values()
        headers = {"Cache-Control": "no-store", "Vary": "Accept"}
        return HttpResponse(write_npy(array), content_type="application/x-npy", headers=headers)
