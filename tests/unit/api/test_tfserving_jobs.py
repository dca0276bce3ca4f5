"""TensorFlow Serving's REST API with ``Prefer: respond-async``: the request as a job, looked at later."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from django.test import Client, override_settings

from predict_worker.core.job import JobError
from tests.unit.api.asking import body, post
from tests.unit.api.tfserving import ask, refused
from tests.unit.world import World


def later(client: Client, asked: Any, at: str = "half:predict") -> Any:
    response = ask(client, at, asked, prefer="respond-async")
    assert response.status_code == 202, response.content
    return response


def test_a_job_is_answered_with_where_and_when_to_look(client: Client, half: World) -> None:
    response = later(client, {"instances": [2.0]})
    job_id = response.json()["job"]
    assert response.json() == {
        "model_spec": {"name": "half", "signature_name": "serving_default", "version": "2"},
        "job": job_id,
        "state": "queued",
    }
    assert response["Location"] == f"/v1/models/half/jobs/{job_id}"
    assert response["Retry-After"] == "1"
    assert response["Preference-Applied"] == "respond-async"
    waiting = client.get(response["Location"])
    assert (waiting.status_code, waiting["Retry-After"], waiting.json()) == (202, "1", response.json())
    assert client.get(f"/api/jobs/{job_id}").json()["state"] == "queued"


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"instances": [[2.0]]}, {"predictions": [[3.0]]}),
        ({"instances": [2.0]}, {"predictions": [3.0]}),
        ({"inputs": [[2.0]]}, {"outputs": [[3.0]]}),
        ({"inputs": [2.0]}, {"outputs": [3.0]}),
    ],
)
def test_a_job_keeps_the_form_of_its_request(client: Client, half: World, asked: Any, told: Any) -> None:
    at = later(client, asked)["Location"]
    half.run("half")
    found = client.get(at)
    assert (found.status_code, found.json()) == (200, told)


def test_a_job_is_waited_for(client: Client, half: World) -> None:
    at = later(client, {"instances": [2.0]})["Location"]
    half.store.after["watch"] = lambda: half.run("half")
    found = client.get(at, headers={"Prefer": "wait=5"})
    assert (found.status_code, found["Preference-Applied"]) == (200, "wait=5")
    assert found.json() == {"predictions": [3.0]}


def test_who_waits_for_a_while_is_answered_at_once_if_it_is_done_by_then(client: Client, half: World) -> None:
    with half.working("half"):
        response = ask(client, "half:predict", {"instances": [2.0]}, prefer="respond-async, wait=5")
    assert (response.status_code, response.json()) == (200, {"predictions": [3.0]})
    assert response["Preference-Applied"] == "wait=5"


def test_who_waits_in_vain_has_a_job(client: Client, half: World) -> None:
    half.service._limits = replace(half.service._limits, max_wait_s=0.01)
    response = ask(client, "half:predict", {"instances": [2.0]}, prefer="respond-async, wait=5")
    assert response.status_code == 202
    assert "cancel" not in half.store.calls


def test_a_job_that_failed_is_told_as_if_waited_for(client: Client, half: World) -> None:
    at = later(client, {"instances": [2.0]})["Location"]
    half.run("half", JobError("invalid_input", "Inputs do not fit", "too blue"))
    refused(client.get(at), 400, "too blue")


def test_a_job_that_was_cancelled_is_409(client: Client, half: World) -> None:
    response = later(client, {"instances": [2.0]})
    client.post(f"/api/jobs/{response.json()['job']}/cancel")
    refused(client.get(response["Location"]), 409, "is cancelled")


def test_a_result_that_has_expired_is_404(client: Client, half: World) -> None:
    at = later(client, {"instances": [2.0]})["Location"]
    half.run("half")
    result = half.store.result
    half.store.result = lambda job_id: (result(job_id)[0], None)  # type: ignore[method-assign]
    refused(client.get(at), 404, "have expired")


@pytest.mark.parametrize("metadata", [{}, {"form": 5}, {"form": "rows"}, {"form": ["rows"]}])
def test_a_job_of_another_dialect_is_shown_too(client: Client, world: World, metadata: Any) -> None:
    job_id = post(client, body(metadata=metadata)).json()["id"]
    world.run()
    key = "predictions" if metadata.get("form") == "rows" else "outputs"
    assert client.get(f"/v1/models/digits/jobs/{job_id}").json() == {key: [[0.1] * 10]}


def test_a_job_is_of_its_model_alone(client: Client, half: World) -> None:
    job_id = later(client, {"instances": [2.0]}).json()["job"]
    refused(client.get(f"/v1/models/digits/jobs/{job_id}"), 404, f"no job '{job_id}'")


def test_who_waits_leaves_no_metadata(client: Client, half: World) -> None:
    with half.working("half"):
        ask(client, "half:predict", {"instances": [2.0]})
    (job_id,) = half.store.jobs("").job_ids
    assert half.store.get(job_id).metadata == {}


def test_without_a_user_the_answer_is_401_in_its_shape(client: Client, half: World) -> None:
    with override_settings(PREDICT_WORKER={"ALLOW_ANONYMOUS": False}):
        response = ask(client, "half:predict", {"instances": [2.0]})
    refused(response, 401, "credentials")
    assert response["WWW-Authenticate"]
