"""``multipart/form-data``: images as files, one a row, and the other fields as texts."""

from __future__ import annotations

import io
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
from django.core.exceptions import SuspiciousOperation
from django.core.files.uploadhandler import MemoryFileUploadHandler
from django.http import HttpRequest
from django.http.multipartparser import MultiPartParser, MultiPartParserError
from django.utils.datastructures import MultiValueDict
from django.utils.http import parse_header_parameters
from rest_framework.parsers import DataAndFiles
from rest_framework.request import Request

from predict_worker.codec import Arrays
from predict_worker.conf import get_config
from predict_worker.core.errors import InvalidRequest, PayloadTooLarge

from ..body import read_body
from .texts import Fields, typed_fields

CSRF_FIELD = "csrfmiddlewaretoken"  # of Django's own forms
Files = MultiValueDict[str, Any]


class InMemory(MemoryFileUploadHandler):
    """Whatever the size: the body is bounded and has been read."""

    def handle_raw_input(self, *args: Any, **kwargs: Any) -> None:
        self.activated = True


def read(request: HttpRequest) -> DataAndFiles[Any, Any]:
    """A form that nobody has read yet. Raises InvalidRequest, PayloadTooLarge."""
    body = read_body(request)
    content_type = request.META["CONTENT_TYPE"]
    meta = {"CONTENT_TYPE": content_type, "CONTENT_LENGTH": str(len(body))}
    try:
        post, files = MultiPartParser(meta, io.BytesIO(body), [InMemory()]).parse()
    except (MultiPartParserError, SuspiciousOperation) as error:
        raise InvalidRequest("body", "multipart/form-data", str(error)) from None
    boundary = parse_header_parameters(content_type)[1]["boundary"].encode()
    if b"--%b--" % boundary not in body:  # Django leaves out the last file then, without a word
        raise InvalidRequest("body", "a form that ends with its boundary", "a body that ends early")
    return DataAndFiles(post, files)


def form_fields(request: Request) -> Fields:
    """The request's fields, of its form and the query beside it: whoever has read it, we or Django before us
    (for a middleware's sake). Raises InvalidRequest, PayloadTooLarge."""
    given = chain(request.query_params.lists(), request.POST.lists())
    texts = typed_fields((name, values) for name, values in given if name != CSRF_FIELD)
    return {**texts, "inputs": _inputs(request.FILES)}


def as_rows(files: Sequence[bytes]) -> Any:
    """A string tensor of one file a row."""
    return np.array(files, object)


def _inputs(files: Files) -> Arrays:
    for name in files:
        if name != "inputs" and not name.startswith("inputs."):
            raise InvalidRequest(name[:100], "files named inputs, or inputs.NAME", "an unknown file")
    if not files:
        raise InvalidRequest("inputs", "at least one file", "none")
    if "inputs" in files and len(files) > 1:
        raise InvalidRequest("inputs", "files named inputs, or inputs.NAME, not both", "both")
    limit = get_config().max_body_bytes
    if (size := sum(file.size or 0 for _, uploads in files.lists() for file in uploads)) > limit:
        raise PayloadTooLarge("body", f"at most {limit} bytes (MAX_BODY_BYTES)", f"{size} bytes of files")
    return Arrays(
        {
            name.removeprefix("inputs").removeprefix("."): as_rows([file.read() for file in uploads])
            for name, uploads in files.lists()
        }
    )
