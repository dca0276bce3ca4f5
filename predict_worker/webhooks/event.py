"""The body of a webhook."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ..codec import dumps
from ..core.hooks import Due
from ..core.job import Job
from ..job_object import job_object, rfc3339

MAX_BYTES = 20_000
MAX_OUTPUT_BYTES = 4 * MAX_BYTES
"""Raw outputs of more cannot be shorter as JSON: no element of eight bytes is written in less than two."""

_LONGEST_DETAIL = 1000


def body(due: Due, job: Job, payloads: Sequence[bytes] | None, public_url: str) -> bytes:
    """``{"type": "job.succeeded", "timestamp", "data"}``, where data is the job as the API shows it.

    What would make it too long is left out: the outputs, which are where ``urls.result`` says, then what is
    said of the error beyond its beginning.
    """
    whole = _body(due, job, payloads, public_url)
    if len(whole) > MAX_BYTES:
        whole = _body(due, job, None, public_url)
    if len(whole) > MAX_BYTES and job.error:
        error = replace(job.error, detail=job.error.detail[:_LONGEST_DETAIL], attempts=())
        whole = _body(due, replace(job, error=error), None, public_url)
    return whole


def _body(due: Due, job: Job, payloads: Sequence[bytes] | None, public_url: str) -> bytes:
    at = f"{public_url.rstrip('/')}/api/jobs/{job.id}"
    urls = {"self": at, "result": f"{at}/result", "cancel": f"{at}/cancel", "events": f"{at}/events"}
    told: dict[str, Any] = {
        "type": f"job.{due.event}",
        "timestamp": rfc3339(due.created_at),
        "data": job_object(job, payloads, urls),
    }
    return dumps(told)
