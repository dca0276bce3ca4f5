"""``make run``: from a bare checkout to an answer, and everything gone afterwards, however it ends."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from tests.system.stack import ROOT, _free_port, until

CHECKOUT = ("api", "examples", "predict_worker", "proj", "manage.py", "Procfile")


class Run:
    """``python -m proj.run`` in a checkout of its own."""

    def __init__(self, checkout: Path) -> None:
        self.log = checkout / "run.log"
        environment = {**os.environ, "PORT": str(_free_port()), "MODEL_REPOSITORY": "", "REDIS_URL": ""}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "proj.run"], cwd=checkout, env=environment, stdout=log, stderr=log
            )
        self.url = f"http://127.0.0.1:{environment['PORT']}"
        self.family: list[psutil.Process] = []

    def await_ready(self) -> None:
        until(lambda: "Ready at" in self.said() or self.process.poll() is not None, 100, "readiness")
        assert self.process.poll() is None, self.said()
        self.family = psutil.Process(self.process.pid).children(recursive=True)

    def named(self, part: str) -> psutil.Process:
        """The one direct child whose command line holds this."""
        (child,) = [c for c in psutil.Process(self.process.pid).children() if part in " ".join(c.cmdline())]
        return child

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def end(self, signal_number: signal.Signals) -> int:
        self.process.send_signal(signal_number)
        return self.process.wait(40)

    def nobody_left(self) -> bool:
        return not any(map(lives, self.family))


def lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:  # gone between the two questions
        return False


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkout")
    for name in CHECKOUT:
        copy: Callable[..., object] = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    return folder


@pytest.fixture
def run(checkout: Path) -> Iterator[Run]:
    started = Run(checkout)
    try:
        started.await_ready()
        yield started
    finally:
        started.process.kill()
        started.process.wait()
        for process in started.family:
            if process.is_running():
                process.kill()


def test_it_prints_a_request_that_is_answered_and_ctrl_c_stops_everything(run: Run, checkout: Path) -> None:
    (body,) = re.findall(r"--data @(\S+) ", run.said())
    example = json.loads((checkout / body).read_bytes())
    with httpx.Client(base_url=run.url, trust_env=False) as client:
        job = client.post("/api/jobs", json=example, headers={"Prefer": "wait=5"}).json()
        (file, path) = re.findall(r"--data-binary @(\S+) 'http://[^/]+(/\S+)'", run.said())[0]
        kind = {"Content-Type": "image/png", "Prefer": "wait=5"}
        seen = client.post(path, content=(checkout / file).read_bytes(), headers=kind).json()
    for answered in (job, seen):
        (probabilities,) = answered["outputs"]["probabilities"]
        assert probabilities.index(max(probabilities)) == example["metadata"]["digit"]

    assert run.end(signal.SIGINT) == 0
    assert run.said().rstrip().endswith("Stopped.")
    assert run.nobody_left()


def test_a_child_that_dies_stops_the_others_and_is_named(run: Run) -> None:
    assert "Training" not in run.said()
    run.named("celery").kill()
    assert run.process.wait(40) == 128 + signal.SIGKILL
    assert "worker ended unexpectedly, with exit code 137" in run.said()
    until(run.nobody_left, 10, "end of all")


def test_killing_it_leaves_no_orphan(run: Run) -> None:
    assert run.end(signal.SIGKILL) == -signal.SIGKILL
    until(run.nobody_left, 30, "end of all")
