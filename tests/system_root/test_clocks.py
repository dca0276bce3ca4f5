"""Machines whose clocks differ by hours: leases, deadlines and times go by the store's clock alone."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from tests.system.models import busy, make_models
from tests.system.stack import Stack, until

pytestmark = pytest.mark.needs("faketime")

LEASE_S = 3.0
SKEW_S = {"web": 3600, "slow": -7200, "fast": 86400}


class Skewed(Stack):
    """Each process has a wall clock of its own, by its name; Redis has the machine's."""

    def _spawn(self, name: str, command: list[str]) -> subprocess.Popen[bytes]:
        self._environment["FAKETIME"] = f"{SKEW_S[name]:+d}s"
        return super()._spawn(name, command)


def preloaded() -> str:
    """The library itself: faketime, the program, would stand between a worker and its signals."""
    return subprocess.check_output(
        ["faketime", "-m", "-f", "+0s", "printenv", "LD_PRELOAD"], text=True
    ).strip()


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Skewed]:
    skewed = Skewed(
        tmp_path,
        make_models(tmp_path / "models"),
        LD_PRELOAD=preloaded(),
        FAKETIME_DONT_FAKE_MONOTONIC="1",
        PREDICT_WORKER_LEASE_S=str(LEASE_S),
    )
    try:
        skewed.redis.start()
        skewed.web()
        yield skewed
    finally:
        skewed.close()


def running(stack: Stack, job_id: str) -> bool:
    return bool(stack.job(job_id)["state"] == "running")


def test_times_deadlines_and_leases_go_by_the_stores_clock(stack: Skewed) -> None:
    slow = stack.worker(name="slow")
    stack.await_ready()
    job = stack.predict("half", [[2.0, 0.0]], wait_s=30, deadline_s=60).json()
    assert job["outputs"] == {"y": [[3.0, 2.0]]}
    ahead_s = int(job["id"].split("-")[1][:12], 16) / 1000 - datetime.now(UTC).timestamp()
    assert abs(ahead_s - SKEW_S["web"]) < 60, "the web's own clock, in the id"
    for name in ("created_at", "started_at", "finished_at"):
        assert abs(datetime.fromisoformat(job[name]) - datetime.now(UTC)) < timedelta(seconds=60), name

    long = stack.predict("busy", busy(2 * LEASE_S)).json()["id"]
    until(partial(running, stack, long), what="a running job")
    overdue = stack.predict("busy", busy(0.1), deadline_s=1).json()["id"]
    assert stack.final(overdue)["state"] == "expired"

    fast = stack.worker(name="fast")
    until(lambda: [w["state"] for w in stack.workers()] == ["ready"] * 2, 60, "two workers")
    ended = stack.final(long)
    assert (ended["state"], ended["attempts"]) == ("succeeded", 1), "its lease was renewed all the while"

    assert stack.end(fast) == 0
    lapsed = stack.predict("busy", busy(1.0)).json()["id"]
    until(partial(running, stack, lapsed), what="a running job")
    (child,) = stack.children(slow)
    child.send_signal(signal.SIGSTOP)
    try:
        stack.worker(name="fast")
        ended = stack.final(lapsed, 60)
        assert (ended["state"], ended["attempts"]) == ("succeeded", 2)
    finally:
        child.send_signal(signal.SIGCONT)
    until(lambda: stack.predict("half", [[2.0, 3.0]], wait_s=5).status_code == 200)
    assert stack.job(lapsed) == ended
