"""Lists of jobs: what a query may ask for, and a page of the answer."""

from __future__ import annotations

from dataclasses import dataclass

from django.http import HttpResponse
from rest_framework.request import Request

from predict_worker.core.errors import InvalidRequest
from predict_worker.core.job import JobState
from predict_worker.core.spec import ModelRef
from predict_worker.service import MAX_PAGE, Answer, Page

from ..views import json_response
from . import render

DEFAULT_LIMIT = 100


@dataclass(frozen=True, slots=True)
class Asked:
    limit: int = DEFAULT_LIMIT
    cursor: str = ""
    state: JobState | None = None
    model: str | None = None


def asked(request: Request, *known: str) -> Asked:
    """The query's parameters, of which these are known here. Raises InvalidRequest, which names one that is
    not, or whose value is none."""
    given = request.query_params
    for name in given:
        if name not in known:
            raise InvalidRequest(name, f"no parameter but {', '.join(known)}" if known else "none", name)
    limit = given.get("limit", str(DEFAULT_LIMIT))
    if not (limit.isascii() and limit.isdigit() and len(limit) < 9 and 1 <= int(limit) <= MAX_PAGE):
        raise InvalidRequest("limit", f"a whole number from 1 to {MAX_PAGE}", repr(limit))
    state, model = given.get("state"), given.get("model")
    if state is not None and state not in list(JobState):
        raise InvalidRequest("state", f"one of {', '.join(JobState)}", repr(state))
    return Asked(
        int(limit),
        given.get("cursor", ""),
        None if state is None else JobState(state),
        None if model is None else ModelRef(model).name,
    )


def answered(page: Page) -> HttpResponse:
    """The jobs without their outputs; ``cursor`` is null on the last page."""
    jobs = [render.job_object(Answer(job)) for job in page.jobs]
    return json_response({"jobs": jobs, "cursor": page.cursor or None})
