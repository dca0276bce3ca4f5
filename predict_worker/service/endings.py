"""A job with the facts of its end, as a reply brings them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from ..core.job import Job, from_micros
from ..core.ports import JobEnd


def ended(job: Job, end: JobEnd, expires_in_s: float) -> Job:
    """The final job; ``expires_in_s`` counts from its end. What the reply does not say stays."""
    finished_at = from_micros(end.finished_us)
    return replace(
        job,
        state=end.state,
        version=job.version if end.version is None else end.version,
        digest=end.digest or job.digest,
        artefact=end.artefact or job.artefact,
        attempts=end.attempts,
        queue_position=None,
        started_at=from_micros(end.started_us),
        finished_at=finished_at,
        expires_at=finished_at + timedelta(seconds=expires_in_s),
        timings=end.timings,
        error=end.error,
        ranges_done=job.ranges,
    )
