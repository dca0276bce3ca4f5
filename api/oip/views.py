"""Inference, at once or as a job."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from rest_framework.request import Request

from predict_worker.codec import Arrays
from predict_worker.codec.from_json import describe
from predict_worker.connect import service
from predict_worker.core.errors import InvalidRequest, JobNotFound
from predict_worker.core.spec import ModelRef
from predict_worker.service import PredictRequest

from .. import calls, json_text, prefer
from ..auth import owner_of
from ..body import read_body
from . import binary, parse, render
from .errors import OipView
from .refs import default_signature, model_ref, published
from .wanted import Form, Wanted, from_metadata, kept


class Infer(OipView):
    waits = frozenset({"POST"})

    def post(self, request: Request, name: str, version: str | None = None) -> HttpResponse:
        ref = model_ref(name, version)
        fields, inputs = _read(request, ref)
        wanted = Wanted(others=Form(binary=True)) if fields is None else Wanted.of(fields)
        preference = prefer.parse(request.META.get("HTTP_PREFER", ""))
        asked = self._asked(request, ref, fields or {}, inputs, wanted, keep=preference.respond_async)
        answer, _ = calls.call(request, asked)
        final = answer.job.state.final
        headers = preference.applied(waited_s=answer.waited_s, answered_async=not final)
        if not final:
            return render.accepted(answer.job, wanted, service().retry_after_s(answer.job), headers)
        accept = request.META.get("HTTP_ACCEPT_ENCODING", "")
        return render.response(answer.job, calls.outputs(answer), wanted, accept, headers)

    def _asked(
        self, request: Request, ref: ModelRef, fields: Any, inputs: Arrays, wanted: Wanted, *, keep: bool
    ) -> PredictRequest:
        given = parse.parameters(fields)
        asked = PredictRequest(
            ref=ref,
            inputs=inputs,
            signature_name=parse.signature_name(given),
            outputs=tuple(wanted.outputs or ()),
            priority=parse.priority(given),
            deadline_s=parse.deadline_s(given),
            metadata=kept(fields) if keep else {},
            owner=owner_of(request),
            request_id=self.request_id,
        )
        spec = service().resolve(ref).spec
        signature = spec and spec.signatures.get(asked.signature_name)
        if signature:
            render.refuse_unwritable(signature, wanted)
        return asked


class OneJob(OipView):
    """What ``Prefer: respond-async`` has made of a request, or any other job of the model."""

    def get(self, request: Request, name: str, job_id: str) -> HttpResponse:
        preference = prefer.parse(request.META.get("HTTP_PREFER", ""))
        answer = service().get(job_id, owner_of(request), preference.wait_s or 0)
        job = answer.job
        if job.model != name:
            raise JobNotFound(job_id)
        wanted = from_metadata(job.metadata)
        headers = preference.applied(waited_s=answer.waited_s, answered_async=False)
        if not job.state.final:
            return render.accepted(job, wanted, service().retry_after_s(job), headers)
        accept = request.META.get("HTTP_ACCEPT_ENCODING", "")
        return render.response(job, calls.outputs(answer), wanted, accept, headers)


def _read(request: Request, ref: ModelRef) -> tuple[dict[str, Any] | None, Arrays]:
    """The JSON's fields, None for a body that is nothing but the input; and the inputs."""
    body = read_body(request._request)
    text, tail = binary.divided(body, request.META.get("HTTP_INFERENCE_HEADER_CONTENT_LENGTH"))
    if tail is not None and not text:
        name, array = binary.only_input(tail, default_signature(published(ref)[1]))
        return None, Arrays({name: array})
    fields = json_text.loads(text)
    if not isinstance(fields, dict):
        raise InvalidRequest("body", "a JSON object", describe(fields))
    return fields, parse.inputs(fields, tail)
