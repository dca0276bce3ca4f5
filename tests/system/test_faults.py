"""What must not cost a job: processes killed, messages lost, models that do not load."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import psutil

from tests.system.conftest import StartStack
from tests.system.models import busy
from tests.system.stack import Stack, lines, until


def running_child(stack: Stack, worker: subprocess.Popen[bytes]) -> psutil.Process:
    """The child that is at work: the only one."""
    (child,) = stack.children(worker)
    return child


def test_child_killed_in_mid_batch_costs_nothing(new_stack: StartStack) -> None:
    stack = new_stack()
    stack.redis.start()
    stack.web()
    worker = stack.worker(children=1)
    stack.await_ready()
    jobs = [stack.predict("busy", busy(0.5)).json()["id"] for _ in range(4)]
    until(lambda: stack.job(jobs[0])["state"] == "running", what="a running job")
    victim = running_child(stack, worker)
    victim.kill()
    killed = time.monotonic()
    until(lambda: [c.pid for c in stack.children(worker)] not in ([], [victim.pid]), 5, "a replacement")
    assert time.monotonic() - killed < 2.0
    results = [stack.final(job_id) for job_id in jobs]
    assert [job["state"] for job in results] == ["succeeded"] * 4
    assert [job["outputs"]["y"] for job in results] == [busy(0.5)] * 4
    assert max(job["attempts"] for job in results) == 2
    assert "they run again" in stack.log("worker")


def attempted(stack: Stack, job_id: str, attempt: int) -> bool:
    return bool(stack.job(job_id)["attempts"] == attempt)


def test_jobs_of_a_killed_worker_are_finished_by_another(new_stack: StartStack) -> None:
    stack = new_stack()
    stack.redis.start()
    stack.web()
    worker = stack.worker(children=1)
    stack.await_ready()
    jobs = [stack.predict("busy", busy(0.3)).json()["id"] for _ in range(4)]
    until(lambda: stack.job(jobs[0])["state"] == "running", what="a running job")
    worker.kill()
    worker.wait()
    stack.worker(children=1)
    results = [stack.final(job_id, 60) for job_id in jobs]
    assert [job["state"] for job in results] == ["succeeded"] * 4


def test_worker_told_to_stop_finishes_its_batch_and_leaves_the_rest(new_stack: StartStack) -> None:
    stack = new_stack()
    stack.redis.start()
    stack.web()
    worker = stack.worker(children=1)
    stack.await_ready()
    running = stack.predict("busy", busy(1.0)).json()["id"]
    until(lambda: stack.job(running)["state"] == "running", what="a running job")
    left = [stack.predict("busy", busy(0.2)).json()["id"] for _ in range(3)]
    assert stack.end(worker) == 0
    assert stack.job(running)["state"] == "succeeded"
    assert stack.job(running)["attempts"] == 1
    assert {stack.job(job_id)["state"] for job_id in left} == {"queued"}
    assert stack.workers() == []
    stack.worker(children=1)
    assert {stack.final(job_id, 60)["attempts"] for job_id in left} == {1}


def test_poison_fails_alone_after_its_strikes(new_stack: StartStack) -> None:
    """Not a model's doing here: whoever holds the job alone is killed, three times."""
    stack = new_stack()
    stack.redis.start()
    stack.web()
    worker = stack.worker(children=1)
    stack.await_ready()
    poison = stack.predict("busy", busy(30.0)).json()["id"]
    for attempt in (1, 2, 3):
        until(partial(attempted, stack, poison, attempt), what=f"attempt {attempt}")
        until(lambda: len(stack.children(worker)) == 1, what="a child")
        running_child(stack, worker).kill()
    job = stack.final(poison)
    assert job["state"] == "failed"
    assert job["error"]["code"] == "worker_died"
    assert [attempt["loss"] for attempt in job["error"]["attempts"]] == ["child"] * 3
    assert stack.predict("half", [[2.0, 3.0]], wait_s=20).json()["outputs"] == {"y": [[3.0, 3.5]]}


def test_batch_over_its_hard_limit_is_killed(new_stack: StartStack, models: Path, tmp_path: Path) -> None:
    shutil.copytree(models, tmp_path / "models")
    (tmp_path / "models" / "busy" / "model.toml").write_text("timeout_s = 1.5\n[batch]\nmax_rows = 1\n")
    stack = new_stack(tmp_path / "models", PREDICT_WORKER_MAX_STRIKES="2").start()
    hangs = stack.predict("busy", busy(60.0)).json()["id"]
    neighbours = [stack.predict("busy", busy(0.01)).json()["id"] for _ in range(3)]
    job = stack.final(hangs)
    assert (job["state"], job["error"]["code"]) == ("failed", "timeout")
    assert {stack.final(job_id)["state"] for job_id in neighbours} == {"succeeded"}


def test_lost_wakeup_is_sent_again(new_stack: StartStack) -> None:
    stack = new_stack()
    stack.redis.start()
    stack.web()
    worker = stack.worker(children=1)
    stack.await_ready()
    assert stack.end(worker) == 0
    job_id = stack.predict("half", [[2.0, 3.0]]).json()["id"]
    client = stack.redis.client()
    until(lambda: client.delete("model.half"), what="the Celery message")  # it may be sent after the answer
    stack.worker(children=1)
    assert stack.final(job_id)["state"] == "succeeded"


