"""Operations of Replicate's API."""

from __future__ import annotations

from .describing import describe, operation
from .parts import (
    EVENT,
    INTEGER,
    JSON,
    MOMENT,
    NUMBER,
    PREFER,
    PROBLEM,
    STRING,
    Json,
    Responses,
    answer,
    applied,
    array,
    errors,
    header,
    or_null,
    query,
    record,
    ref,
)

TAG = "Replicate"
_REQUEST: dict[str, Json] = {
    "input": {"type": "object", "description": "By the names of the model's inputs, with their rows."},
    "stream": {"type": "boolean"},
    "webhook": or_null({"type": "string", "format": "uri"}),
    "webhook_events_filter": array({"enum": ["start", "output", "logs", "completed"]}),
}
_OPTIONAL = ("stream", "webhook", "webhook_events_filter")

COMPONENTS: dict[str, Json] = {
    "PredictionRequest": record(
        {"version": {"type": "string", "description": "`NAME`, `NAME:VERSION` or `NAME:LABEL`."}, **_REQUEST},
        optional=_OPTIONAL,
    ),
    "PredictionRequestOfModel": record(_REQUEST, optional=_OPTIONAL),
    "Prediction": record(
        {
            **dict.fromkeys(("id", "model", "version", "logs"), STRING),
            "status": {"enum": ["starting", "processing", "succeeded", "failed", "canceled"]},
            "input": {},
            "output": {},
            "error": or_null(STRING),
            "metrics": record({"predict_time": NUMBER}, optional=("predict_time",)),
            **{f"{event}_at": or_null(MOMENT) for event in ("created", "started", "completed")},
            "urls": record(dict.fromkeys(("get", "cancel", "stream"), STRING)),
        }
    ),
    "Predictions": record(
        {"previous": or_null(STRING), "next": or_null(STRING), "results": array(ref("Prediction"))}
    ),
    "PredictionProblem": record({"type": STRING, "title": STRING, "status": INTEGER, "detail": STRING}),
}


def _problems(*statuses: int) -> dict[tuple[int, str], object]:
    return {**errors("PredictionProblem", PROBLEM, 400, 401, 403, 503, *statuses)}


_CREATED: Responses = {
    201: answer(ref("Prediction"), "Created; final if it was within the wait."),
    **_problems(404, 413, 415, 422, 429),
}

describe(
    "replicate.views.Predictions",
    get=operation(
        "List one's own predictions",
        tag=TAG,
        parameters=[query("cursor", STRING, "Of the page before.")],
        responses={200: answer(ref("Predictions"), "The newest first."), **_problems()},
    ),
    post=operation(
        "Create a prediction",
        tag=TAG,
        request={JSON: ref("PredictionRequest")},
        parameters=[PREFER, applied(201)],
        responses=_CREATED,
    ),
)
describe(
    "replicate.views.OfModel",
    post=operation(
        "Create a prediction of a model",
        tag=TAG,
        request={JSON: ref("PredictionRequestOfModel")},
        parameters=[
            *(PREFER, applied(201)),
        ],
        responses=_CREATED,
    ),
)
describe(
    "replicate.views.OnePrediction",
    get=operation(
        "Look at a prediction",
        tag=TAG,
        responses={200: answer(ref("Prediction"), "The prediction."), **_problems(404, 410)},
    ),
)
describe(
    "replicate.views.Cancel",
    post=operation(
        "Cancel a prediction",
        tag=TAG,
        responses={200: answer(ref("Prediction"), "Cancelled."), **_problems(404, 409)},
    ),
)
describe(
    "replicate.views.Stream",
    get=operation(
        "A prediction's events",
        tag=TAG,
        parameters=[header("Last-Event-ID", "Go on after this event.")],
        responses={
            (200, "text/event-stream"): answer(EVENT, "Until it has ended."),
            204: None,
            **_problems(404),
        },
    ),
)
