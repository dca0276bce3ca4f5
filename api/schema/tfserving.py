"""TensorFlow Serving's operations."""

from __future__ import annotations

from .describing import describe, operation
from .parts import (
    JSON,
    PREFER_ASYNC,
    STRING,
    Json,
    answer,
    applied,
    array,
    by_name,
    errors,
    record,
    ref,
    where_and_when,
)

TAG = "TensorFlow Serving"
COMPONENTS: dict[str, Json] = {
    "ServingError": record({"error": STRING}),
    "ServingRequest": {
        "type": "object",
        "description": "`instances` or `inputs` to predict, `examples` to classify and regress.",
        "properties": {
            "signature_name": STRING,
            "instances": array({}, minItems=1),
            "inputs": {},
            "examples": array({"type": "object"}, minItems=1),
            "context": {"type": "object"},
        },
    },
    "ServingAnswer": {
        "type": "object",
        "properties": {"predictions": {}, "outputs": {}, "results": {}},
        "minProperties": 1,
        "maxProperties": 1,
    },
    "ServingSpec": record({"name": STRING, "signature_name": STRING, "version": STRING}),
    "ServingPending": record({"model_spec": ref("ServingSpec"), "job": STRING, "state": STRING}),
    "ServingStatus": record(
        {
            "model_version_status": array(
                record(
                    {
                        "version": STRING,
                        "state": {"enum": ["START", "LOADING", "AVAILABLE", "UNLOADING", "END"]},
                        "status": record({"error_code": STRING, "error_message": STRING}),
                    }
                )
            )
        }
    ),
    "ServingMetadata": record({"model_spec": ref("ServingSpec"), "metadata": by_name({})}),
}
VARIANTS = ("", "/versions/{version}", "/labels/{label}")
"""Of a model's path: the regular expressions of its URLs hold them all."""


def _errors(*statuses: int) -> dict[tuple[int, str], object]:
    return {**errors("ServingError", JSON, 400, 401, 403, 404, 503, *statuses)}


_ASKED = [PREFER_ASYNC, applied(200, 202), *where_and_when(202)]
_ANSWERED = {
    200: answer(ref("ServingAnswer"), "`predictions` to rows, `outputs` to columns, `results` to examples."),
    202: answer(ref("ServingPending"), "A job."),
}

describe(
    "tfserving.views.Ask",
    post=operation(
        "Predict, classify or regress",
        tag=TAG,
        request={JSON: ref("ServingRequest")},
        parameters=_ASKED,
        responses={**_ANSWERED, **_errors(409, 429, 501, 504)},
    ),
)
describe(
    "tfserving.views.OneJob",
    get=operation(
        "Look at a job",
        tag=TAG,
        parameters=_ASKED,
        responses={**_ANSWERED, **_errors(409, 504)},
    ),
)
describe(
    "tfserving.views.Status",
    get=operation(
        "A model's versions",
        tag=TAG,
        responses={200: answer(ref("ServingStatus"), "And their states."), **_errors()},
    ),
)
describe(
    "tfserving.views.Metadata",
    get=operation(
        "A model's signatures",
        tag=TAG,
        responses={200: answer(ref("ServingMetadata"), "As a `SignatureDef`."), **_errors()},
    ),
)
describe(
    "tfserving.views.Metrics",
    get=operation(
        "Gauges of models and workers",
        tag=TAG,
        responses={(200, "text/plain"): answer(STRING, "In Prometheus' text format."), **_errors()},
    ),
)
