"""The life of jobs that fail: poisoned among good ones, retried, out of time, dead and redriven."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.system.conftest import StartStack
from tests.system.hostile import AWAY, HANGS, KILLS, NAN, RAISES, make_mixed
from tests.system.models import busy
from tests.system.stack import ROOT, Stack, lines, until

FAILS = {KILLS: "worker_died", HANGS: "timeout", RAISES: "model_error", NAN: "output_not_finite"}


@pytest.fixture
def repository(models: Path, tmp_path: Path) -> Path:
    """With ``half`` beside it, so that the parent imports TensorFlow once for all."""
    shutil.copytree(models, tmp_path / "models")
    return make_mixed(tmp_path / "models")


def started(new_stack: StartStack, repository: Path, **environment: str) -> Stack:
    return new_stack(repository, PREDICT_WORKER_ALLOW_PYTHON_MODELS="1", **environment)


def row(stack: Stack, value: float, **fields: Any) -> str:
    """The id of a job of one row."""
    response = stack.predict("mixed", [[value]], **fields)
    assert response.status_code == 202, lines(response)
    return str(response.json()["id"])


def jobs_command(stack: Stack, *arguments: str) -> Any:
    command = [sys.executable, "manage.py", "jobs", *arguments, "--json"]
    done = subprocess.run(command, env=stack.environment, cwd=ROOT, capture_output=True, check=True)
    return json.loads(done.stdout)


def moment(job: dict[str, Any], name: str) -> datetime:
    return datetime.fromisoformat(job[name])


def test_poisoned_jobs_fail_each_for_its_reason_and_two_hundred_others_succeed(
    new_stack: StartStack, repository: Path
) -> None:
    stack = started(new_stack, repository)
    stack.redis.start()
    stack.web()
    worker = stack.worker(children=2)
    stack.await_ready()
    assert stack.end(worker) == 0  # what comes now waits, and shares the batches of the next
    rows = [*(float(100 + n) for n in range(200)), *FAILS]
    random.Random(3).shuffle(rows)
    with ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(lambda value: row(stack, value), rows))
    stack.worker(children=2)
    jobs = [(value, stack.final(job_id, 90)) for value, job_id in zip(rows, ids, strict=True)]
    good = [(value, job) for value, job in jobs if value not in FAILS]
    assert [job["outputs"] for _, job in good] == [{"y": [[2 * value]]} for value, _ in good]
    assert {job["state"] for _, job in good} == {"succeeded"}
    assert sum(job["attempts"] > 1 for _, job in good) >= 50  # they were in the hands of one that died
    assert {value: job["error"]["code"] for value, job in jobs if value in FAILS} == FAILS
    ended = {job["id"]: job["finished_at"] for _, job in jobs}
    dead = {job["id"] for job in stack.http.get("/api/models/mixed/dead").json()["jobs"]}
    assert dead == {job["id"] for value, job in jobs if value in (KILLS, HANGS)}
    assert {job_id: stack.job(job_id)["finished_at"] for job_id in ids} == ended
    assert stack.predict("mixed", [[1.0]], wait_s=20).json()["outputs"] == {"y": [[2.0]]}


def test_dead_letter_is_redriven_once_its_cause_is_mended(new_stack: StartStack, repository: Path) -> None:
    stack = started(new_stack, repository, PREDICT_WORKER_MAX_STRIKES="1")
    stack.redis.start()
    stack.web()
    worker = stack.worker()
    stack.await_ready()
    poison = row(stack, KILLS)
    assert stack.final(poison)["error"]["code"] == "worker_died"
    (listed,) = jobs_command(stack, "dead", "mixed")
    assert (listed["id"], len(listed["error"]["attempts"])) == (poison, 1)
    assert stack.http.post(f"/api/jobs/{poison}/redrive").status_code == 202
    until(lambda: stack.job(poison)["attempts"] == 2 and stack.job(poison)["state"] == "failed")
    assert stack.end(worker) == 0
    model = repository / "mixed" / "1" / "model.py"
    model.write_text(model.read_text().replace("os.kill(os.getpid(), signal.SIGKILL)", "pass"))
    stack.worker()
    assert jobs_command(stack, "redrive", "--model", "mixed") == {"redriven": [poison]}
    job = stack.final(poison, 60)
    assert (job["state"], job["outputs"], job["attempts"]) == ("succeeded", {"y": [[2 * KILLS]]}, 3)
    assert stack.http.get("/api/models/mixed/dead").json() == {"jobs": [], "cursor": None}
    assert stack.http.post(f"/api/jobs/{poison}/redrive").status_code == 409


def test_retryable_error_is_retried_on_time_and_in_the_history(
    new_stack: StartStack, repository: Path
) -> None:
    stack = started(new_stack, repository).start()
    assert stack.predict("mixed", [[1.0]], wait_s=20).status_code == 200
    job = stack.predict("mixed", [[AWAY]], wait_s=20).json()
    assert (job["state"], job["attempts"], job["outputs"]) == ("succeeded", 3, {"y": [[2 * AWAY]]})
    # Pauses of up to 0.2 and 0.4 s, each up to 0.5 s late; the rest is this machine's.
    took = moment(job, "finished_at") - moment(job, "created_at")
    assert timedelta(seconds=0.3) <= took <= timedelta(seconds=0.6 + 2 * 0.5 + 3)
    (repository.parent / "attempts").write_text("")
    last = row(stack, AWAY, deadline_s=20)
    until(lambda: stack.job(last)["attempts"] == 2)
    assert stack.job(last)["state"] in ("running", "succeeded")
    assert stack.final(last)["state"] == "succeeded"


def test_retry_survives_the_death_of_its_worker(new_stack: StartStack, models: Path, tmp_path: Path) -> None:
    shutil.copytree(models, tmp_path / "models")
    stack = started(new_stack, make_mixed(tmp_path / "models", backoff_s=2.0))
    stack.redis.start()
    stack.web()
    worker = stack.worker()
    stack.await_ready()
    job_id, cancelled = row(stack, AWAY), row(stack, AWAY)
    attempts = tmp_path / "attempts"
    until(lambda: attempts.exists() and attempts.stat().st_size == 2, what="two runs")
    worker.kill()
    worker.wait()
    assert stack.job(job_id)["state"] == "running"
    assert stack.http.post(f"/api/jobs/{cancelled}/cancel").json()["state"] == "cancelled"
    attempts.write_text("..")
    stack.worker(name="second")
    job = stack.final(job_id, 60)
    assert (job["state"], job["attempts"]) == ("succeeded", 2)
    assert attempts.stat().st_size == 3


def test_running_job_expires_on_time_and_its_result_is_discarded(new_stack: StartStack) -> None:
    stack = new_stack().start()
    job_id = stack.predict("busy", busy(4.0), deadline_s=1.0).json()["id"]
    until(lambda: stack.job(job_id)["state"] == "running", what="a running job")
    client = stack.redis.client()
    key = f"pw:1:{{0}}:job:{job_id}"
    until(lambda: client.hget(key, "state") == b"expired", what="the sweep: nobody reads it")
    job = stack.job(job_id)
    assert moment(job, "finished_at") - moment(job, "deadline_at") < timedelta(seconds=0.5 + 1.0)
    late = stack.predict("busy", busy(0.01), wait_s=20).json()
    assert late["state"] == "succeeded"  # the child has published its batch by now
    assert stack.job(job_id) == job
    assert job["outputs"] is None