def test_waiter_whose_message_was_lost_is_answered_by_the_recheck(new_stack: StartStack) -> None:
    stack = new_stack().start()
    client = stack.redis.client()
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(stack.predict, "busy", busy(1.0), wait_s=20)
        until(lambda: client.pubsub_channels("*reply*"), what="a subscribed web process")
        stop = threading.Event()

        def deaf() -> None:
            while not stop.wait(0.01):
                client.client_kill_filter(_type="pubsub")

        killer = threading.Thread(target=deaf)
        killer.start()
        try:
            response = answer.result(30)
        finally:
            stop.set()
            killer.join()
    assert response.status_code == 200, lines(response)
    assert response.json()["outputs"] == {"y": busy(1.0)}


def test_model_that_does_not_load_is_reported_and_answers(
    new_stack: StartStack, models: Path, tmp_path: Path
) -> None:
    shutil.copytree(models, tmp_path / "models")
    broken = tmp_path / "models" / "broken" / "1"
    broken.mkdir(parents=True)
    (broken / "saved_model.pb").write_bytes(b"no model")
    stack = new_stack(tmp_path / "models").start()
    assert "broken" in stack.http.get("/api/models/broken").text
    job = stack.predict("broken", [[1.0]], wait_s=20).json()
    assert (job["state"], job["error"]["code"]) == ("failed", "model_unavailable")
    assert "version 1" in job["error"]["detail"]
    assert stack.predict("half", [[2.0, 3.0]], wait_s=20).json()["state"] == "succeeded"


def test_slow_start_survives_first_start_and_replacement(new_stack: StartStack) -> None:
    stack = new_stack()
    stack.redis.start()
    stack.web()
    worker = stack.worker(children=1, app="tests.system.slow_start")
    stack.await_ready()
    (first,) = stack.children(worker)
    first.kill()
    until(lambda: not any(w["pid"] == first.pid for w in stack.workers()), what="the death to be noticed")
    stack.await_ready()
    (second,) = stack.children(worker)
    assert second.pid != first.pid
    assert stack.predict("half", [[2.0, 3.0]], wait_s=20).json()["state"] == "succeeded"


def test_zombie_that_comes_back_changes_nothing(new_stack: StartStack) -> None:
    stack = new_stack(PREDICT_WORKER_LEASE_S="2")
    stack.redis.start()
    stack.web()
    stopped = stack.worker(children=1)
    stack.await_ready()
    job_id = stack.predict("busy", busy(0.5)).json()["id"]
    until(lambda: stack.job(job_id)["state"] == "running", what="a running job")
    (child,) = stack.children(stopped)
    os.kill(child.pid, signal.SIGSTOP)
    try:
        stack.worker(children=1)
        job = stack.final(job_id, 60)
        assert (job["state"], job["attempts"]) == ("succeeded", 2)
    finally:
        os.kill(child.pid, signal.SIGCONT)
    until(lambda: stack.predict("half", [[2.0, 3.0]], wait_s=5).status_code == 200)
    assert stack.job(job_id) == job


def test_redis_restart_with_its_file_loses_nothing(new_stack: StartStack) -> None:
    stack = new_stack().start(children=2)
    jobs = [stack.predict("half", [[float(n), 0.0]]).json()["id"] for n in range(50)]
    slow = stack.predict("busy", busy(1.0)).json()["id"]
    stack.redis.kill()
    response = stack.predict("half", [[0.0, 0.0]])
    assert response.status_code == 503, lines(response)
    assert response.headers["Retry-After"]
    stack.redis.start()
    for number, job_id in enumerate(jobs):
        assert stack.final(job_id, 60)["outputs"] == {"y": [[number / 2 + 2, 2.0]]}
    assert stack.final(slow, 60)["state"] == "succeeded"


def test_web_restart_and_stop_of_everything_keep_what_was_accepted(new_stack: StartStack) -> None:
    stack = new_stack()
    stack.redis.start()
    web = stack.web()
    worker = stack.worker(children=1)
    stack.await_ready()
    stack.end(worker)
    job_id = stack.predict("half", [[2.0, 3.0]]).json()["id"]
    stack.end(web)
    stack.redis.stop()
    stack.redis.start()
    stack.web()
    stack.worker(children=1)
    stack.await_ready()
    assert stack.final(job_id)["outputs"] == {"y": [[3.0, 3.5]]}


def test_web_process_never_imports_a_runtime(new_stack: StartStack) -> None:
    stack = new_stack().start()
    assert stack.predict("half", [[2.0, 3.0]], wait_s=20).status_code == 200
    webs = [
        p
        for p in psutil.process_iter(["cmdline"])
        if f"--port {stack.port}" in " ".join(p.info["cmdline"] or ())
    ]
    assert webs
    for process in [p for web in webs for p in (web, *web.children(recursive=True))]:
        mapped = {Path(m.path).name for m in process.memory_maps() if m.path}
        assert not {name for name in mapped if "tensorflow" in name or "litert" in name}
