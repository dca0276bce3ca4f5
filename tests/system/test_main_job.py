"""The main job, end to end."""

from __future__ import annotations

import io
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from tests.system.models import busy
from tests.system.stack import Stack, lines, until


def test_posted_prediction_is_polled_to_its_result(stack: Stack) -> None:
    response = stack.predict("half", [[2.0, 3.0]], metadata={"mine": 1})
    assert response.status_code == 202, lines(response)
    assert response.headers["Location"] == f"/api/jobs/{response.json()['id']}"
    assert int(response.headers["Retry-After"]) >= 1
    job = stack.final(response.json()["id"])
    assert job["state"] == "succeeded"
    assert job["outputs"] == {"y": [[3.0, 3.5]]}
    assert (job["model"], job["version"], job["artefact"]) == ("half", "1", "saved_model")
    assert job["digest"].startswith("sha256:")
    assert job["metadata"] == {"mine": 1}
    assert job["timings"]["queue_ms"] >= 0
    assert job["timings"]["predict_ms"] > 0
    assert job["timings"]["batch_rows"] == 1


def test_caller_who_waits_gets_the_result_at_once(stack: Stack) -> None:
    response = stack.predict("half", [[2.0, 3.0], [4.0, 0.0]], wait_s=10)
    assert response.status_code == 200, lines(response)
    assert response.headers["Preference-Applied"] == "wait=10"
    assert response.json()["outputs"] == {"y": [[3.0, 3.5], [4.0, 2.0]]}


def test_caller_who_waits_too_briefly_is_told_to_poll(stack: Stack) -> None:
    response = stack.predict("busy", busy(1.5), wait_s=0.1)
    assert response.status_code == 202, lines(response)
    assert stack.final(response.json()["id"])["outputs"] == {"y": busy(1.5)}


def test_npy_in_and_out(stack: Stack) -> None:
    array = np.array([[2.0, 3.0]], np.float32)
    body = io.BytesIO()
    np.save(body, array)
    headers = {"Content-Type": "application/x-npy", "Prefer": "wait=10"}
    response = stack.http.post("/api/jobs?model=half", content=body.getvalue(), headers=headers)
    assert response.status_code == 200, lines(response)
    url = response.json()["urls"]["result"]
    result = stack.http.get(url, headers={"Accept": "application/x-npy"})
    assert np.load(io.BytesIO(result.content)).tolist() == [[3.0, 3.5]]


def test_large_tensor_survives_the_journey(stack: Stack) -> None:
    rows = np.arange(200_000, dtype=np.float32).reshape(-1, 2)  # 800 kB, and many row ranges
    body = io.BytesIO()
    np.save(body, rows)
    headers = {"Content-Type": "application/x-npy", "Prefer": "wait=30", "Accept": "application/x-npy"}
    job = stack.http.post("/api/jobs?model=half", content=body.getvalue(), headers=headers).json()
    assert job["rows"] == 100_000
    stack.final(job["id"])
    result = stack.http.get(f"/api/jobs/{job['id']}/result", headers={"Accept": "application/x-npy"})
    np.testing.assert_array_equal(np.load(io.BytesIO(result.content)), rows / 2 + 2)


def test_jobs_that_arrive_together_are_batched_and_each_gets_its_own_answer(stack: Stack) -> None:
    start = threading.Barrier(32)

    def ask(number: int) -> tuple[float, int]:
        start.wait()
        job = stack.predict("half", [[float(number), 0.0]], wait_s=20).json()
        return job["outputs"]["y"][0][0], job["timings"]["batch_rows"]

    with ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(ask, range(32)))
    assert [value for value, _ in answers] == [number / 2 + 2 for number in range(32)]
    assert max(rows for _, rows in answers) > 1


def test_each_model_is_loaded_once_per_process_over_hundreds_of_jobs(stack: Stack) -> None:
    with ThreadPoolExecutor(16) as pool:
        responses = list(pool.map(lambda n: stack.predict("half", [[float(n), 1.0]], wait_s=20), range(400)))
    assert {response.status_code for response in responses} == {200}

    def both_counted() -> bool:
        return sum(worker["batches"] for worker in stack.workers()) > 0

    until(both_counted, what="heartbeats that count batches")
    workers = stack.workers()
    assert len({worker["pid"] for worker in workers}) == 2
    assert [worker["loads"] for worker in workers] == [3, 3]  # half, busy and single


def test_models_say_what_may_be_sent(stack: Stack) -> None:
    models = stack.http.get("/api/models").json()["models"]
    assert [model["name"] for model in models] == ["busy", "half", "single"]
    half = stack.http.get("/api/models/half").json()
    assert "serving_default" in str(half)
    assert "float32" in str(half)


def test_bad_input_is_refused_by_name_and_queues_nothing(stack: Stack) -> None:
    response = stack.predict("half", [[2.0, 3.0, 4.0]])
    assert response.status_code == 400
    problem = response.json()
    assert response.headers["Content-Type"] == "application/problem+json"
    assert problem["field"].startswith("inputs")
    assert "2" in problem["expected"]
    assert "3" in problem["got"]


def test_cancelled_job_never_shows_a_result(stack: Stack) -> None:
    others = [stack.predict("busy", busy(1.0)).json()["id"] for _ in range(3)]
    queued = stack.predict("busy", busy(0.1), priority="low").json()["id"]
    assert stack.http.post(f"/api/jobs/{queued}/cancel").json()["state"] == "cancelled"
    running = until(
        lambda: next((i for i in others if stack.job(i)["state"] == "running"), ""), what="a running job"
    )
    assert stack.http.post(f"/api/jobs/{running}/cancel").status_code == 200
    for job_id in others:
        stack.final(job_id)
    assert stack.job(running)["state"] == "cancelled"
    assert stack.job(queued)["outputs"] is None


def test_several_models_share_a_worker_without_starving(stack: Stack) -> None:
    saturating = [stack.predict("single", busy(0.3)).json()["id"] for _ in range(20)]
    response = stack.predict("half", [[2.0, 3.0]], wait_s=20)
    assert response.status_code == 200, lines(response)
    assert any(stack.job(job_id)["state"] in ("queued", "running") for job_id in saturating)
    for job_id in saturating:
        assert stack.final(job_id)["state"] == "succeeded"
