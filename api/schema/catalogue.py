"""Models, workers and health."""

from __future__ import annotations

from predict_worker.core.ports import Mode

from .describing import describe, operation
from .parts import (
    BOOLEAN,
    INTEGER,
    NUMBER,
    STRING,
    VERSION,
    Json,
    answer,
    array,
    by_name,
    or_null,
    problems,
    record,
    ref,
)

TAG, OPERATING, HEALTH = "models", "operating", "health"
_COUNT: Json = {"type": "integer", "minimum": 0}
_STATE: Json = or_null({"enum": [mode.value for mode in Mode]})
_QUEUE: Json = or_null(record({"waiting": _COUNT, "running": _COUNT}))
_LABELS = {"labels": by_name(STRING), "moved_labels": array(STRING), "canary": by_name(NUMBER)}
_SUMMARY = {"name": STRING, "labels": by_name(STRING), "ready": by_name(_COUNT), "error": or_null(STRING)}
_STATUS = {"state": STRING, "error": or_null(STRING), "load_ms": or_null(NUMBER)}

COMPONENTS: dict[str, Json] = {
    "ModelSummary": record({**_SUMMARY, "versions": array(STRING)}),
    "Models": record({"models": array(ref("ModelSummary"))}),
    "Tensor": record(
        {"dtype": STRING, "shape": or_null(array(INTEGER)), "encoded": or_null({"enum": ["image", "text"]})},
        description="A shape of null: any; -1: any size. `encoded`: what may be sent instead, one a row.",
    ),
    "Signature": record({"inputs": by_name(ref("Tensor")), "outputs": by_name(ref("Tensor"))}),
    "ModelVersion": record(
        {
            "version": STRING,
            "in_repository": BOOLEAN,
            "artefact": or_null(STRING),
            "digest": or_null(STRING),
            "signatures": or_null(by_name(ref("Signature"))),
            "batch": or_null(
                record(
                    {
                        "max_rows": INTEGER,
                        "max_bytes": INTEGER,
                        "linger_ms": NUMBER,
                        "pad_to": array(INTEGER),
                    }
                )
            ),
            "timeout_s": or_null(NUMBER),
            "workers": array(record({"consumer": STRING, **_STATUS})),
        }
    ),
    "Model": record(
        {
            **_SUMMARY,
            **_LABELS,
            "state": _STATE,
            "queue": _QUEUE,
            "shadows": array(by_name({})),
            "versions": array(ref("ModelVersion")),
        }
    ),
    "ModelLabels": record({"name": STRING, **_LABELS}),
    "ModelQueue": record({"name": STRING, "state": _STATE, "queue": _QUEUE}),
    "Purged": record({"name": STRING, "cancelled": _COUNT, "state": _STATE, "queue": _QUEUE}),
    "LabelTarget": record({"version": VERSION}),
    "Worker": record(
        {
            **dict.fromkeys(("consumer", "host", "state"), STRING),
            **dict.fromkeys(("pid", "loads", "batches"), INTEGER),
            "started_at": or_null({"type": "string", "format": "date-time"}),
            "age_s": NUMBER,
            "error": or_null(STRING),
            "models": array(record({"model": STRING, "version": STRING, **_STATUS})),
        }
    ),
    "Workers": record({"workers": array(ref("Worker"))}),
    "Health": record({"status": {"const": "ok"}}),
    "Readiness": record(
        {"ready": BOOLEAN, "redis": BOOLEAN, "models": by_name(by_name(_COUNT)), "reasons": array(STRING)}
    ),
}

describe(
    "catalogue.views.Models",
    get=operation(
        "List models",
        tag=TAG,
        responses={200: answer(ref("Models"), "Those that the caller may use."), **problems()},
    ),
)
describe(
    "catalogue.views.OneModel",
    get=operation(
        "Look at a model",
        tag=TAG,
        description="Its versions with their signatures, its labels, queue and workers.",
        responses={200: answer(ref("Model"), "The model."), **problems(404)},
    ),
)
describe(
    "catalogue.labels.Label",
    put=operation(
        "Move a label",
        tag=OPERATING,
        request={"application/json": ref("LabelTarget")},
        responses={200: answer(ref("ModelLabels"), "The model's labels."), **problems(404, 409, 413, 415)},
    ),
    delete=operation(
        "Clear a moved label",
        tag=OPERATING,
        responses={200: answer(ref("ModelLabels"), "The model's labels."), **problems(404)},
    ),
)
describe(
    "catalogue.operating.SetMode",
    post=operation(
        "Pause, drain or resume a model",
        tag=OPERATING,
        description="Paused, it takes jobs and runs none; draining, it runs what is queued and takes none.",
        responses={200: answer(ref("ModelQueue"), "Its queue."), **problems(404)},
    ),
)
describe(
    "catalogue.operating.Purge",
    post=operation(
        "Cancel all that waits for a model",
        tag=OPERATING,
        responses={200: answer(ref("Purged"), "How many were cancelled."), **problems(404)},
    ),
)
describe(
    "catalogue.views.Workers",
    get=operation(
        "List workers", tag=OPERATING, responses={200: answer(ref("Workers"), "All that live."), **problems()}
    ),
)
describe(
    "ops.views.Health",
    get=operation(
        "Does this process answer?", tag=HEALTH, responses={200: answer(ref("Health"), "It does.")}
    ),
)
describe(
    "ops.views.Readiness",
    get=operation(
        "Would a prediction be answered?",
        tag=HEALTH,
        responses={
            200: answer(ref("Readiness"), "Redis answers, and a model has a ready worker."),
            503: answer(ref("Readiness"), "Not yet, with the reasons."),
        },
    ),
)
