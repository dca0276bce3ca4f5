"""Webhooks through a whole stack, to a receiver that verifies them with the published library."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.system.conftest import StartStack
from tests.system.receiver import Answer, Receiver
from tests.system.stack import ROOT, Stack, until

SETTINGS = {
    "PREDICT_WORKER_WEBHOOK_ALLOW": "127.0.0.0/8",
    "PREDICT_WORKER_WEBHOOK_RETRIES_S": "0.2 0.2 0.2",
    "PREDICT_WORKER_WEBHOOK_TIMEOUT_S": "2",
    "PREDICT_WORKER_PUBLIC_URL": "https://predict.example",
}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    served = Receiver()
    yield served
    served.close()


@pytest.fixture(scope="module")
def stack(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A worker of models alone, and one of hooks alone."""
    shared = Stack(tmp_path_factory.mktemp("stack"), models, **SETTINGS)
    try:
        shared.start(queues="model.half,model.busy")
        start_hooks(shared)
        yield shared
    finally:
        shared.close()


def start_hooks(stack: Stack, log: str = "hooks") -> subprocess.Popen[bytes]:
    before = stack.log(log).count(" ready.") if (stack.folder / f"{log}.log").exists() else 0
    worker = stack.worker(queues="hooks", name=log)
    until(lambda: stack.log(log).count(" ready.") > before, 30, "hooks worker")
    return worker


