"""A job, what asks for one, and problems."""

from __future__ import annotations

from predict_worker.core.job import JobState, Priority

from .parts import (
    INTEGER,
    JOB_ID,
    MODEL_NAME,
    MOMENT,
    NUMBER,
    STRING,
    VERSION,
    Json,
    array,
    by_name,
    or_null,
    record,
    ref,
)

STATE: Json = {"enum": [state.value for state in JobState]}
_NAMES = array({"type": "string", "minLength": 1}, minItems=1, uniqueItems=True)
_REQUEST: Json = record(
    {
        "model": MODEL_NAME,
        "version": VERSION,
        "label": {"type": "string", "minLength": 1},
        "signature_name": {"type": "string", "minLength": 1, "default": "serving_default"},
        "inputs": {"description": "With the batch dimension: the only input's array, or arrays by name."},
        "instances": array({}, minItems=1, description="Rows: arrays, or objects by input."),
        "outputs": {**_NAMES, "description": "Those that are wanted; all by default."},
        "priority": {"enum": [priority.value for priority in Priority], "default": "normal"},
        "deadline_s": {"type": "number", "exclusiveMinimum": 0, "description": "From acceptance."},
        "metadata": {"type": "object", "description": "Up to 1 KiB of JSON, returned untouched."},
        "webhook": {"type": "string", "format": "uri", "description": "Told of the job's end."},
        "webhook_events": _NAMES,
    },
    optional=(
        *("version", "label", "signature_name", "inputs", "instances", "outputs", "priority", "deadline_s"),
        *("metadata", "webhook", "webhook_events"),
    ),
    oneOf=[{"required": ["inputs"]}, {"required": ["instances"]}],
)
_REQUEST["not"] = {"required": ["version", "label"]}

COMPONENTS: dict[str, Json] = {
    "JobRequest": _REQUEST,
    "Job": record(
        {
            "id": JOB_ID,
            "model": STRING,
            "version": or_null(STRING),
            "digest": or_null(STRING),
            "signature_name": STRING,
            "artefact": or_null(STRING),
            "state": STATE,
            "priority": {"enum": [priority.value for priority in Priority]},
            "rows": or_null(INTEGER),
            "attempts": INTEGER,
            "queue_position": or_null(INTEGER),
            **{f"{event}_at": or_null(MOMENT) for event in ("created", "started", "finished")},
            **{f"{event}_at": or_null(MOMENT) for event in ("deadline", "expires")},
            "timings": record(
                {
                    "queue_ms": or_null(NUMBER),
                    "predict_ms": or_null(NUMBER),
                    "batch_rows": or_null(INTEGER),
                }
            ),
            "outputs": or_null(by_name({})),
            "error": or_null(ref("JobError")),
            "metadata": by_name({}),
            "urls": by_name(STRING),
        }
    ),
    "JobError": record({"code": STRING, "title": STRING, "detail": STRING, "attempts": array(by_name({}))}),
    "Jobs": record({"jobs": array(ref("Job")), "cursor": or_null(STRING)}),
    "Outputs": record({"outputs": by_name({})}),
    "Redriven": record({"redriven": array(JOB_ID), "gone": array(JOB_ID), "cursor": or_null(STRING)}),
    "Problem": {
        "type": "object",
        "description": "RFC 9457; `field`, `expected` and `got` where a request's field is refused.",
        "properties": {
            **dict.fromkeys(("type", "title", "detail", "instance", "code", "request_id"), STRING),
            "status": INTEGER,
            **dict.fromkeys(("field", "expected", "got"), STRING),
        },
        "required": ["type", "title", "status", "detail", "instance", "code", "request_id"],
    },
}
