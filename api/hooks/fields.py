"""What requests about webhooks may say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rest_framework.request import Request

from predict_worker.codec.from_json import describe
from predict_worker.core.errors import InvalidRequest
from predict_worker.core.job import JOB_ID
from predict_worker.service import MAX_PAGE

from .. import json_text
from ..body import read_body

DEFAULT_LIMIT = 100


def body(request: Request, *known: str) -> Mapping[str, Any]:
    """The fields of a JSON object, of which these are known; none without a body. Raises InvalidRequest."""
    text = read_body(request._request)
    fields = json_text.loads(text) if text else {}
    if not isinstance(fields, dict):
        raise InvalidRequest("body", "a JSON object", describe(fields))
    for name in fields:
        if name not in known:
            raise InvalidRequest(name[:100], f"one of {', '.join(known)}", "an unknown field")
    return fields


def text(fields: Mapping[str, Any], name: str) -> str | None:
    """Raises InvalidRequest."""
    value = fields.get(name)
    if value is not None and not isinstance(value, str):
        raise InvalidRequest(name, "a string", describe(value))
    return value


def names(fields: Mapping[str, Any], name: str) -> list[str] | None:
    """Raises InvalidRequest."""
    value = fields.get(name)
    if value is not None and not (isinstance(value, list) and all(isinstance(each, str) for each in value)):
        raise InvalidRequest(name, "a list of strings", describe(value))
    return value


def seconds(fields: Mapping[str, Any], name: str, default: float) -> float:
    """Raises InvalidRequest."""
    value = fields.get(name, default)
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise InvalidRequest(name, "a number of seconds", describe(value))
    return float(value)


def page(request: Request) -> tuple[int, str, str | None]:
    """``limit``, ``cursor`` and ``job`` of the query. Raises InvalidRequest."""
    given = request.query_params
    for name in given:
        if name not in ("limit", "cursor", "job"):
            raise InvalidRequest(name[:100], "no parameter but limit, cursor, job", "an unknown one")
    limit = given.get("limit", str(DEFAULT_LIMIT))
    if not (limit.isascii() and limit.isdigit() and len(limit) < 9 and 1 <= int(limit) <= MAX_PAGE):
        raise InvalidRequest("limit", f"a whole number from 1 to {MAX_PAGE}", repr(limit))
    job_id = given.get("job")
    if job_id is not None and not JOB_ID.match(job_id):
        raise InvalidRequest("job", "the id of a job", repr(job_id[:100]))
    return int(limit), given.get("cursor", ""), job_id
