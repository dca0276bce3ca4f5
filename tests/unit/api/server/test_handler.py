"""Requests of a hub are answered as Django's own handler answers them."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextvars import Context
from functools import partial, wraps
from typing import Any

import pytest
from django.core.cache import caches
from django.core.cache.backends.locmem import LocMemCache
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_finished, request_started
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.test import override_settings
from django.urls import include, path

from api.server import Server
from api.server.environ import environ_of
from api.server.handler import SharedHandler
from api.server.reply import Reply, reply_of
from api.server.waits import route
from predict_worker.core.inbox import Inbox, ThreadInbox, one_of
from tests.unit.api.server.test_asgi import JOB, Middleware, post
from tests.unit.api.server.test_environ import scope
from tests.unit.world import World

happened: list[str] = []


class Closing:
    """What a view or a middleware may leave to be closed."""

    def close(self) -> None:
        happened.append("closed")

    def fail(self) -> None:
        raise OSError("cannot be closed")


class CountedCache(LocMemCache):
    def close(self, **kwargs: Any) -> None:
        happened.append("cache closed")


def cookie(request: HttpRequest) -> HttpResponse:
    response = HttpResponse("plain")
    response.set_cookie("a", "1")
    return response


def parts(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse([b"one", b"two"])


def closing(request: HttpRequest) -> HttpResponse:
    response = HttpResponse("plain")
    closers = response._resource_closers  # type: ignore[attr-defined]
    closers += [Closing().fail, Closing().close]
    return response


class OwnResponse(HttpResponse):
    def close(self) -> None:
        happened.append("own close")
        super().close()


def own(request: HttpRequest) -> HttpResponse:
    return OwnResponse("plain")


def caching(request: HttpRequest) -> HttpResponse:
    caches["default"].set("a", 1)
    return HttpResponse("plain")


def other(request: HttpRequest) -> HttpResponse:
    return HttpResponse("another urlconf's")


class Elsewhere(Middleware):
    def __call__(self, request: HttpRequest) -> HttpResponse:
        request.urlconf = Other  # type: ignore[assignment]
        return super().__call__(request)


class Other:
    urlpatterns = (path("plain", other),)


urlpatterns = [
    path("", include("api.urls")),
    path("plain", cookie),
    path("parts", parts),
    path("closing", closing),
    path("own", own),
    path("caching", caching),
]


@pytest.fixture(autouse=True)
def _urls() -> Iterator[None]:
    happened.clear()
    route.cache_clear()
    with override_settings(ROOT_URLCONF=__name__):
        yield
    route.cache_clear()


def asked(at: str, method: str = "GET", body: bytes = b"", **given: Any) -> dict[str, Any]:
    sent = [(b"host", b"testserver"), (b"x-request-id", b"one"), (b"content-length", b"%d" % len(body))]
    variables = environ_of(scope(path=at, method=method, headers=sent, **given))
    return {**variables, "CONTENT_TYPE": "application/json", "wsgi.input": io.BytesIO(body)}


class Blocking:
    """A hub of one request."""

    def inbox(self) -> Inbox:
        return ThreadInbox()

    def apart(self, run: Callable[[], Any]) -> Any:
        return run()


def shared(variables: dict[str, Any]) -> Reply:
    def run() -> Reply:
        one_of(Blocking())
        return SharedHandler().reply(variables)

    return Context().run(run)


def facts(reply: Reply) -> tuple[int, list[tuple[str, str]], bytes]:
    return reply.status, sorted(reply.headers), reply.body


class Proxy:
    """As tools put in the place of a function: all but the call is the function's own."""

    def __init__(self, function: Any) -> None:
        self._function = function

    def __getattr__(self, name: str) -> Any:
        return getattr(self._function, name)

    def __get__(self, handler: Any, of: type) -> Any:
        return self if handler is None else partial(self, handler)

    def __call__(self, *given: Any) -> Any:
        happened.append("proxied")
        return self._function(*given)


