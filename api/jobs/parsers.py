"""The media types of a job's request. Each gives the request's fields by name.

JSON gives them as they came; of ``.npy`` and ``.npz`` the field ``inputs`` is made of the
body and the other fields come from the query.
"""

from __future__ import annotations

from typing import IO, Any

from django.http import HttpRequest, QueryDict
from rest_framework.parsers import BaseParser

from predict_worker.codec import Arrays, read_npy, read_npz
from predict_worker.codec.from_json import describe
from predict_worker.conf import get_config
from predict_worker.core.errors import InvalidRequest

from ..body import read_body
from . import json_text

Fields = dict[str, Any]


class JsonParser(BaseParser):
    media_type = "application/json"

    def parse(self, stream: IO[Any], media_type: str | None = None, parser_context: Any = None) -> Fields:
        fields = json_text.loads(read_body(_request(parser_context)))
        if not isinstance(fields, dict):
            raise InvalidRequest("body", "a JSON object", describe(fields))
        return fields


class NpyParser(BaseParser):
    media_type = "application/x-npy"

    def parse(self, stream: IO[Any], media_type: str | None = None, parser_context: Any = None) -> Fields:
        request = _request(parser_context)
        fields = _query_fields(request.GET)
        return {**fields, "inputs": Arrays({"": read_npy(read_body(request), "inputs")})}


class NpzParser(BaseParser):
    media_type = "application/x-npz"

    def parse(self, stream: IO[Any], media_type: str | None = None, parser_context: Any = None) -> Fields:
        request = _request(parser_context)
        fields = _query_fields(request.GET)
        return {**fields, "inputs": Arrays(read_npz(read_body(request), get_config().max_body_bytes))}


def _request(parser_context: Any) -> HttpRequest:
    request: HttpRequest = parser_context["request"]._request
    return request


def _query_fields(query: QueryDict) -> Fields:
    """Query parameters in the types that JSON would give them: ``outputs`` is a list separated by commas."""
    fields: Fields = {}
    for name, values in query.lists():
        if len(values) > 1:
            raise InvalidRequest(name, "one value", f"{len(values)}")
        if name in ("inputs", "instances"):
            raise InvalidRequest(name, "the inputs in the body", "a query parameter")
        fields[name] = _typed(name, values[0])
    return fields


def _typed(name: str, text: str) -> Any:
    match name:
        case "outputs":
            return text.split(",")
        case "metadata":
            return json_text.loads(text.encode(), name)
        case "deadline_s":
            try:
                return float(text)
            except ValueError:
                return text
    return text
