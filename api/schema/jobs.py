"""Jobs, their results, events and dead letters."""

from __future__ import annotations

from predict_worker.service import MAX_PAGE

from .describing import describe, operation
from .job_parts import COMPONENTS as COMPONENTS
from .job_parts import STATE
from .parts import (
    BINARY,
    EVENT,
    MODEL_NAME,
    PREFER,
    STRING,
    answer,
    applied,
    header,
    problems,
    query,
    ref,
    where_and_when,
)

TAG = "jobs"
_LIMIT = query(
    "limit", {"type": "integer", "minimum": 1, "maximum": MAX_PAGE, "default": 100}, "Jobs a page."
)
_CURSOR = query("cursor", STRING, "Of the page before.")
_KEY = {"type": "string", "pattern": r'^("[!-~]{1,255}"|[!-~]{1,255})$'}
_BESIDE_FILES = [
    query(name, STRING, f"The field `{name}` of a request whose body is no JSON.")
    for name in ("signature_name", "outputs", "priority", "deadline_s", "metadata", "label", "version")
]
_RATES = [
    header(name, "Where requests have a rate (draft-ietf-httpapi-ratelimit-headers).", [200, 202, 429])
    for name in ("RateLimit", "RateLimit-Policy")
]

describe(
    "jobs.views.Jobs",
    get=operation(
        "List one's own jobs",
        tag=TAG,
        description="The newest first, without their outputs.",
        parameters=[
            _LIMIT,
            _CURSOR,
            query("state", STATE, "Only these."),
            query("model", MODEL_NAME, "Only its."),
        ],
        responses={200: answer(ref("Jobs"), "A page of jobs."), **problems()},
    ),
    post=operation(
        "Submit a job",
        tag=TAG,
        description="JSON, a NumPy file, an image or a form. A file's other fields come from the query.",
        request={
            "application/json": ref("JobRequest"),
            "application/x-npy": BINARY,
            "application/x-npz": BINARY,
            "image/*": BINARY,
            "multipart/form-data": {
                "type": "object",
                "properties": {"model": MODEL_NAME},
                "additionalProperties": True,
                "required": ["model"],
            },
        },
        parameters=[
            *(PREFER, applied(200, 202), *where_and_when(202), *_RATES),
            header("Idempotency-Key", "The same key and request again: the same job.", schema=_KEY),
            query("model", MODEL_NAME, "The field `model` of a request whose body is no JSON."),
            *_BESIDE_FILES,
        ],
        responses={
            200: answer(ref("Job"), "The job, final within the wait; it may have failed."),
            202: answer(ref("Job"), "Accepted."),
            **problems(404, 409, 413, 415, 422, 429),
        },
    ),
)
describe(
    "jobs.views.OneJob",
    get=operation(
        "Look at a job",
        tag=TAG,
        parameters=[PREFER, applied(200)],
        responses={200: answer(ref("Job"), "The job, final or not."), **problems(404, 410)},
    ),
    delete=operation("Delete a job and its data", tag=TAG, responses={204: None, **problems(404)}),
)
describe(
    "jobs.views.Cancel",
    post=operation(
        "Cancel a job",
        tag=TAG,
        responses={200: answer(ref("Job"), "Cancelled, now or before."), **problems(404, 409)},
    ),
)
describe(
    "jobs.views.Result",
    get=operation(
        "A job's outputs alone",
        tag=TAG,
        responses={
            200: answer(ref("Outputs"), "By name, with the batch dimension."),
            (200, "application/x-npy"): answer(BINARY, "The only output."),
            **problems(404, 406, 409, 410),
        },
    ),
)
describe(
    "jobs.events.Events",
    get=operation(
        "A job's events as they come",
        tag=TAG,
        description="Server-sent events `state` and `progress`.",
        parameters=[header("Last-Event-ID", "Go on after this event.")],
        responses={
            (200, "text/event-stream"): answer(EVENT, "Until the job is final."),
            204: None,
            **problems(404),
        },
    ),
)
describe(
    "jobs.dead.Redrive",
    post=operation(
        "Run a dead letter again",
        tag=TAG,
        parameters=[*where_and_when(202)],
        responses={202: answer(ref("Job"), "Queued anew."), **problems(404, 409, 410)},
    ),
)
describe(
    "jobs.dead.Dead",
    get=operation(
        "List a model's dead letters",
        tag=TAG,
        parameters=[_LIMIT, _CURSOR],
        responses={200: answer(ref("Jobs"), "Jobs that were given up."), **problems(404)},
    ),
)
describe(
    "jobs.dead.RedriveAll",
    post=operation(
        "Run a model's dead letters again",
        tag=TAG,
        description="A page of them; `cursor` leads to the rest.",
        parameters=[_CURSOR],
        responses={202: answer(ref("Redriven"), "Queued anew."), **problems(404)},
    ),
)
