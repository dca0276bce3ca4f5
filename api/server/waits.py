"""Which requests may share a thread: those that wait for a result, while what they run can be interrupted."""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Any

from django.urls import Resolver404, ResolverMatch, resolve
from django.utils.module_loading import import_string

from predict_worker.conf import from_settings, get_config

from ..keys.authentication import presented
from ..views import ApiView
from .environ import Environ

SMALL_BYTES = 64 * 1024
"""What a larger body takes to read would hold up the others."""
LONGEST_PATH = 1000
"""Of those that are remembered: a caller may make up thousands of 64 KiB each."""


def may_share(variables: Environ) -> bool:
    """Whether the request may run on a hub.

    It may if its view says so, which blocks through the service alone, and nothing else will: a session or a
    password is looked up in the database, which may take its time; API keys are known, or asked for beside.
    """
    return (
        len(variables["PATH_INFO"]) <= LONGEST_PATH
        and _waits(variables["REQUEST_METHOD"], variables["PATH_INFO"])
        and _is_small(variables)
        and (variables["REQUEST_METHOD"] != "GET" or "HTTP_PREFER" in variables)
        and (get_config().allow_anonymous or presented(variables) is not None)
        and _project_can()
    )


def _is_small(variables: Environ) -> bool:
    """As it comes, and as it is."""
    length = variables.get("CONTENT_LENGTH", "0")
    return (
        "HTTP_TRANSFER_ENCODING" not in variables
        and "HTTP_CONTENT_ENCODING" not in variables
        and "npz" not in variables.get("CONTENT_TYPE", "").lower()  # a zip: 30 KB may be 30 MB
        and len(length) < 10
        and length.isdecimal()
        and int(length) <= SMALL_BYTES
    )


@lru_cache(maxsize=1024)
def route(path: str) -> ResolverMatch | None:
    """Where the project leads it, by its own URLs."""
    try:
        return resolve(path)
    except Resolver404:
        return None


def _waits(method: str, path: str) -> bool:
    match = route(path.encode("latin-1").decode("utf-8", "replace"))
    view = match and match.func
    of = getattr(view, "view_class", None) or getattr(view, "cls", None)
    return isinstance(of, type) and issubclass(of, ApiView) and method in of.waits


@cache
def _project_can() -> bool:
    """Whether nothing keeps what is a request's by the thread: no middleware, no transaction around it."""
    middleware = [import_string(path) for path in from_settings("MIDDLEWARE")]
    databases = from_settings("DATABASES", {}).values()
    return all(_fits(one) for one in middleware) and not any(
        database.get("ATOMIC_REQUESTS") for database in databases
    )


def _fits(middleware: Any) -> bool:
    """Django runs one that is only asynchronous in an event loop of its own: this thread has one already."""
    return getattr(middleware, "async_capable", False) and getattr(middleware, "sync_capable", True)
