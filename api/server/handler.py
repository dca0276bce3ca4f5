"""Django's WSGI handler for the requests of a hub, without what they have no use for.

Around each request Django tidies its thread: the names of URLs, connections of databases and caches. A hub's
request has a context (:mod:`contextvars`) of its own instead, which is new and mostly stays as it is: then
there is nothing to tidy.
"""

from __future__ import annotations

from contextlib import suppress
from contextvars import copy_context
from types import FunctionType
from typing import Any

from django.core.cache import close_caches
from django.core.handlers import base, wsgi
from django.core.handlers.base import reset_urlconf
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_finished, request_started
from django.db import close_old_connections, reset_queries
from django.dispatch import Signal
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import ResolverMatch, set_script_prefix
from django.utils.log import log_response

from ..content_type import shield
from .environ import Environ
from .reply import Reply, Wsgi, reply_of
from .waits import route

_TIDY = frozenset(map(id, (close_caches, close_old_connections, reset_queries, reset_urlconf, shield)))
"""Receivers of Django's two signals that find nothing to do, or are called for here."""

_DJANGOS = {base.__file__, wsgi.__file__}


class SharedHandler(WSGIHandler):
    """To be called in a context into which nothing but the hub itself has been put.

    It makes the project's middleware once more, as another process would.
    """

    def reply(self, variables: Environ) -> Reply:
        if _others_hear(request_started):
            return reply_of(self, variables)
        shield(variables)
        request = self.request_class(variables)
        if script_name := variables["SCRIPT_NAME"]:  # as the request has found it out
            set_script_prefix(script_name)
        response = self.get_response(request)
        response._handler_class = type(self)
        cookies = (("Set-Cookie", cookie.output(header="")) for cookie in response.cookies.values())
        headers = [*response.items(), *cookies]
        if response.streaming:
            return Reply(response.status_code, headers, response)
        try:
            return Reply(response.status_code, headers, response.content)
        finally:
            _close(response)

    def get_response(self, request: HttpRequest) -> Any:
        """Django's, for which a context without a urlconf has the project's."""
        response = self._middleware_chain(request)  # type: ignore[attr-defined]
        response._resource_closers.append(request.close)
        if response.status_code >= 400:
            reason = response.reason_phrase
            log_response("%s: %s", reason, request.path, response=response, request=request)
        return response

    def resolve_request(self, request: HttpRequest) -> ResolverMatch:
        """Django's, with a memory."""
        if hasattr(request, "urlconf") or (match := route(request.path_info)) is None or match.kwargs:
            return super().resolve_request(request)
        request.resolver_match = match
        return match


def is_djangos(application: Wsgi) -> bool:
    """Whether this is Django's handler as it came: tools that watch requests replace its methods."""
    methods: list[Any] = [WSGIHandler.__call__, WSGIHandler.get_response, WSGIHandler.resolve_request]
    return type(application) is WSGIHandler and all(
        type(method) is FunctionType and method.__code__.co_filename in _DJANGOS for method in methods
    )


def _close(response: Any) -> None:
    overridden = getattr(response.close, "__func__", None) is not HttpResponseBase.close
    if overridden or len(copy_context()) > 1 or _others_hear(request_finished):
        response.close()
        return
    for close in response._resource_closers:
        with suppress(Exception):  # as Django does: the answer is there all the same
            close()
    response._resource_closers.clear()
    response.closed = True


def _others_hear(signal: Signal) -> bool:
    return any(receiver[0][0] not in _TIDY for receiver in signal.receivers)
