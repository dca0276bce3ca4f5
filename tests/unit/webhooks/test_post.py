"""One request to a receiver: real sockets on the loopback."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from predict_worker.webhooks.guard import Guard
from predict_worker.webhooks.post import PostFailed, Reply, post
from predict_worker.webhooks.url import parse_url

HERE = Guard.allowing("127.0.0.0/8")


@contextmanager
def serving(talk: Callable[[socket.socket], object]) -> Iterator[str]:
    """A server that talks so to the first who connects; yields its URL."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connected, _ = listening.accept()
            with connected:
                talk(connected)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/hook?a=b"
        thread.join(5)


def request(connected: socket.socket) -> bytes:
    data = b""
    while not data.endswith(b"body"):
        data += connected.recv(65536)
    return data


def ask(url: str, timeout_s: float = 5.0, guard: Guard = HERE) -> Reply:
    return post(parse_url(url), {"webhook-id": "1"}, b"body", guard, timeout_s)


def answering(raw: bytes) -> Callable[[socket.socket], object]:
    def talk(connected: socket.socket) -> None:
        request(connected)
        connected.sendall(raw)

    return talk


def test_it_is_a_post_with_the_names_of_the_url() -> None:
    seen: list[bytes] = []

    def talk(connected: socket.socket) -> None:
        seen.append(request(connected))
        connected.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    with serving(talk) as url:
        assert ask(url.replace("127.0.0.1", "localhost"), guard=Guard.allowing("localhost")) == Reply(204)
    head, _, body = seen[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /hook?a=b HTTP/1.1\r\n")
    assert b"\r\nHost: localhost:" in head
    assert b"\r\nContent-Length: 4" in head
    assert body == b"body"


@pytest.mark.parametrize(
    ("raw", "reply"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n", Reply(200)),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\n\r\n", Reply(201)),
        (b"HTTP/1.0 302 Found\r\nLocation: http://127.0.0.1:1/\r\n\r\n", Reply(302)),
        (b"HTTP/1.1 429 No\r\nRetry-After: 7\r\n\r\n", Reply(429, 7.0)),
    ],
)
def test_the_status_is_what_counts(raw: bytes, reply: Reply) -> None:
    with serving(answering(raw)) as url:
        assert ask(url) == reply


@pytest.mark.parametrize(
    "raw", [b"", b"SSH-2.0-x\r\n", b"HTTP/1.1 abc\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 200]
)
def test_what_is_no_answer_is_a_failure(raw: bytes) -> None:
    with serving(answering(raw)) as url, pytest.raises(PostFailed):
        ask(url)


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    with pytest.raises(PostFailed, match="Refused"):
        ask(f"http://127.0.0.1:{port}/")


def silent(connected: socket.socket) -> None:
    request(connected)
    connected.recv(1)


def trickling(connected: socket.socket) -> None:
    """A byte now and then: no single wait is ever long."""
    request(connected)
    try:
        for byte in b"HTTP/1.1 200 OK\r\nX: " + b"x" * 1000:
            connected.sendall(bytes([byte]))
            time.sleep(0.05)
    except OSError:
        return


@pytest.mark.parametrize("talk", [silent, trickling])
def test_no_receiver_holds_a_thread_for_longer_than_the_bound(talk: Any) -> None:
    with serving(talk) as url:
        started = time.monotonic()
        with pytest.raises(PostFailed, match=r"no answer within 0\.5 s"):
            ask(url, 0.5)
        assert time.monotonic() - started < 3


def test_an_address_that_may_not_be_called_is_never_connected_to() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        with pytest.raises(PostFailed, match=r"refused: 127\.0\.0\.1 is 127\.0\.0\.1"):
            ask(f"http://127.0.0.1:{port}/", guard=Guard())
        listening.settimeout(0)
        with pytest.raises(BlockingIOError):
            listening.accept()


def test_the_address_that_was_judged_is_the_one_that_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name server that says something else the next time changes nothing."""
    answers = ["127.0.0.1", "127.0.0.2"]

    def getaddrinfo(host: str, port: int, **_: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (answers.pop(0), port))]

    with serving(answering(b"HTTP/1.1 200 OK\r\n\r\n")) as url:
        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
        guard = Guard.allowing("127.0.0.1/32")
        assert ask(url.replace("127.0.0.1", "rebound.example"), guard=guard) == Reply(200)
    assert answers == ["127.0.0.2"]


def test_the_next_address_is_tried_where_one_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    def getaddrinfo(host: str, port: int, **_: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (a, port)) for a in ("127.0.0.9", "127.0.0.1")]

    with serving(answering(b"HTTP/1.1 200 OK\r\n\r\n")) as url:
        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
        assert ask(url.replace("127.0.0.1", "two.example")) == Reply(200)
