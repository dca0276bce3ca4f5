"""The ASGI application, asked as a server asks it, on a service in memory."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.test import override_settings
from django.urls import include, path

from api.server import Server, asgi, waits
from api.server.reply import Reply, send_reply
from api.server.waits import _project_can, may_share, route
from predict_worker.core.inbox import apart
from tests.unit.api.server.test_environ import scope
from tests.unit.world import DIGIT, World

LONG_S = 10.0
JOB = json.dumps({"model": "digits", "instances": DIGIT}).encode()
closed: list[str] = []


def plain(request: HttpRequest) -> HttpResponse:
    response = HttpResponse(threading.current_thread().name)
    response.set_cookie("a", "1")
    return response


def parts(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(closing("sync", [b"one", b"two"]))


def endless(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(closing("endless", iter(lambda: b".", b"")))


def async_parts(request: HttpRequest) -> StreamingHttpResponse:
    async def body() -> AsyncIterator[bytes]:
        yield b"one"
        yield b"two"

    return StreamingHttpResponse(body())


def broken(request: HttpRequest) -> StreamingHttpResponse:
    def body() -> Iterator[bytes]:
        yield b"one"
        raise KeyError("broken")

    return StreamingHttpResponse(body())


def closing(name: str, given: Iterable[bytes]) -> Iterator[bytes]:
    try:
        yield from given
    finally:
        closed.append(name)


urlpatterns = [
    path("", include("api.urls")),
    path("plain", plain),
    path("parts", parts),
    path("endless", endless),
    path("async_parts", async_parts),
    path("broken", broken),
]


@pytest.fixture(autouse=True)
def _urls() -> Iterator[None]:
    closed.clear()
    route.cache_clear()
    with override_settings(ROOT_URLCONF=__name__):
        yield
    route.cache_clear()


@pytest.fixture
def server() -> Server:
    return Server(WSGIHandler(), threads=4)


class Caller:
    """Of one request; ``leaves_after`` so many messages of the answer."""

    def __init__(self, *body: bytes, leaves_after: int | None = None) -> None:
        self._body = list(body) or [b""]
        self._leaves_after = leaves_after
        self._left = asyncio.Event()
        self.got: list[Any] = []

    async def receive(self) -> dict[str, Any]:
        if self._body:
            part = self._body.pop(0)
            return {"type": "http.request", "body": part, "more_body": bool(self._body)}
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        self.got.append(message)
        if self._leaves_after is not None and len(self.got) >= self._leaves_after:
            self._left.set()
            await asyncio.sleep(0.01)

    @property
    def answer(self) -> tuple[int, dict[str, str], bytes]:
        start, *rest = self.got
        assert [message.get("more_body", False) for message in rest] == [True] * (len(rest) - 1) + [False]
        headers = {name.decode(): value.decode() for name, value in start["headers"]}
        return start["status"], headers, b"".join(message["body"] for message in rest)


def ask(server: Server, at: str, caller: Caller, **given: Any) -> None:
    async def run() -> None:
        async with asyncio.timeout(LONG_S):
            await server(scope(path=at, **given), caller.receive, caller.send)

    asyncio.run(run())


def headers(**given: str) -> list[tuple[bytes, bytes]]:
    return [(b"host", b"testserver"), *((n.replace("_", "-").encode(), v.encode()) for n, v in given.items())]


def post(server: Server, *body: bytes, path: str = "/api/jobs", **given: str) -> tuple[int, Any]:
    caller = Caller(*body)
    length = {} if "transfer_encoding" in given else {"content_length": str(sum(map(len, body)))}
    ask(server, path, caller, headers=headers(content_type="application/json", **length, **given))
    status, _, content = caller.answer
    return status, json.loads(content)


@pytest.fixture
def answering(world: World) -> Iterator[World]:
    """A worker that answers all that comes."""
    over = threading.Event()

    def work() -> None:
        while not over.is_set():
            if world.wakeups.came.acquire(timeout=0.05):
                world.run("digits")

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    yield world
    over.set()
    thread.join(LONG_S)


def test_a_job_is_accepted(server: Server, world: World) -> None:
    status, job = post(server, JOB)
    assert (status, job["state"]) == (202, "queued")


def test_who_waits_gets_the_result(server: Server, answering: World) -> None:
    status, job = post(server, JOB, prefer="wait=10")
    assert (status, job["state"]) == (200, "succeeded")


@pytest.mark.parametrize("sent", [{}, {"transfer_encoding": "chunked"}, {"content_encoding": "identity"}])
def test_a_body_may_come_in_parts(server: Server, world: World, sent: dict[str, str]) -> None:
    assert post(server, JOB[:9], JOB[9:20], JOB[20:], **sent)[0] == 202


def test_what_is_refused_is_a_clear_error(server: Server, world: World) -> None:
    status, problem = post(server, b"{")
    assert (status, problem["field"]) == (400, "body")
    status, problem = post(server, b" " * 5000)
    assert (status, problem["code"]) == (413, "payload_too_large")


def served_by(server: Server, at: str) -> tuple[str, dict[str, str]]:
    caller = Caller()
    ask(server, at, caller, method="GET", headers=headers())
    status, told, content = caller.answer
    assert status == 200
    return content.decode(), told


def test_any_other_view_has_a_thread_of_its_own_and_its_cookies(server: Server) -> None:
    thread, told = served_by(server, "/plain")
    assert thread.startswith("request")
    assert told["set-cookie"].strip().startswith("a=1;")


class Middleware:
    """Keeps nothing by the thread, it says."""

    sync_capable, async_capable = True, True

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self._get_response(request)
        response["X-Thread"] = threading.current_thread().name
        return response


class ThreadBound(Middleware):
    async_capable = False


class Asynchronous(Middleware):
    sync_capable = False


@pytest.mark.parametrize(
    ("middleware", "given", "thread"),
    [
        (Middleware, {}, "MainThread"),
        (Middleware, {"prefer": "wait=1"}, "MainThread"),
        (Middleware, {"transfer_encoding": "chunked"}, "request"),  # it may be large
        (Middleware, {"content_encoding": "identity"}, "request"),  # likewise
        (ThreadBound, {}, "request"),
    ],
)
def test_requests_that_may_wait_share_a_thread_if_nothing_holds_it(
    world: World, middleware: type[Middleware], given: dict[str, str], thread: str
) -> None:
    caller, length = Caller(JOB), {"content_length": str(len(JOB))}
    _project_can.cache_clear()
    with override_settings(MIDDLEWARE=[f"{__name__}.{middleware.__name__}"]):
        sent = given if "transfer_encoding" in given else {**length, **given}
        ask(
            Server(WSGIHandler(), threads=1),
            "/api/jobs",
            caller,
            headers=headers(content_type="application/json", **sent),
        )
    _project_can.cache_clear()
    status, told, _ = caller.answer
    assert status == 202
    assert told["x-thread"].startswith(thread)


@pytest.mark.parametrize(
    ("given", "shares"),
    [
        ({}, False),
        ({"HTTP_AUTHORIZATION": "Bearer pw_x"}, True),
        ({"HTTP_X_API_KEY": "pw_x"}, True),
        ({"HTTP_X_API_KEY": "another's"}, False),
        ({"HTTP_AUTHORIZATION": "Basic YTpi"}, False),
        ({"HTTP_COOKIE": "sessionid=1"}, False),
    ],
)
def test_who_is_looked_up_in_the_database_shares_no_thread(given: dict[str, str], shares: bool) -> None:
    with override_settings(PREDICT_WORKER={"ALLOW_ANONYMOUS": False}):
        assert may_share({"REQUEST_METHOD": "POST", "PATH_INFO": "/api/jobs", **given}) is shares


def test_a_project_with_a_transaction_around_each_request_shares_no_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = {"REQUEST_METHOD": "POST", "PATH_INFO": "/api/jobs"}
    said = []
    for atomic in (False, True):
        _project_can.cache_clear()
        project: dict[str, Any] = {"MIDDLEWARE": [], "DATABASES": {"default": {"ATOMIC_REQUESTS": atomic}}}
        monkeypatch.setattr(waits, "from_settings", project.get)
        said.append(may_share(asked))
    _project_can.cache_clear()
    assert said == [True, False]


def test_a_project_with_asynchronous_middleware_shares_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waits, "from_settings", {"MIDDLEWARE": [f"{__name__}.Asynchronous"]}.get)
    _project_can.cache_clear()
    assert not may_share({"REQUEST_METHOD": "POST", "PATH_INFO": "/api/jobs"})
    _project_can.cache_clear()


def test_an_archive_shares_no_thread_however_small() -> None:
    asked = {"REQUEST_METHOD": "POST", "PATH_INFO": "/api/jobs", "CONTENT_TYPE": "application/x-npy"}
    assert may_share(asked)
    assert not may_share({**asked, "CONTENT_TYPE": "application/x-npz"})


def test_no_long_path_is_remembered() -> None:
    assert not may_share({"REQUEST_METHOD": "POST", "PATH_INFO": "/" + "x" * 60_000})
    assert route.cache_info().currsize == 0


@pytest.mark.parametrize("at", ["/parts", "/async_parts"])
def test_a_stream_is_sent_as_it_comes(server: Server, at: str) -> None:
    caller = Caller()
    ask(server, at, caller, method="GET", headers=headers())
    assert caller.answer[2] == b"onetwo"
    assert [message["body"] for message in caller.got[1:3]] == [b"one", b"two"]


def test_a_stream_ends_when_its_caller_leaves(server: Server) -> None:
    caller = Caller(leaves_after=3)
    ask(server, "/endless", caller, method="GET", headers=headers())
    until = threading.Event()
    while closed != ["endless"]:
        assert not until.wait(0.01)
    assert caller.got[0]["status"] == 200


def test_a_stream_that_breaks_is_not_ended_as_if_it_were_whole(server: Server) -> None:
    caller = Caller()
    with pytest.raises(KeyError, match="broken"):
        ask(server, "/broken", caller, method="GET", headers=headers())
    assert all(message.get("more_body", True) for message in caller.got)


class NotedBody:
    def __iter__(self) -> Iterator[bytes]:
        yield b"one"

    def close(self) -> None:
        closed.append("queued")


def test_a_stream_whose_caller_leaves_before_it_begins_is_closed() -> None:
    may_begin, pool, left = threading.Event(), ThreadPoolExecutor(1), Caller(leaves_after=1)
    pool.submit(may_begin.wait, LONG_S)
    asyncio.run(send_reply(Reply(200, (), NotedBody()), left.receive, left.send, pool))
    may_begin.set()
    pool.shutdown()
    assert closed == ["queued"]


@pytest.mark.parametrize("shares", [False, True])
@pytest.mark.parametrize("failure", [KeyError("no answer"), SystemExit("no answer")])
def test_an_application_that_fails_is_a_500(
    failure: BaseException,
    shares: bool,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(environ: Any, start: Any) -> Any:
        apart(lambda: None)  # on a hub it is another's turn meanwhile
        raise failure

    monkeypatch.setattr(asgi, "may_share", lambda _: shares)
    caller = Caller()
    ask(Server(fails, threads=1), "/plain", caller, method="GET")
    assert caller.answer[0] == 500
    assert "no answer" in caplog.text


def test_only_http_is_spoken(server: Server) -> None:
    with pytest.raises(NotImplementedError, match="websocket"):
        asyncio.run(server({"type": "websocket"}, Caller().receive, Caller().send))
