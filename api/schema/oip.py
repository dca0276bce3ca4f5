"""The Open Inference Protocol's operations."""

from __future__ import annotations

from .describing import describe, operation
from .parts import (
    BINARY,
    BOOLEAN,
    INTEGER,
    JSON,
    PREFER_ASYNC,
    STRING,
    Json,
    answer,
    applied,
    array,
    by_name,
    errors,
    header,
    or_null,
    record,
    ref,
    where_and_when,
)

TAG = "Open Inference Protocol"
_PARAMETERS: Json = {"type": "object"}
_SHAPE = array({"type": "integer", "minimum": 0})
_OCTETS = "application/octet-stream"
_METADATA = array(record({"name": STRING, "datatype": STRING, "shape": array(INTEGER)}))

COMPONENTS: dict[str, Json] = {
    "OipError": {"type": "object", "properties": {"error": STRING}, "required": ["error"]},
    "OipServer": record({"name": STRING, "version": STRING, "extensions": array(STRING)}),
    "OipModel": record(
        {
            "name": STRING,
            "versions": array(STRING),
            "platform": STRING,
            "inputs": _METADATA,
            "outputs": _METADATA,
        }
    ),
    "OipRequest": {
        "type": "object",
        "properties": {
            "id": STRING,
            "parameters": _PARAMETERS,
            "inputs": array(ref("OipInput"), minItems=1),
            "outputs": array(
                record({"name": STRING, "parameters": _PARAMETERS}, optional=("parameters",)), minItems=1
            ),
        },
        "required": ["inputs"],
    },
    "OipInput": {
        "type": "object",
        "properties": {
            "name": {"type": "string", "minLength": 1},
            "shape": _SHAPE,
            "datatype": {
                "enum": [
                    *("BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64"),
                    *("FP16", "BF16", "FP32", "FP64", "BYTES"),
                ]
            },
            "parameters": _PARAMETERS,
            "data": array({}, description="Nested as the shape says, or flat."),
        },
        "required": ["name", "shape", "datatype"],
    },
    "OipResponse": {
        "type": "object",
        "properties": {
            "model_name": STRING,
            "model_version": STRING,
            "id": STRING,
            "parameters": _PARAMETERS,
            "outputs": array(
                record(
                    {
                        "name": STRING,
                        "datatype": STRING,
                        "shape": _SHAPE,
                        "data": array({}),
                        "parameters": _PARAMETERS,
                    },
                    optional=("data", "parameters"),
                )
            ),
        },
        "required": ["model_name", "id", "outputs"],
    },
    "OipReady": record({"name": STRING, "ready": BOOLEAN, "error": STRING}, optional=("name", "error")),
    "OipIndex": array(record(dict.fromkeys(("name", "version", "state", "reason"), STRING))),
}


def _errors(*statuses: int) -> dict[tuple[int, str], object]:
    return {**errors("OipError", JSON, 400, 401, 403, 503, *statuses)}


_ASKED = [PREFER_ASYNC, applied(200, 202), *where_and_when(202)]
_LENGTH = "Bytes of JSON before the tensors of a binary body."
_INFERRED = {
    200: answer(ref("OipResponse"), "The outputs."),
    (200, _OCTETS): answer(BINARY, "JSON, then the outputs that were asked for in binary."),
    202: answer(ref("OipResponse"), "A job, without outputs yet."),
}

describe(
    "oip.metadata.Server",
    get=operation(
        "The server", tag=TAG, responses={200: answer(ref("OipServer"), "Its extensions."), **_errors()}
    ),
)
describe(
    "oip.metadata.Live",
    get=operation(
        "Does this process answer?", tag=TAG, responses={200: answer(record({"live": BOOLEAN}), "It does.")}
    ),
)
describe(
    "oip.metadata.Ready",
    get=operation(
        "Is a model ready?",
        tag=TAG,
        responses={200: answer(ref("OipReady"), "One is."), 503: answer(ref("OipError"), "None is.")},
    ),
)
describe(
    "oip.metadata.Model",
    get=operation(
        "A model's inputs and outputs",
        tag=TAG,
        responses={200: answer(ref("OipModel"), "Of its default signature."), **_errors(404)},
    ),
)
describe(
    "oip.metadata.Config",
    get=operation(
        "A model's configuration",
        tag=TAG,
        responses={200: answer(by_name({}), "As far as Triton has words for it."), **_errors(404)},
    ),
)
describe(
    "oip.metadata.ModelReady",
    get=operation(
        "Is the model ready?",
        tag=TAG,
        responses={200: answer(ref("OipReady"), "It is."), **_errors(404)},
    ),
)
describe(
    "oip.stats.Stats",
    get=operation(
        "What was counted",
        tag=TAG,
        description="By the workers that live, since each of them started.",
        responses={200: answer(record({"model_stats": array(by_name({}))}), "By version."), **_errors(404)},
    ),
)
describe(
    "oip.views.Infer",
    post=operation(
        "Infer",
        tag=TAG,
        request={JSON: ref("OipRequest"), _OCTETS: BINARY},
        parameters=[
            *_ASKED,
            header("Inference-Header-Content-Length", _LENGTH, schema={"type": "integer", "minimum": 0}),
        ],
        responses={**_INFERRED, **_errors(404, 409, 410, 413, 415, 422, 429, 501, 504)},
    ),
)
describe(
    "oip.views.OneJob",
    get=operation(
        "Look at a job",
        tag=TAG,
        parameters=_ASKED,
        responses={**_INFERRED, **_errors(404, 409, 410, 504)},
    ),
)
describe(
    "oip.repository.Index",
    post=operation(
        "What there is",
        tag=TAG,
        request={JSON: record({"ready": BOOLEAN}, optional=("ready",))},
        responses={200: answer(ref("OipIndex"), "Models and versions."), **_errors(413, 415)},
    ),
)
describe(
    "oip.repository.SetMode",
    post=operation(
        "Resume (load) or drain (unload) a model",
        tag=TAG,
        request={JSON: {"type": "object", "properties": {"parameters": or_null(_PARAMETERS)}}},
        responses={200: answer(record({}), "Done."), **_errors(404, 413, 415, 501)},
    ),
)
