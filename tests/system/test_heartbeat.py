"""The file that says that a worker is well: who keeps it young, and who does not."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from predict_worker.node.heartbeat import BEAT_S
from tests.system.models import busy
from tests.system.short_silence import SILENT_S
from tests.system.stack import Stack, until


@dataclass
class Watched:
    stack: Stack
    worker: subprocess.Popen[bytes]
    models: Path
    file: Path

    def age_s(self) -> float:
        return time.time() - self.file.stat().st_mtime

    def beats(self) -> bool:
        """Whether the file is touched within a few beats."""
        os.utime(self.file, (0, 0))
        deadline = time.monotonic() + 3 * BEAT_S
        while self.age_s() > 10 * BEAT_S and time.monotonic() < deadline:
            time.sleep(0.02)
        return self.age_s() < 10 * BEAT_S


@pytest.fixture(scope="module")
def watched(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("watched")
    repository, file = folder / "models", folder / "heartbeat"
    shutil.copytree(models, repository)
    stack = Stack(folder, repository, PREDICT_WORKER_HEARTBEAT_FILE=str(file))
    try:
        stack.redis.start()
        stack.web()
        worker = stack.worker(children=1, app="tests.system.short_silence")
        stack.await_ready()
        yield Watched(stack, worker, repository, file)
    finally:
        stack.close()


def test_a_worker_that_stands_still_does_not_beat(watched: Watched) -> None:
    assert watched.beats()
    watched.worker.send_signal(signal.SIGSTOP)
    assert not watched.beats()
    watched.worker.send_signal(signal.SIGCONT)
    assert watched.beats()


def test_a_worker_whose_loop_hangs_stops_beating(watched: Watched) -> None:
    """In reading a model's manifest, as on a network file system that is gone: nobody writes to the pipe."""
    manifest = watched.models / "half" / "model.toml"
    os.mkfifo(manifest)
    until(lambda: watched.age_s() > SILENT_S + 2 * BEAT_S, 20, "an old heartbeat")
    pipe = manifest.rename(watched.models / ".pipe")
    pipe.write_text("")  # all that wait for it have read it, and go on
    until(watched.beats, what="a heartbeat")


def test_a_worker_without_its_redis_is_well(watched: Watched) -> None:
    watched.stack.redis.stop()
    until(lambda: "Cannot connect" in watched.stack.log("worker"), what="a worker without a broker")
    for _ in range(int(2 * SILENT_S / BEAT_S) + 1):
        assert watched.beats()
    watched.stack.redis.start()
    assert watched.stack.predict("half", [[2.0, 3.0]], wait_s=30).json()["state"] == "succeeded"
    assert watched.beats()


def test_a_worker_that_finishes_its_last_batch_is_well(watched: Watched) -> None:
    """The last test: it ends the worker."""
    job = watched.stack.predict("busy", busy(SILENT_S + 5 * BEAT_S)).json()["id"]
    until(lambda: watched.stack.job(job)["state"] == "running", what="a running job")
    watched.worker.terminate()
    beats = 0
    while watched.worker.poll() is None:
        assert watched.beats() or watched.worker.poll() is not None
        beats += 1
    assert beats * BEAT_S > SILENT_S
    assert watched.stack.job(job)["state"] == "succeeded"
