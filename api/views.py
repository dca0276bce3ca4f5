"""What all views of the API have in common."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import IO, Any

from django.http import HttpRequest, HttpResponse
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import NotFound, UnsupportedMediaType
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.permissions import BasePermission
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.views import APIView

from predict_worker.codec import dumps

from .auth import ConfiguredAuthentication, OwnersOnly
from .body import admit_chunked
from .content_type import refuse_unreadable
from .errors import exception_handler
from .keys.scopes import Scope

REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}\Z")


class JsonRenderer(BaseRenderer):
    media_type = "application/json"
    format = "json"
    charset = None

    def render(
        self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None
    ) -> bytes:
        return dumps(data)


class UnreadParser(BaseParser):
    """Leaves any body where it is: for views that take none or read it themselves. Whoever looks for a CSRF
    token in a form (session authentication) finds an empty one, and the token's header counts."""

    media_type = "*/*"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Any = None
    ) -> dict[str, Any]:
        return {}


class ByMediaType(BaseContentNegotiation):
    """A body is read as its Content-Type says; answers have one form, whatever ``Accept`` says."""

    def select_parser(self, request: Request, parsers: Iterable[BaseParser]) -> BaseParser:
        given = request.content_type.partition(";")[0].strip().lower()
        of_kind = f"{given.partition('/')[0]}/*"
        for parser in parsers:
            if parser.media_type in (given, of_kind, UnreadParser.media_type):
                return parser
        known = ", ".join(str(parser.media_type) for parser in parsers)
        raise UnsupportedMediaType(given, f"Content-Type {given!r} is none of {known}")

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        renderer = next(iter(renderers))
        return renderer, str(renderer.media_type)


class ApiView(APIView):
    """Errors are problems, answers are JSON, and every answer carries its ``X-Request-ID``."""

    authentication_classes: Sequence[type[BaseAuthentication]] = (ConfiguredAuthentication,)
    permission_classes: Sequence[type[BasePermission]] = (OwnersOnly,)
    throttle_classes = ()
    parser_classes: Sequence[type[BaseParser]] = (UnreadParser,)
    renderer_classes = (JsonRenderer,)
    content_negotiation_class = ByMediaType
    metadata_class = None
    versioning_class = None
    waits: frozenset[str] = frozenset()  # methods that wait for results, and block through the service alone
    scope: Scope | None = None  # what a caller needs, where it does not follow from the method
    request_id = ""
    rate_headers: Mapping[str, str] = {}

    @property
    def default_response_headers(self) -> dict[str, str]:
        """None: ``Allow`` goes with 405 and OPTIONS, where it is asked for."""
        return {}

    def initialize_request(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Request:
        given = request.META.get("HTTP_X_REQUEST_ID", "")
        self.request_id = given if REQUEST_ID.match(given) else os.urandom(16).hex()
        if "HTTP_TRANSFER_ENCODING" in request.META:
            admit_chunked(request)
        return super().initialize_request(request, *args, **kwargs)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        refuse_unreadable(request._request)
        super().initial(request, *args, **kwargs)

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        response = super().finalize_response(request, response, *args, **kwargs)
        # DRF's request holds itself by the first, Django's view by the second (its alias of get): with the
        # inputs they would stay until the next garbage collection.
        request.parser_context.clear()
        vars(self).pop("head", None)
        response["X-Request-ID"] = self.request_id
        for name, value in self.rate_headers.items():
            response[name] = value
        if response.status_code != 204 and not response.streaming:
            response["Content-Length"] = str(len(response.content))  # else the server sends it in chunks
        return response

    def get_exception_handler(self) -> Any:
        return exception_handler

    def options(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        return HttpResponse(status=204, headers={"Allow": ", ".join(self.allowed_methods)})


class NoSuchPath(ApiView):
    """Any path that no other view has."""

    authentication_classes = ()
    permission_classes = ()

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        raise NotFound(f"no resource at {request.path}")


def json_response(data: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> HttpResponse:
    """JSON that no cache may keep: it is one caller's own, and true for now only."""
    return HttpResponse(
        dumps(data),
        status=status,
        content_type="application/json",
        headers={"Cache-Control": "no-store", **(headers or {})},
    )
