"""TensorFlow Serving's REST API."""

from __future__ import annotations

from typing import Any, NoReturn

from django.http import HttpResponse
from rest_framework.request import Request

from predict_worker.connect import service
from predict_worker.core.errors import JobNotFound
from predict_worker.service import PredictRequest

from .. import prefer
from ..auth import StaffOnly, owner_of
from ..calls import call
from ..views import ApiView, json_response
from . import answers, json_body, metrics, models
from .errors import InvalidArgument, exception_handler, malformed
from .parse import question
from .targets import Target


class TfServingView(ApiView):
    def get_exception_handler(self) -> Any:
        return exception_handler


class Ask(TfServingView):
    waits = frozenset({"POST"})

    def post(self, request: Request, name: str, verb: str, **which: str) -> HttpResponse:
        target = _target(name, **which)
        resolved = target.resolve()
        asked = question(verb.lower(), json_body.read(request), resolved.spec)
        later = prefer.parse(request.META.get("HTTP_PREFER", "")).respond_async
        answer, preference = call(
            request,
            PredictRequest(
                ref=target.ref,
                inputs=asked.inputs,
                signature_name=asked.signature_name,
                metadata=answers.remembered(asked.form) if later else {},
                owner=owner_of(request),
                request_id=self.request_id,
            ),
        )
        return answers.answered(answer, asked.form, preference)


class OneJob(TfServingView):
    """A request with ``Prefer: respond-async``, looked at later."""

    def get(self, request: Request, name: str, job_id: str) -> HttpResponse:
        preference = prefer.parse(request.META.get("HTTP_PREFER", ""))
        answer = service().get(job_id, owner_of(request), preference.wait_s or 0)
        if answer.job.model != name:
            raise JobNotFound(job_id)
        return answers.answered(answer, answers.form_of(answer.job), preference)


class Status(TfServingView):
    def get(self, request: Request, name: str, **which: str) -> HttpResponse:
        return json_response(models.status(_target(name, **which)))


class Metadata(TfServingView):
    def get(self, request: Request, name: str, **which: str) -> HttpResponse:
        return json_response(models.metadata(_target(name, **which)))


class Metrics(TfServingView):
    permission_classes = (StaffOnly,)

    def get(self, request: Request) -> HttpResponse:
        text = metrics.exposition(service())
        return HttpResponse(text, content_type=metrics.CONTENT_TYPE, headers={"Cache-Control": "no-store"})


class Nameless(TfServingView):
    def get(self, request: Request) -> HttpResponse:
        raise InvalidArgument("Missing model name in request.")


class Malformed(TfServingView):
    """Any path that no other view has."""

    authentication_classes = ()
    permission_classes = ()

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> NoReturn:
        raise InvalidArgument(malformed(request))


def _target(name: str, version: str | None = None, label: str | None = None) -> Target:
    return Target(name, None if version is None else int(version), label)
