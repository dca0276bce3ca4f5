"""Callers that send a byte a second keep nobody else waiting: most hold no thread, the others are few."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import pytest

from tests.system.stack import Stack, lines, until

SLOW = 50
ANSWERED_S = 5.0
"""Takes milliseconds, but the machine may be busy. Who had to wait for the slow ones would wait for ever."""
HEAD = "POST {} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
HEADERS = HEAD + "X-Slow: "
BODY = HEAD + "Content-Length: 60000\r\n\r\n{{"
LARGE = HEAD + "Content-Length: 100000\r\n\r\n{{"
CHUNKS = HEAD + "Transfer-Encoding: chunked\r\n\r\n1\r\n{{\r\n"
HALF, WAIT = {"model": "half", "inputs": [[2.0, 3.0]]}, {"Prefer": "wait=5"}
PATHS = ("/api/jobs", "/v1/models/half:predict", "/v2/models/half/infer", "/v1/predictions")


@pytest.fixture(scope="module")
def stack(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """With a thread for each slow caller whose body needs one, and a few more."""
    shared = Stack(tmp_path_factory.mktemp("stack"), models, WEB_THREADS=str(SLOW + 10))
    try:
        shared.redis.start()
        shared.web()
        shared.worker()
        shared.await_ready()
        yield shared
    finally:
        shared.close()


@pytest.fixture
def web(stack: Stack) -> psutil.Process:
    """The process with the threads, a child of granian's own."""
    family = psutil.Process().children(recursive=True)
    (process,) = [p for p in family if "granian" in " ".join(p.cmdline()) and not p.children()]
    return process


@contextmanager
def slow(stack: Stack, sent: str, more: bytes) -> Iterator[None]:
    """So many connections, each of which sends ``more`` once a second."""
    over = threading.Event()

    def dribble() -> None:
        while not over.wait(1):
            for connection in connections:
                connection.sendall(more)

    with ExitStack() as open_ones:
        connections = [
            open_ones.enter_context(socket.create_connection(("127.0.0.1", stack.port))) for _ in range(SLOW)
        ]
        for number, connection in enumerate(connections):
            connection.sendall(sent.format(PATHS[number % len(PATHS)]).encode())
        thread = threading.Thread(target=dribble, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


@pytest.mark.parametrize(
    ("sent", "more", "threads"),
    [(HEADERS, b"x", 0), (BODY, b" ", 0), (LARGE, b" ", SLOW), (CHUNKS, b"1\r\n \r\n", SLOW)],
    ids=["headers", "bodies", "large bodies", "chunks"],
)
def test_slow_callers_keep_nobody_else_waiting(
    stack: Stack, web: psutil.Process, sent: str, more: bytes, threads: int
) -> None:
    before = web.num_threads()
    with slow(stack, sent, more):
        if threads:  # each body has a thread by now: else nothing is shown
            until(lambda: web.num_threads() >= threads, 10, "threads that read")
        for _ in range(3):
            assert stack.http.get("/healthz", timeout=ANSWERED_S).status_code == 200
            response = stack.http.post("/api/jobs", json=HALF, headers=WAIT, timeout=ANSWERED_S)
            assert (response.status_code, response.json()["state"]) == (200, "succeeded"), lines(response)
        if not threads:
            assert web.num_threads() - before < SLOW / 2
    jobs = stack.http.get("/api/jobs?state=queued").json()["jobs"]
    assert jobs == []
