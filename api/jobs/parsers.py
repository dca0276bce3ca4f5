"""The media types of a job's request. Each gives the request's fields by name.

JSON gives them as they came; of ``.npy``, ``.npz`` and images the field ``inputs`` is made of the
body and the other fields come from the query. A form has both (:mod:`api.jobs.forms`).
"""

from __future__ import annotations

from typing import IO, Any

from django.http import HttpRequest
from rest_framework.parsers import BaseParser, DataAndFiles

from predict_worker.codec import Arrays, read_npy, read_npz
from predict_worker.codec.from_json import describe
from predict_worker.conf import get_config
from predict_worker.core.errors import InvalidRequest

from .. import json_text
from ..body import read_body
from . import forms
from .texts import Fields, typed_fields


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
        fields = typed_fields(request.GET.lists())
        return {**fields, "inputs": Arrays({"": read_npy(read_body(request), "inputs")})}


class NpzParser(BaseParser):
    media_type = "application/x-npz"

    def parse(self, stream: IO[Any], media_type: str | None = None, parser_context: Any = None) -> Fields:
        request = _request(parser_context)
        fields = typed_fields(request.GET.lists())
        return {**fields, "inputs": Arrays(read_npz(read_body(request), get_config().max_body_bytes))}


class ImageParser(BaseParser):
    """One image, as the file is: the web looks at its first bytes, workers decode it."""

    media_type = "image/*"

    def parse(self, stream: IO[Any], media_type: str | None = None, parser_context: Any = None) -> Fields:
        request = _request(parser_context)
        fields = typed_fields(request.GET.lists())
        return {**fields, "inputs": Arrays({"": forms.as_rows([read_body(request)])})}


class FormParser(BaseParser):
    """Django's own two halves of a form, in which others look for a CSRF token; see :func:`.form_fields`."""

    media_type = "multipart/form-data"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Any = None
    ) -> DataAndFiles[Any, Any]:
        return forms.read(_request(parser_context))


def _request(parser_context: Any) -> HttpRequest:
    request: HttpRequest = parser_context["request"]._request
    return request
