"""A prediction's stream: ``logs`` with the progress, ``output`` or ``error``, and ``done``."""

from __future__ import annotations

from functools import cache

from predict_worker.codec import dumps
from predict_worker.connect import service
from predict_worker.core.job import Job, JobState
from predict_worker.watching import reached

from .. import sse
from . import render


def teller(owner: str) -> sse.Tell:
    """The client knows no other events. All of the output is one, as JSON."""

    @cache
    def output(job_id: str) -> bytes:
        payloads = service().get(job_id, owner).payloads
        return dumps(None if payloads is None else render.output(payloads))

    def tell(job: Job, last: sse.Id) -> list[sse.Event]:
        now = reached(job)
        if not job.state.final:
            line = render.progress(job)
            return [sse.Event((*now, 0), "logs", line.encode())] if line else []
        reason: dict[str, str] = {}
        events = []
        if job.state is JobState.SUCCEEDED:
            events = [sse.Event((*now, 0), "output", output(job.id))]
        elif job.state is JobState.CANCELLED:
            reason = {"reason": "canceled"}
        else:
            reason = {"reason": "error"}
            events = [sse.Event((*now, 0), "error", dumps({"detail": render.error(job)}))]
        return [*events, sse.Event((*now, 1), "done", dumps(reason))]

    return tell
