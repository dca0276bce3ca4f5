"""What descriptions of operations are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse

Json = dict[str, Any]
Responses = Mapping[Any, Any]

PROBLEM = "application/problem+json"
JSON = "application/json"
STRING: Json = {"type": "string"}
INTEGER: Json = {"type": "integer"}
NUMBER: Json = {"type": "number"}
BOOLEAN: Json = {"type": "boolean"}
MOMENT: Json = {"type": "string", "format": "date-time"}
BINARY: Json = {"type": "string", "format": "binary"}
MODEL_NAME: Json = {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"}
VERSION: Json = {"type": "string", "pattern": "^[0-9]{1,18}$"}
IN_PATH: Mapping[str, tuple[Json, str]] = {
    "name": (MODEL_NAME, "A model's name."),
    "version": (VERSION, "A version's number."),
    "label": (MODEL_NAME, "A label's name."),
    "verb": ({"enum": ["predict", "classify", "regress"]}, "What is asked."),
    "owner": (STRING, "Anything: models have no owners here."),
    "job_id": (STRING, "As the answer that made the job has it."),
    "endpoint_id": (STRING, "`jobs` is the caller's own, for URLs that jobs name."),
    "delivery_id": (STRING, "As the receiver gets it in `webhook-id`."),
}
"""What the variables of paths are, wherever they occur."""
JOB_ID: Json = {"type": "string", "pattern": "^[0-9]{1,5}-[0-9a-f]{32}$"}


def ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def or_null(schema: Json) -> Json:
    return {"anyOf": [schema, {"type": "null"}]}


def array(items: Json, **bounds: Any) -> Json:
    return {"type": "array", "items": items, **bounds}


def by_name(values: Json) -> Json:
    return {"type": "object", "additionalProperties": values}


def record(properties: Mapping[str, Json], optional: Sequence[str] = (), **more: Any) -> Json:
    """An object with these properties and no others, all of them required but the ``optional``."""
    required = [name for name in properties if name not in optional]
    closed = {"type": "object", "properties": dict(properties), "additionalProperties": False}
    return {**closed, **({"required": required} if required else {}), **more}


def query(name: str, schema: Json, description: str) -> OpenApiParameter:
    return OpenApiParameter(name, schema, OpenApiParameter.QUERY, description=description)


def in_path(name: str) -> OpenApiParameter:
    schema, description = IN_PATH[name]
    return OpenApiParameter(name, schema, OpenApiParameter.PATH, required=True, description=description)


def header(
    name: str, description: str, response: Any = False, schema: Any = OpenApiTypes.STR
) -> OpenApiParameter:
    """Of the request, or with ``response`` of the answers with these statuses (True: all)."""
    return OpenApiParameter(name, schema, OpenApiParameter.HEADER, description=description, response=response)


REQUEST_ID = header("X-Request-ID", "Told in the answer, in logs and problems.")
ANSWERED_ID = header("X-Request-ID", "That of the request, or a new one.", True)
PREFER = header("Prefer", "`wait=N`: hold the answer for up to N seconds, until the job is final (RFC 7240).")
PREFER_ASYNC = header("Prefer", "`respond-async`: 202 with where to look, at once; `wait=N` bounds the wait.")


def applied(*statuses: int) -> OpenApiParameter:
    return header("Preference-Applied", "What of `Prefer` was honoured.", list(statuses))


def where_and_when(*statuses: int) -> list[OpenApiParameter]:
    return [
        header("Location", "Where the job is found.", list(statuses)),
        header("Retry-After", "Seconds after which a look is worth while.", list(statuses), OpenApiTypes.INT),
    ]


EVENT: Json = {
    "type": "object",
    "description": "One of the stream's events; `data` is JSON.",
    "properties": {"id": STRING, "event": STRING, "data": STRING},
}


def answer(schema: Json | None, description: str) -> OpenApiResponse:
    return OpenApiResponse(schema, description=description)


def problems(*statuses: int) -> dict[tuple[int, str], OpenApiResponse]:
    """Of the native API, besides those of who asks (401, 403), of any request and of the store."""
    return errors("Problem", PROBLEM, 400, 401, 403, 503, *statuses)


def errors(component: str, media_type: str, *statuses: int) -> dict[tuple[int, str], OpenApiResponse]:
    return {
        (status, media_type): answer(ref(component), HTTPStatus(status).phrase)
        for status in sorted({*statuses})
    }


def responses_by_media_type(responses: Responses) -> dict[Any, Any]:
    """A bare status means JSON."""
    return {
        (status if isinstance(status, tuple) else (str(status), JSON)): answer
        for status, answer in responses.items()
    }