def test_a_tool_that_is_in_the_place_of_djangos_method_sees_all(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(WSGIHandler, "__call__", Proxy(WSGIHandler.__call__))
    assert post(Server(WSGIHandler(), threads=1), JOB)[0] == 202
    assert happened == ["proxied"]


@pytest.mark.parametrize("method", ["__call__", "get_response"])
def test_a_tool_that_watches_djangos_handler_sees_all(
    world: World, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    djangos = getattr(WSGIHandler, method)

    @wraps(djangos)
    def watched(self: WSGIHandler, *given: Any) -> Any:
        happened.append(method)
        return djangos(self, *given)

    monkeypatch.setattr(WSGIHandler, method, watched)
    assert post(Server(WSGIHandler(), threads=1), JOB)[0] == 202
    assert happened == [method]


def test_an_application_around_djangos_handler_sees_all(world: World) -> None:
    djangos = WSGIHandler()

    def around(variables: dict[str, Any], start_response: Any) -> Any:
        happened.append("around")
        return djangos(variables, start_response)

    assert post(Server(around, threads=1), JOB)[0] == 202
    assert happened == ["around"]


@pytest.mark.parametrize(
    "variables",
    [
        {"at": "/plain"},
        {"at": "/api/jobs", "method": "POST", "body": b"{"},
        {"at": "/api/jobs/0-no", "method": "GET"},
        {"at": "/nowhere"},
        {"at": "/api/jobs", "method": "PUT"},
    ],
)
def test_a_request_is_answered_as_django_does(world: World, variables: dict[str, Any]) -> None:
    assert facts(shared(asked(**variables))) == facts(reply_of(WSGIHandler(), asked(**variables)))


def test_a_stream_stays_one(world: World) -> None:
    assert list(shared(asked("/parts")).body) == [b"one", b"two"]


def test_what_a_response_leaves_is_closed_whatever_fails_at_that() -> None:
    assert shared(asked("/closing")).status == 200
    assert happened == ["closed"]


def test_a_response_may_have_its_own_way_to_close() -> None:
    shared(asked("/own"))
    assert happened == ["own close"]


def test_what_a_request_has_opened_is_closed() -> None:
    with override_settings(CACHES={"default": {"BACKEND": f"{__name__}.CountedCache"}}):
        shared(asked("/caching"))
    assert happened == ["cache closed"]


def test_who_listens_to_djangos_signals_hears_them() -> None:
    def hears(signal: Any, **_: Any) -> None:
        happened.append("started" if signal is request_started else "finished")

    for heard in ([request_started], [request_finished], [request_started, request_finished]):
        happened.clear()
        for signal in heard:
            signal.connect(hears)
        shared(asked("/plain"))
        for signal in heard:
            signal.disconnect(hears)
        assert happened == ["started" if signal is request_started else "finished" for signal in heard]


def test_a_content_type_that_django_cannot_read_is_refused(world: World) -> None:
    variables = asked("/api/jobs", "POST", JOB) | {"CONTENT_TYPE": "application/json; boundary*=no-such''x"}
    assert shared(variables).status == 415


def test_urls_begin_where_the_project_does(world: World) -> None:
    reply = shared(asked("/under/api/jobs", "POST", JOB, root_path="/under"))
    assert reply.status == 202
    assert dict(reply.headers)["Location"].startswith("/under/api/jobs/")
    assert dict(shared(asked("/api/jobs", "POST", JOB)).headers)["Location"].startswith("/api/jobs/")


def test_a_middleware_may_choose_the_urls() -> None:
    with override_settings(MIDDLEWARE=[f"{__name__}.Elsewhere"]):
        assert shared(asked("/plain")).body == b"another urlconf's"


def test_an_error_is_logged(world: World, caplog: pytest.LogCaptureFixture) -> None:
    shared(asked("/api/jobs", "POST", b"{"))
    assert "Bad Request: /api/jobs" in caplog.text