def manage(stack: Stack, *arguments: str) -> Any:
    command = [sys.executable, "manage.py", "hooks", *arguments, "--json"]
    done = subprocess.run(
        command, cwd=ROOT, env=stack.environment, text=True, capture_output=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def jobs_secret(stack: Stack) -> str:
    return str(stack.http.get("/api/hooks/endpoints/jobs").json()["secret"])


def told(stack: Stack, url: str, **fields: Any) -> str:
    response = stack.predict("half", [[2.0, 4.0]], webhook=url, **fields)
    assert response.status_code == 202, response.text
    return str(response.json()["id"])


def over(stack: Stack, job_id: str, timeout_s: float = 20.0) -> dict[str, Any]:
    """The delivery of a job once it is over."""

    def probe() -> dict[str, Any] | None:
        found = stack.http.get("/api/hooks/deliveries", params={"job": job_id}).json()["deliveries"]
        return found[0] if found and found[0]["state"] != "pending" else None

    return until(probe, timeout_s, f"the delivery of {job_id}") or {}


def statuses(delivery: dict[str, Any]) -> list[int | None]:
    return [attempt["status"] for attempt in delivery["attempts"]]


def test_a_job_is_told_as_the_library_verifies(stack: Stack, receiver: Receiver) -> None:
    job_id = told(stack, f"{receiver.url}/ok?a=b", metadata={"mine": "ä"})
    (got,) = receiver.wait("/ok?a=b")
    event = got.verified(jobs_secret(stack))
    assert event["type"] == "job.succeeded"
    assert "." not in got.id
    job = stack.job(job_id)
    assert event["timestamp"] == job["finished_at"]
    urls = {name: f"https://predict.example{path}" for name, path in job["urls"].items()}
    assert event["data"] == {**job, "urls": urls}
    assert event["data"]["outputs"] == {"y": [[3.0, 4.0]]}
    delivery = over(stack, job_id)
    assert (delivery["state"], statuses(delivery), delivery["id"]) == ("delivered", [200], got.id)


def test_outputs_that_would_be_too_long_are_left_out(stack: Stack, receiver: Receiver) -> None:
    stack.predict("half", [[1.0, 2.0]] * 3000, webhook=f"{receiver.url}/long")
    (got,) = receiver.wait("/long")
    event = got.verified(jobs_secret(stack))
    assert len(got.body) < 20_000
    assert (event["data"]["state"], event["data"]["outputs"]) == ("succeeded", None)


def test_a_cancelled_job_is_told_too_and_only_the_ends_asked_for(stack: Stack, receiver: Receiver) -> None:
    running = stack.predict("busy", [[2.0]])
    for path, events in (("/no", ["succeeded"]), ("/yes", ["cancelled", "failed"])):
        queued = stack.predict(
            "busy", [[1.0]], priority="low", webhook=receiver.url + path, webhook_events=events
        )
        assert stack.http.post(f"/api/jobs/{queued.json()['id']}/cancel").status_code == 200
    (got,) = receiver.wait("/yes")
    assert got.verified(jobs_secret(stack))["type"] == "job.cancelled"
    stack.final(running.json()["id"])
    assert receiver.at("/no") == []


def test_a_receiver_in_trouble_is_asked_again_with_the_same_id_and_body(
    stack: Stack, receiver: Receiver
) -> None:
    receiver.answers["/moody"] = [Answer(500), Answer(503)]
    job_id = told(stack, f"{receiver.url}/moody")
    tries = receiver.wait("/moody", 3)
    assert len({one.id for one in tries}) == len({one.body for one in tries}) == 1
    for one in tries:
        one.verified(jobs_secret(stack))
    delivery = over(stack, job_id)
    assert (delivery["state"], statuses(delivery)) == ("delivered", [500, 503, 200])


def test_retry_after_is_honoured(stack: Stack, receiver: Receiver) -> None:
    receiver.answers["/busy"] = [Answer(429, {"Retry-After": "2"})]
    told(stack, f"{receiver.url}/busy")
    first, second = receiver.wait("/busy", 2)
    assert second.at - first.at >= 1.9


def test_a_redirect_is_a_failure_and_not_followed(stack: Stack, receiver: Receiver) -> None:
    receiver.answers["/moved"] = [Answer(307, {"Location": f"{receiver.url}/elsewhere"}) for _ in range(9)]
    delivery = over(stack, told(stack, f"{receiver.url}/moved"))
    assert (delivery["state"], statuses(delivery)) == ("failed", [307] * 4)
    assert "redirect" in delivery["attempts"][0]["error"]
    assert receiver.at("/elsewhere") == []


def test_410_disables_an_endpoint(stack: Stack, receiver: Receiver) -> None:
    receiver.answers["/gone"] = [Answer(410)]
    added = stack.http.post("/api/hooks/endpoints", json={"url": f"{receiver.url}/gone"}).json()
    try:
        until(lambda: told_somebody(stack), 10, "the new endpoint to be known")
        (got,) = receiver.wait("/gone")
        got.verified(added["secret"])
        at = f"/api/hooks/endpoints/{added['id']}"
        until(lambda: stack.http.get(at).json()["disabled"], 10, "disabling")
        until(lambda: not told_somebody(stack), 10, "jobs that are told to nobody")
        hits = len(receiver.at("/gone"))
        assert stack.http.post(f"{at}/enable").json()["disabled"] is None
        until(lambda: told_somebody(stack), 10, "the endpoint to be known again")
        receiver.wait("/gone", hits + 1)
    finally:
        assert stack.http.delete(f"/api/hooks/endpoints/{added['id']}").status_code == 204
    until(lambda: not told_somebody(stack), 10, "removal")


def told_somebody(stack: Stack) -> bool:
    """Whether a job that names no webhook makes a delivery."""
    job = stack.predict("half", [[0.0, 0.0]], wait_s=10).json()
    return bool(stack.http.get("/api/hooks/deliveries", params={"job": job["id"]}).json()["deliveries"])


def test_while_a_secret_is_rotated_old_and_new_verify(stack: Stack, receiver: Receiver) -> None:
    old = jobs_secret(stack)
    rotated = manage(stack, "endpoint", "rotate", "jobs", "--overlap-s", "1000")
    new = rotated["secret"]
    assert old != new == jobs_secret(stack)
    told(stack, f"{receiver.url}/rotating")
    (got,) = receiver.wait("/rotating")
    assert got.verified(old) == got.verified(new)
    manage(stack, "endpoint", "rotate", "jobs", "--overlap-s", "0")
    told(stack, f"{receiver.url}/rotated")
    (got,) = receiver.wait("/rotated")
    got.verified(jobs_secret(stack))
    for gone in (old, new):
        with pytest.raises(Exception, match="No matching signature"):
            got.verified(gone)


def test_a_delivery_is_replayed_by_api_and_by_command(stack: Stack, receiver: Receiver) -> None:
    job_id = told(stack, f"{receiver.url}/again")
    delivery = over(stack, job_id)
    replayed = stack.http.post(f"/api/hooks/deliveries/{delivery['id']}/replay")
    assert (replayed.status_code, replayed.json()["state"]) == (202, "pending")
    receiver.wait("/again", 2)
    over(stack, job_id)
    assert manage(stack, "replay", delivery["id"]) == {"replayed": [delivery["id"]]}
    tries = receiver.wait("/again", 3)
    assert len({one.id for one in tries}) == len({one.body for one in tries}) == 1
    over(stack, job_id)
    assert len(manage(stack, "show", delivery["id"])["attempts"]) == 3
    assert delivery["id"] in [listed["id"] for listed in manage(stack, "list", "--job", job_id)]


def test_what_is_not_on_the_public_internet_is_never_called(stack: Stack, receiver: Receiver) -> None:
    port = receiver.url.rpartition(":")[2]
    for host in ("10.0.0.1", "169.254.169.254", "[::1]", "[::ffff:10.0.0.1]", "0.0.0.0"):
        refused = stack.predict("half", [[2.0, 4.0]], webhook=f"http://{host}:{port}/")
        assert (refused.status_code, refused.json()["field"]) == (400, "webhook"), host
    # A name whose address only the resolver knows.
    delivery = over(stack, told(stack, f"http://0xa000001:{port}/"))
    assert delivery["state"] == "failed"
    assert {attempt["status"] for attempt in delivery["attempts"]} == {None}
    assert all("refused: 0xa000001 is 10.0.0.1" in attempt["error"] for attempt in delivery["attempts"])


def test_a_slow_receiver_holds_up_no_other(stack: Stack, receiver: Receiver) -> None:
    other = Receiver("127.0.0.2")
    try:
        released = threading.Event()
        receiver.answers["/slow"] = [Answer(after=lambda: released.wait(1.5)) for _ in range(20)]
        slow = [told(stack, f"{receiver.url}/slow") for _ in range(20)]
        receiver.wait("/slow", 4)
        told(stack, f"{other.url}/quick")
        other.wait("/quick", timeout_s=5)
        assert len(receiver.at("/slow")) < 20
        released.set()
        receiver.answers["/slow"] = []
        receiver.wait("/slow", 20, timeout_s=40)
        assert {over(stack, job_id)["state"] for job_id in slow} == {"delivered"}
    finally:
        other.close()


def test_a_hooks_worker_has_no_tensorflow(stack: Stack) -> None:
    workers = [p for p in psutil.process_iter(["cmdline"]) if "hooks" in (p.info["cmdline"] or [])]
    mine = [p for p in workers if p.environ().get("REDIS_URL") == stack.redis.url]
    assert len(mine) >= 2  # the parent and a child
    for process in mine:
        assert not any("tensorflow" in region.path for region in process.memory_maps())


def test_a_hooks_worker_killed_between_delivery_and_log_delivers_again(
    new_stack: StartStack, models: Path, receiver: Receiver
) -> None:
    stack = new_stack(**SETTINGS).start(queues="model.half")
    worker = start_hooks(stack)

    def kill() -> None:
        children = stack.children(worker)
        worker.send_signal(signal.SIGKILL)
        for child in children:
            child.send_signal(signal.SIGKILL)
        worker.wait(10)

    receiver.answers["/deadly"] = [Answer(after=kill)]
    job_id = told(stack, f"{receiver.url}/deadly")
    receiver.wait("/deadly")
    worker.wait(10)
    stack.redis.kill()  # what is pending is in its file
    stack.redis.start()
    start_hooks(stack, "hooks2")
    first, second = receiver.wait("/deadly", 2, timeout_s=40)
    assert (first.id, first.body) == (second.id, second.body)
    delivery = over(stack, job_id)
    assert (delivery["state"], statuses(delivery)) == ("delivered", [200])


def test_a_worker_of_everything_delivers_and_predicts_meanwhile(
    new_stack: StartStack, receiver: Receiver
) -> None:
    stack = new_stack(**SETTINGS).start(children=1)
    released = threading.Event()
    receiver.answers["/slow"] = [Answer(after=lambda: released.wait(30))]
    job_id = told(stack, f"{receiver.url}/slow")
    receiver.wait("/slow")
    assert stack.predict("half", [[2.0, 4.0]], wait_s=10).json()["outputs"] == {"y": [[3.0, 4.0]]}
    assert (
        stack.http.get("/api/hooks/deliveries", params={"job": job_id}).json()["deliveries"][0]["attempts"]
        == []
    )
    released.set()
    assert over(stack, job_id)["state"] == "delivered"
