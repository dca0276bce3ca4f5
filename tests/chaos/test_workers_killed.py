"""Whole workers killed, one after another, while jobs keep coming."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from tests.chaos.callers import Callers, settle
from tests.chaos.ledger import Ledger
from tests.chaos.run import SETTINGS, SETTLE_S
from tests.system.models import make_models
from tests.system.stack import Stack, until

KILLS = 20
_CONVERT = """
import sys, pathlib, tensorflow as tf
content = tf.lite.TFLiteConverter.from_saved_model(sys.argv[1]).convert()
target = pathlib.Path(sys.argv[2]); target.mkdir(parents=True); (target / "half.tflite").write_bytes(content)
"""


def lite(folder: Path) -> Path:
    """``half`` alone, for LiteRT, whose workers start in a second instead of five."""
    source, target = make_models(folder / "models") / "half" / "1", folder / "lite" / "half" / "1"
    command = [sys.executable, "-c", _CONVERT, str(source), str(target)]
    subprocess.run(command, check=True, capture_output=True)
    return folder / "lite"


def serves(stack: Stack, worker: subprocess.Popen[bytes]) -> bool:
    pids = [child.pid for child in stack.children(worker)]
    return any(w["state"] == "ready" and w["pid"] in pids for w in stack.workers())


def answered(ledger: Ledger, known: int) -> bool:
    return ledger.counts()["finished"] > known


@pytest.mark.timeout(600)
def test_twenty_workers_are_killed_at_work_and_every_job_ends_once(tmp_path: Path) -> None:
    ledger = Ledger()
    stack = Stack(tmp_path, lite(tmp_path), **SETTINGS)
    try:
        stack.redis.start()
        stack.web()
        workers = [stack.worker(name=f"worker{number}") for number in range(2)]
        stack.await_ready()
        until(lambda: all(serves(stack, worker) for worker in workers), 60, "two workers")
        callers = Callers(f"http://127.0.0.1:{stack.port}", ledger, 4, seed=1)
        callers.start()
        for number in range(KILLS):
            known = ledger.counts()["finished"]
            until(partial(answered, ledger, known), 30, "answers")
            victim = workers.pop(0)
            victim.kill()
            victim.wait()
            workers.append(stack.worker(name=f"next{number}"))
            until(partial(serves, stack, workers[-1]), 60, "its replacement")
        callers.stop()
        settle(f"http://127.0.0.1:{stack.port}", ledger, SETTLE_S)
    finally:
        stack.close()
    counts = ledger.counts()
    print(counts)
    assert counts["accepted"] > 10 * KILLS
    assert (counts["lost"], counts["duplicated"], counts["wrong"]) == (0, 0, 0), ledger.odd()
    assert counts["succeeded"] == counts["accepted"], ledger.odd()
