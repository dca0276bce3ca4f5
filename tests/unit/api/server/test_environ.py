"""ASGI's words in WSGI's."""

from __future__ import annotations

import asyncio
import io
import threading
from typing import Any

import pytest

from api.server.environ import Body, _variable, environ_of, whole_body


def scope(**given: Any) -> dict[str, Any]:
    return {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/api/jobs",
        "query_string": b"",
        "headers": [],
        "server": ("127.0.0.1", 8000),
        "client": ("10.0.0.7", 4711),
        **given,
    }


def test_a_request_is_told_as_wsgi_tells_it() -> None:
    headers = [(b"host", b"here"), (b"content-type", b"application/json"), (b"content-length", b"7")]
    environ = environ_of(scope(query_string=b"a=%20", headers=headers))
    told = {name: value for name, value in environ.items() if not name.startswith("wsgi.")}
    assert told == {
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/api/jobs",
        "QUERY_STRING": "a=%20",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "10.0.0.7",
        "HTTP_HOST": "here",
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": "7",
    }


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ({"path": "/a b/é", "raw_path": b"/a%20b/%C3%A9"}, b"/a b/\xc3\xa9"),
        ({"path": "/�", "raw_path": b"/%FF"}, b"/\xff"),  # as it came, not as it was read
        ({"path": "/é"}, b"/\xc3\xa9"),  # a server that keeps no raw path
        ({"path": "/under/api", "raw_path": b"/under/api", "root_path": "/under"}, b"/api"),
    ],
)
def test_a_path_is_its_bytes(given: dict[str, Any], path: bytes) -> None:
    assert environ_of(scope(**given))["PATH_INFO"].encode("latin-1") == path


def test_what_is_mounted_below_a_path_knows_it() -> None:
    assert environ_of(scope(path="/under/api", root_path="/under"))["SCRIPT_NAME"] == "/under"


def test_headers_that_come_twice_are_joined() -> None:
    headers = [(b"prefer", b"wait=5"), (b"prefer", b"respond-async"), (b"cookie", b"a"), (b"cookie", b"b")]
    environ = environ_of(scope(headers=headers))
    assert (environ["HTTP_PREFER"], environ["HTTP_COOKIE"]) == ("wait=5,respond-async", "a; b")


def test_no_header_passes_for_another_by_an_underscore() -> None:
    environ = environ_of(scope(headers=[(b"x_api_key", b"forged"), (b"content_length", b"0")]))
    assert not {"HTTP_X_API_KEY", "CONTENT_LENGTH", "HTTP_CONTENT_LENGTH"} & set(environ)


def test_a_header_keeps_its_bytes() -> None:
    environ = environ_of(scope(headers=[(b"idempotency-key", b"caf\xc3\xa9\xff")]))
    assert environ["HTTP_IDEMPOTENCY_KEY"].encode("latin-1") == b"caf\xc3\xa9\xff"


class Caller:
    """Sends these parts; then it has ended, or left."""

    def __init__(self, *parts: bytes, leaves: bool = False) -> None:
        self._parts, self._leaves = list(parts), leaves

    async def __call__(self) -> dict[str, Any]:
        await asyncio.sleep(0)
        if not self._parts:
            return {"type": "http.disconnect"}
        part = self._parts.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(self._parts) or self._leaves}


BODIES = pytest.mark.parametrize(
    ("caller", "body"),
    [
        (Caller(b""), b""),
        (Caller(b"one"), b"one"),
        (Caller(b"one", b"", b"two"), b"onetwo"),
        (Caller(b"half", leaves=True), b"half"),
    ],
    ids=["none", "at once", "parts", "leaves"],
)


@BODIES
def test_a_whole_body(caller: Caller, body: bytes) -> None:
    again = Caller(*caller._parts, leaves=caller._leaves)
    assert asyncio.run(whole_body(again)) == body


@BODIES
def test_a_body_that_a_thread_reads(caller: Caller, body: bytes) -> None:
    again = Caller(*caller._parts, leaves=caller._leaves)

    async def read() -> bytes:
        stream = io.BufferedReader(Body(again, asyncio.get_running_loop()))
        return await asyncio.to_thread(stream.read)

    assert asyncio.run(read()) == body


def test_a_body_is_read_no_further_than_asked() -> None:
    asked = threading.Event()

    async def endless() -> dict[str, Any]:
        assert not asked.is_set(), "the second part was not needed"
        asked.set()
        return {"type": "http.request", "body": b"line\nmore", "more_body": True}

    async def read() -> bytes:
        stream = io.BufferedReader(Body(endless, asyncio.get_running_loop()), 4)
        return await asyncio.to_thread(stream.readline)

    assert asyncio.run(read()) == b"line\n"


def test_no_long_name_is_remembered() -> None:
    before = _variable.cache_info().currsize
    variables = environ_of(scope(headers=[(b"x-" + b"y" * 60_000, b"1")]))
    assert variables["HTTP_X_" + "Y" * 60_000] == "1"
    assert _variable.cache_info().currsize == before
