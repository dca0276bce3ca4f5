"""A job's events as they come: its states, attempts, and how much of it is done."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime

from django.http.response import HttpResponseBase
from rest_framework.request import Request

from predict_worker.codec import dumps
from predict_worker.connect import service
from predict_worker.core.job import Job, JobState
from predict_worker.job_object import rfc3339
from predict_worker.watching import Reached, reached

from .. import sse
from ..auth import owner_of
from ..views import ApiView

_QUEUED: Reached = (0, 0, 0)
_RUNNING: Reached = (1, 0, 1)


class Events(ApiView):
    def get(self, request: Request, job_id: str) -> HttpResponseBase:
        last = sse.last_event_id(request)
        return sse.answer(request, service().watch(job_id, owner_of(request)), tell, last)


def tell(job: Job, last: sse.Id) -> list[sse.Event]:
    """What the record tells of the job's life. What came between two looks is told as its newest."""
    now = reached(job)
    events = [_event("state", _QUEUED, job, JobState.QUEUED, job.created_at)]
    if job.started_at is not None and now > _RUNNING:
        events.append(_event("state", _RUNNING, job, JobState.RUNNING, job.started_at))
    if now > _QUEUED:
        before = max(last, events[-1].id)
        goes_on = job.state is JobState.RUNNING and (before[0], before[2]) == (now[0], now[2])
        at = job.started_at if now == _RUNNING else job.finished_at
        events.append(_event("progress" if goes_on else "state", now, job, job.state, at))
    return events


def _event(name: str, at: Reached, job: Job, state: JobState, moment: datetime | None) -> sse.Event:
    error = job.error if state is JobState.FAILED else None
    data = {
        "id": job.id,
        "state": state.value,
        "attempts": at[0],
        "ranges_done": at[1],
        "ranges": job.ranges,
        "rows": job.rows,
        "at": rfc3339(moment),
        "error": asdict(error) if error else None,
    }
    return sse.Event(at, name, dumps(data))
