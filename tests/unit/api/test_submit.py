"""POST /api/jobs: accepted, answered, refused field by field."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import pytest
from django.test import Client

from predict_worker.core.job import JobError
from predict_worker.core.ports import ModelEntry
from tests.unit.api.asking import body, post, refused
from tests.unit.world import DIGIT, World

JOB_FIELDS = {
    *("id", "model", "version", "digest", "signature_name", "artefact", "state", "priority", "rows"),
    *("attempts", "queue_position", "created_at", "started_at", "finished_at", "deadline_at"),
    *("expires_at", "timings", "outputs", "error", "metadata", "urls"),
}
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\Z")


def test_a_job_is_accepted_with_where_and_when_to_look(client: Client, world: World) -> None:
    response = post(client)
    job = response.json()
    assert response.status_code == 202
    assert response["Location"] == job["urls"]["self"] == f"/api/jobs/{job['id']}"
    assert response["Retry-After"] == "1"
    assert response["Content-Type"] == "application/json"
    assert response["Cache-Control"] == "no-store"
    assert world.run() == 1


def test_the_job_object_has_every_field_and_null_for_what_is_not_known(client: Client) -> None:
    job = post(client, body(metadata={"a": [1, None]}, deadline_s=60)).json()
    assert job.keys() == JOB_FIELDS
    assert (job["model"], job["version"], job["state"], job["rows"]) == ("digits", "1", "queued", 1)
    assert (job["priority"], job["attempts"], job["queue_position"]) == ("normal", 0, 0)
    assert (job["metadata"], job["artefact"]) == ({"a": [1, None]}, "saved_model")
    assert job["timings"] == {"queue_ms": None, "predict_ms": None, "batch_rows": None}
    assert MOMENT.match(job["created_at"])
    assert MOMENT.match(job["deadline_at"])
    for name in ("started_at", "finished_at", "expires_at", "outputs", "error"):
        assert job[name] is None
    at = f"/api/jobs/{job['id']}"
    assert job["urls"] == {
        "self": at,
        "result": f"{at}/result",
        "cancel": f"{at}/cancel",
        "events": f"{at}/events",
    }


def test_a_waited_job_is_answered_with_its_outputs(client: Client, world: World) -> None:
    with world.working():
        response = post(client, prefer="wait=5")
    job = response.json()
    assert response.status_code == 200
    assert response["Preference-Applied"] == "wait=5"
    assert job["state"] == "succeeded"
    assert job["outputs"] == {"probabilities": [[0.1] * 10]}
    assert job["timings"]["predict_ms"] == 0.5
    assert job["attempts"] == 1
    assert job["queue_position"] is None
    assert all(MOMENT.match(job[name]) for name in ("started_at", "finished_at", "expires_at"))


def test_a_waited_job_that_failed_is_answered_too(client: Client, world: World) -> None:
    with world.working(error=JobError("broken", "Broken", "refused", ({"attempt": 1},))):
        response = post(client, prefer="wait=5")
    job = response.json()
    assert (response.status_code, job["state"], job["outputs"]) == (200, "failed", None)
    assert job["error"] == {"code": "broken", "title": "Broken", "detail": "refused", "attempts": []}


def test_when_time_is_up_the_answer_is_202(client: Client, world: World) -> None:
    world.service._limits = type(world.service._limits)(max_wait_s=0.01)
    response = post(client, prefer="respond-async, wait=100")
    assert response.status_code == 202
    assert response["Preference-Applied"] == "respond-async, wait=0"


def test_respond_async_alone_is_answered_at_once(client: Client) -> None:
    response = post(client, prefer="respond-async")
    assert (response.status_code, response["Preference-Applied"]) == (202, "respond-async")


def test_a_wait_of_zero_does_not_wait(client: Client) -> None:
    response = post(client, prefer="wait=0")
    assert response.status_code == 202
    assert "Preference-Applied" not in response


def test_without_a_free_place_the_answer_is_202(client: Client, world: World) -> None:
    world.waiters._limit = 0
    response = post(client, prefer="wait=30")
    assert response.status_code == 202
    assert "Preference-Applied" not in response


def test_non_finite_outputs_are_named(client: Client, world: World) -> None:
    odd = np.array([[np.nan, np.inf, -np.inf, 1, 2, 3, 4, 5, 6, 7]], np.float32)
    world.answer = lambda model, entry: {"probabilities": odd}  # type: ignore[method-assign]
    with world.working():
        job = post(client, prefer="wait=5").json()
    assert job["outputs"]["probabilities"][0][:4] == ["NaN", "Infinity", "-Infinity", 1.0]


@pytest.mark.parametrize(
    "data",
    [
        body(inputs=DIGIT * 3),
        body(inputs={"x": DIGIT}),
        body(inputs=None, instances=DIGIT),
        body(inputs=None, instances=[{"x": DIGIT[0]}]),
        body(version="1"),
        body(version="0001"),
        body(label="stable"),
        body(signature_name="serving_default"),
        body(outputs=["probabilities"]),
        body(priority="high"),
        body(priority="low"),
        body(deadline_s=0.5),
        body(deadline_s=86400),
        body(metadata={}),
        body(metadata={"ü": "☃", "deep": {"a": [1, 2.5, True, None]}}),
        body(model="fresh", inputs=[[1, "anything"]]),
        {"model": "pair", "inputs": {"a": [[1, 2]], "b": [3]}, "outputs": ["sum"]},
    ],
)
def test_every_documented_field_is_accepted(client: Client, data: dict[str, Any]) -> None:
    assert post(client, data).status_code == 202, data


@pytest.mark.parametrize(
    ("data", "field"),
    [
        (body(model=None), "model"),
        (body(model=5), "model"),
        (body(model=""), "model"),
        (body(model="../etc"), "model"),
        (body(model="a" * 65), "model"),
        (body() | {"model": None}, "model"),
        (body(version=1), "version"),
        (body(version="one"), "version"),
        (body(version="-1"), "version"),
        (body(version="1.0"), "version"),
        (body(version="1" * 19), "version"),
        (body(version="\u0661"), "version"),
        (body() | {"version": None}, "version"),
        (body(label=""), "label"),
        (body(label=3), "label"),
        (body(version="1", label="stable"), "label"),
        (body(signature_name=1), "signature_name"),
        (body(signature_name="other"), "signature_name"),
        (body(inputs=None), "inputs"),
        (body() | {"inputs": None}, "inputs"),
        (body(inputs=[[1, 2]]), "inputs[0]"),
        (body(inputs={"y": DIGIT}), "inputs.y"),
        (body(inputs={}), "inputs.x"),
        (body(inputs="text"), "inputs"),
        (body(inputs=[]), "inputs"),
        (body(instances=DIGIT), "instances"),
        (body(inputs=None, instances=[]), "instances"),
        (body(inputs=None, instances={}), "instances"),
        (body(inputs=None) | {"instances": None}, "instances"),
        (body(outputs="probabilities"), "outputs"),
        (body(outputs=[]), "outputs"),
        (body(outputs=[1]), "outputs"),
        (body(outputs=["probabilities", "probabilities"]), "outputs"),
        (body(outputs=["nothing"]), "outputs[0]"),
        (body(priority="urgent"), "priority"),
        (body(priority=1), "priority"),
        (body(priority=["high"]), "priority"),
        (body() | {"priority": None}, "priority"),
        (body(deadline_s=0), "deadline_s"),
        (body(deadline_s=-3), "deadline_s"),
        (body(deadline_s="5"), "deadline_s"),
        (body(deadline_s=True), "deadline_s"),
        (body(deadline_s=10**12), "deadline_s"),
        (body(metadata=[]), "metadata"),
        (body(metadata={"a": "x" * 1020}), "metadata"),
        (body(webhook="ftp://example.com"), "webhook"),
        (body(webhook="http://127.0.0.1/"), "webhook"),
        (body(webhook=7), "webhook"),
        (body(webhook="https://example.com", webhook_events=["started"]), "webhook_events"),
        (body(webhook_events=["failed"]), "webhook_events"),
        (body(callback=1), "callback"),
    ],
)
def test_a_field_that_is_wrong_is_named(
    client: Client, world: World, data: dict[str, Any], field: str
) -> None:
    problem = refused(post(client, data), 400, "invalid_request", field)
    assert problem["instance"] == "/api/jobs"
    assert world.store.calls == []


def test_a_value_within_an_input_is_named_by_its_place(client: Client) -> None:
    row = json.loads(json.dumps(DIGIT))
    row[0][3][2][0] = "five"
    refused(post(client, body(inputs=row)), 400, "invalid_request", "inputs[0][3][2][0]")


@pytest.mark.parametrize(
    "fields",
    [{"model": "digit"}, {"version": "7"}, {"label": "canary"}],
    ids=lambda fields: next(iter(fields)),
)
def test_what_is_not_known_is_404(client: Client, fields: dict[str, str]) -> None:
    refused(post(client, body(**fields)), 404, "model_not_found")


def test_a_model_that_does_not_exist_says_which_is_near(client: Client) -> None:
    assert (
        "did you mean digits?" in refused(post(client, body(model="digit")), 404, "model_not_found")["detail"]
    )


def test_a_full_queue_is_503_with_when_to_come_back(client: Client, world: World) -> None:
    world.catalogue_store.publish_models([ModelEntry("digits", (1,), queue_max_jobs=1)])
    assert post(client).status_code == 202
    response = post(client)
    refused(response, 503, "queue_full")
    assert response["Retry-After"] == "1"


def test_a_store_that_is_away_is_503_with_when_to_come_back(client: Client, world: World) -> None:
    world.store.away = {"*"}
    response = post(client)
    refused(response, 503, "store_unavailable")
    assert response["Retry-After"] == "1"


def test_a_broker_that_is_away_is_still_202(client: Client, world: World) -> None:
    world.wakeups.failing = True
    assert post(client).status_code == 202


def test_retry_after_is_whole_seconds_rounded_up(client: Client, world: World) -> None:
    world.service.retry_after_s = lambda job: 2.1  # type: ignore[method-assign]
    assert post(client)["Retry-After"] == "3"


def test_an_error_that_nobody_expected_is_500_without_its_words(
    client: Client, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(job: object) -> float:
        raise RuntimeError("secret words")

    world.service.retry_after_s = broken  # type: ignore[method-assign]
    response = post(client, x_request_id="req-7")
    problem = refused(response, 500, "internal")
    assert "secret" not in json.dumps(problem)
    (record,) = [record for record in caplog.records if record.name == "api.errors"]
    assert "req-7" in record.getMessage()
    assert record.exc_info is not None


# ---------------------------------------------------------------- idempotency


def test_the_same_key_and_payload_replays_the_job(client: Client) -> None:
    first = post(client, idempotency_key="k1")
    respaced = json.dumps(dict(reversed(body().items())), indent=1).encode()
    again = post(client, respaced, idempotency_key='"k1"')
    assert (first.status_code, again.status_code) == (202, 202)
    assert again.json()["id"] == first.json()["id"]


def test_a_replay_of_a_finished_job_is_200_with_its_outputs(client: Client, world: World) -> None:
    post(client, idempotency_key="k1")
    world.run()
    again = post(client, idempotency_key="k1")
    assert again.status_code == 200
    assert again.json()["outputs"] is not None


@pytest.mark.parametrize("changed", [{"inputs": DIGIT * 2}, {"priority": "low"}, {"model": "fresh"}])
def test_the_same_key_with_another_payload_is_422(client: Client, changed: dict[str, Any]) -> None:
    post(client, idempotency_key="k1")
    refused(post(client, body(**changed), idempotency_key="k1"), 422, "idempotency_conflict")


@pytest.mark.parametrize("key", ["", '""', "x" * 256, "a b", "ü"])
def test_a_key_that_is_none_is_refused(client: Client, key: str) -> None:
    refused(post(client, idempotency_key=key), 400, "invalid_request", "Idempotency-Key")


def test_another_key_is_another_job(client: Client) -> None:
    ids = {post(client, idempotency_key=key).json()["id"] for key in ("a", "b", "c" * 255)}
    assert len(ids) == 3


# ---------------------------------------------------------------- request ids


def test_a_request_id_is_returned_and_kept_with_the_job(client: Client, world: World) -> None:
    response = post(client, x_request_id="abc-123")
    assert response["X-Request-ID"] == "abc-123"
    assert world.store.get(response.json()["id"]).request_id == "abc-123"


@pytest.mark.parametrize("given", ["", "a" * 129, "a b", 'a"b', "ü", "a\tb"])
def test_a_request_id_that_is_unsafe_or_absent_is_made_anew(client: Client, given: str) -> None:
    assert re.fullmatch(r"[0-9a-f]{32}", post(client, x_request_id=given)["X-Request-ID"])


def test_the_log_names_job_and_request(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", "predict_worker")
    response = post(client, x_request_id="req-1")
    assert f"job {response.json()['id']} accepted for digits, request req-1" in caplog.messages


def test_unavailable_is_not_logged_as_an_error(
    client: Client, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.store.away = {"submit"}
    post(client)
    assert not [record for record in caplog.records if record.name.startswith(("api", "predict_worker"))]
