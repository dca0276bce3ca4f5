"""Workers that start, drain and go, one by one or all at once: in bounded time, and nothing is lost."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import httpx

from tests.system.conftest import StartStack
from tests.system.models import busy
from tests.system.stack import Stack, lines, until


def states(stack: Stack) -> list[str]:
    return [worker["state"] for worker in stack.workers()]


def started(stack: Stack, children: int = 1) -> subprocess.Popen[bytes]:
    """Redis, a web and a worker that is ready."""
    stack.redis.start()
    stack.web()
    worker = stack.worker(children=children)
    stack.await_ready()
    return worker


def test_children_that_cannot_start_are_shown_backed_off_and_given_up(new_stack: StartStack) -> None:
    stack = new_stack()
    stack.redis.start()
    stack.web()
    until(lambda: stack.ready().status_code == 503 and "redis" in stack.ready().text, what="the web")
    began = time.monotonic()
    worker = stack.worker(children=1, app="tests.system.failing_start")

    def shown() -> str:
        return "".join(w["error"] or "" for w in stack.workers() if w["state"] == "unhealthy")

    until(lambda: "in a row: OSError: no such device" in shown(), what="the error among the workers")
    assert worker.wait(60) == 1
    assert time.monotonic() - began > 10, "starts that fail must be backed off"
    assert stack.log("worker").count("child could not start") == 6
    until(lambda: stack.workers() == [], what="the node to be gone")


def test_drain_ends_with_the_batch_and_is_shown_meanwhile(new_stack: StartStack) -> None:
    stack = new_stack()
    worker = started(stack)
    running = stack.predict("busy", busy(4.0)).json()["id"]
    until(lambda: stack.job(running)["state"] == "running", what="a running job")
    left = stack.predict("half", [[2.0, 3.0]]).json()["id"]
    worker.send_signal(signal.SIGTERM)
    until(lambda: states(stack) == ["draining"], 10, "draining among the workers")
    until(lambda: stack.job(running)["state"] == "succeeded", what="the end of the batch")
    ended = time.monotonic()
    assert worker.wait(10) == 0
    assert time.monotonic() - ended < 5
    assert stack.job(running)["attempts"] == 1
    assert stack.job(left)["state"] == "queued"
    until(lambda: states(stack) == [], what="no worker")


def test_quit_hands_back_at_once_without_a_strike(new_stack: StartStack) -> None:
    stack = new_stack(PREDICT_WORKER_MAX_STRIKES="1")
    worker = started(stack)
    jobs = [stack.predict("single", busy(5.0)).json()["id"] for _ in range(2)]
    until(lambda: stack.job(jobs[0])["state"] == "running", what="a running job")
    told = time.monotonic()
    stack.end(worker, signal.SIGQUIT)
    assert time.monotonic() - told < 4, "it waits for no batch"
    stack.worker(children=2)
    ended = [stack.final(job_id, 60) for job_id in jobs]
    assert [job["state"] for job in ended] == ["succeeded"] * 2
    assert [job["attempts"] for job in ended] == [2, 1]


class Callers:
    """Threads that ask one prediction after another, and note how long each took."""

    def __init__(self, stack: Stack, threads: int) -> None:
        self._stack, self._stop = stack, threading.Event()
        self.waited_s: list[float] = []
        self.wrong: list[str] = []
        self._threads = [threading.Thread(target=self._ask, args=[n]) for n in range(threads)]

    def answered(self, count: int) -> bool:
        return len(self.waited_s) > count

    def _ask(self, number: int) -> None:
        while not self._stop.is_set():
            number += 1
            began = time.monotonic()
            try:
                response = self._stack.predict("half", [[float(number), 0.0]], wait_s=30)
            except httpx.TransportError as error:
                self.wrong.append(repr(error))
                continue
            self.waited_s.append(time.monotonic() - began)
            if response.status_code != 200 or response.json()["outputs"] != {"y": [[number / 2 + 2, 2.0]]}:
                self.wrong.append(lines(response))

    @contextmanager
    def asking(self) -> Iterator[None]:
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in self._threads:
                thread.join(40)


def test_workers_restart_one_by_one_under_load_and_nobody_notices(new_stack: StartStack) -> None:
    stack = new_stack()
    old = [started(stack), stack.worker(children=1, name="second")]
    until(lambda: states(stack) == ["ready"] * 2, 60, "two workers")
    callers = Callers(stack, threads=4)
    with callers.asking():
        for number, worker in enumerate(old):
            before = len(callers.waited_s)
            assert stack.end(worker) == 0
            stack.worker(children=1, name=f"new{number}")
            until(lambda: states(stack) == ["ready"] * 2, 60, "its replacement")
            until(partial(callers.answered, before + 20), what="answers")
    assert callers.wrong == []
    assert len(callers.waited_s) > 100
    # A wake-up that the leaving worker had received is missed by nobody for longer than a sweep.
    assert max(callers.waited_s) < 4.5  # a worker that is merely gone is noticed after 5


def test_the_only_worker_restarts_and_its_callers_wait_for_it(new_stack: StartStack) -> None:
    stack = new_stack()
    worker = started(stack, children=2)
    callers = Callers(stack, threads=4)
    with callers.asking():
        until(lambda: len(callers.waited_s) > 20, what="answers")
        began = time.monotonic()
        assert stack.end(worker) == 0
        stack.worker(children=2)
        until(lambda: "ready" in states(stack), 60, "its replacement")
        restart_s = time.monotonic() - began
        known = len(callers.waited_s)
        until(lambda: len(callers.waited_s) > known + 20, what="answers")
    assert callers.wrong == []
    assert max(callers.waited_s) < restart_s + 4.5
