"""From a job to the HTTP answer, final or not."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from django.urls import reverse

from predict_worker.connect import service
from predict_worker.core.job import Job
from predict_worker.service import Answer

from ..calls import outputs
from ..errors import retry_after
from ..prefer import Preference
from ..views import json_response
from . import render
from .parse import Form

_FORM = "form"


def answered(answer: Answer, form: Form, preference: Preference) -> HttpResponse:
    """200 with the answer in its form, 202 with where and when to look. Raises JobUnsuccessful, ResultGone,
    InvalidArgument where the outputs do not have the form's shape."""
    job = answer.job
    headers = preference.applied(waited_s=answer.waited_s, answered_async=not job.state.final)
    if job.state.final:
        return json_response(render.body(outputs(answer), form), 200, headers)
    at = reverse("prediction_api:tfserving-job", args=[job.model, job.id])
    headers |= retry_after(service().retry_after_s(job)) | {"Location": at}
    return json_response(_pending(job), 202, headers)


def _pending(job: Job) -> dict[str, Any]:
    version = "" if job.version is None else str(job.version)
    spec = {"name": job.model, "signature_name": job.signature_name, "version": version}
    return {"model_spec": spec, "job": job.id, "state": job.state.value}


def remembered(form: Form) -> dict[str, str]:
    """What a job keeps of its request, as its metadata."""
    return {_FORM: form.value}


def form_of(job: Job) -> Form:
    """Columns, which any outputs can be, for a job that came by another way."""
    try:
        return Form(str(job.metadata.get(_FORM)))
    except ValueError:
        return Form.COLUMNS
