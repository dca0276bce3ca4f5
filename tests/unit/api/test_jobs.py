"""One job: read, waited for, cancelled, deleted, and its result."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from django.test import Client
from django.urls import set_script_prefix

from predict_worker.core.job import JobError, JobState, new_job_id
from predict_worker.store.config import StoreConfig
from tests.unit.api.asking import body, post, refused
from tests.unit.world import DIGIT, World

BROKEN = JobError("broken", "Broken", "the model refused these rows")


@pytest.fixture
def at(client: Client) -> str:
    """The path of a queued job."""
    return str(post(client)["Location"])


def cancelled(client: Client, at: str) -> Any:
    return client.post(f"{at}/cancel")


# ---------------------------------------------------------------- reading


def test_a_queued_job_says_when_to_look_again(client: Client, at: str) -> None:
    response = client.get(at)
    assert (response.status_code, response.json()["state"]) == (200, "queued")
    assert response["Retry-After"] == "1"
    assert response["Cache-Control"] == "no-store"


def test_a_running_job_has_started(client: Client, world: World, at: str) -> None:
    world.claim()
    job = client.get(at).json()
    assert (job["state"], job["outputs"], job["attempts"]) == ("running", None, 1)
    assert job["started_at"] is not None
    assert job["finished_at"] is None


def test_a_succeeded_job_has_its_outputs(client: Client, world: World, at: str) -> None:
    world.run()
    response = client.get(at)
    assert response.json()["outputs"] == {"probabilities": [[0.1] * 10]}
    assert "Retry-After" not in response


def test_a_failed_job_has_its_error(client: Client, world: World, at: str) -> None:
    world.run(error=BROKEN)
    job = client.get(at).json()
    assert (job["state"], job["outputs"]) == ("failed", None)
    assert job["error"] == {"code": "broken", "title": "Broken", "detail": BROKEN.detail, "attempts": []}


def test_a_job_past_its_deadline_is_expired(client: Client, world: World) -> None:
    at = post(client, body(deadline_s=5))["Location"]
    clock = world.store._clock
    world.store._clock = lambda: clock() + 6_000_000
    job = client.get(at).json()
    assert job["state"] == JobState.EXPIRED
    assert job["deadline_at"] < job["finished_at"]


def test_reading_can_wait_for_the_end(client: Client, world: World, at: str) -> None:
    world.store.after["watch"] = world.run
    response = client.get(at, headers={"prefer": "wait=5"})
    assert response.json()["state"] == "succeeded"
    assert response["Preference-Applied"] == "wait=5"
    assert "Retry-After" not in response


def test_reading_that_waited_in_vain_shows_the_job_as_it_is(client: Client, world: World, at: str) -> None:
    world.service._limits = type(world.service._limits)(max_wait_s=0.01)
    response = client.get(at, headers={"prefer": "wait=9"})
    assert (response.status_code, response.json()["state"]) == (200, "queued")


def test_head_is_get_without_a_body(client: Client, at: str) -> None:
    response = client.head(at)
    assert (response.status_code, response.content) == (200, b"")
    assert response["Content-Type"] == "application/json"


# ---------------------------------------------------------------- unknown


@pytest.mark.parametrize("job_id", [new_job_id(0), new_job_id(7), "x", "0-123", "0-" + "G" * 32, "..", "%00"])
@pytest.mark.parametrize(
    ("method", "under"),
    [("get", ""), ("delete", ""), ("post", "/cancel"), ("post", "/redrive"), ("get", "/result")],
)
def test_an_unknown_job_is_404(client: Client, world: World, job_id: str, method: str, under: str) -> None:
    refused(getattr(client, method)(f"/api/jobs/{job_id}{under}"), 404, "job_not_found")


def test_a_deleted_job_is_404(client: Client, at: str) -> None:
    response = client.delete(at)
    assert (response.status_code, response.content) == (204, b"")
    refused(client.get(at), 404, "job_not_found")
    refused(client.delete(at), 404, "job_not_found")


@pytest.mark.parametrize(
    "path",
    ["/api/", "/api", "/api/job", "/api/jobs/", "/api/jobs/a/b/c", "/api/models/digits/x", "/api/v2/jobs"],
)
def test_any_other_path_is_a_problem_too(client: Client, path: str) -> None:
    for method in (client.get, client.post, client.delete):
        problem = refused(method(path), 404, "not_found")
        assert problem["instance"] == path


def test_paths_outside_the_api_are_the_projects_own(client: Client) -> None:
    assert client.get("/apiary")["Content-Type"].startswith("text/html")


# ---------------------------------------------------------------- methods


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/api/jobs", "GET, POST, HEAD, OPTIONS"),
        ("/api/jobs/x", "GET, DELETE, HEAD, OPTIONS"),
        ("/api/jobs/x/cancel", "POST, OPTIONS"),
        ("/api/jobs/x/redrive", "POST, OPTIONS"),
        ("/api/models/x/dead", "GET, HEAD, OPTIONS"),
        ("/api/models/x/dead/redrive", "POST, OPTIONS"),
        ("/api/jobs/x/result", "GET, HEAD, OPTIONS"),
        ("/api/models", "GET, HEAD, OPTIONS"),
        ("/api/workers", "GET, HEAD, OPTIONS"),
        ("/healthz", "GET, HEAD, OPTIONS"),
    ],
)
def test_another_method_is_405_and_options_says_which(client: Client, path: str, allowed: str) -> None:
    response = client.put(path, b"{}", content_type="application/json")
    refused(response, 405, "method_not_allowed")
    assert sorted(response["Allow"].split(", ")) == sorted(allowed.split(", "))
    options = client.options(path)
    assert (options.status_code, options.content) == (204, b"")
    assert options["Allow"] == response["Allow"]


# ---------------------------------------------------------------- cancelling


def test_a_queued_job_can_be_cancelled_and_never_runs(client: Client, world: World, at: str) -> None:
    response = cancelled(client, at)
    assert (response.status_code, response.json()["state"]) == (200, "cancelled")
    assert cancelled(client, at).status_code == 200
    assert world.run() == 0


def test_a_running_jobs_result_is_discarded_when_it_is_cancelled(
    client: Client, world: World, at: str
) -> None:
    entries = world.claim()
    assert cancelled(client, at).json()["state"] == "cancelled"
    world.finish(*(world.outcome(entry, "digits") for entry in entries))
    assert client.get(at).json()["outputs"] is None


def test_a_finished_job_cannot_be_cancelled(client: Client, world: World, at: str) -> None:
    world.run()
    refused(cancelled(client, at), 409, "job_conflict")


# ---------------------------------------------------------------- results


def test_a_result_is_the_outputs_alone(client: Client, world: World, at: str) -> None:
    world.run()
    response = client.get(f"{at}/result")
    assert response.json() == {"outputs": {"probabilities": [[0.1] * 10]}}
    assert response["Vary"] == "Accept"


@pytest.mark.parametrize(
    "accept",
    ["application/x-npy", "application/x-npy, */*;q=0.1", "application/json;q=0.2, application/x-npy"],
)
def test_a_result_can_be_an_npy_file(client: Client, world: World, accept: str) -> None:
    at = post(client, body(inputs=DIGIT * 5))["Location"]
    world.run()
    response = client.get(f"{at}/result", headers={"accept": accept})
    assert response["Content-Type"] == "application/x-npy"
    array = np.load(io.BytesIO(response.content))
    assert (array.shape, array.dtype) == ((5, 10), np.float32)


@pytest.mark.parametrize(
    "accept", ["*/*", "application/json", "application/*", "application/json, application/x-npy"]
)
def test_a_result_is_json_where_that_is_as_welcome(
    client: Client, world: World, at: str, accept: str
) -> None:
    world.run()
    assert client.get(f"{at}/result", headers={"accept": accept})["Content-Type"] == "application/json"


@pytest.mark.parametrize(
    "accept", ["", ",", ";;", "application/json;q=abc", "*/*;q=nan", "/", "a/b/c;q=-1", "\x7f"]
)
def test_an_accept_header_that_is_none_is_no_error(
    client: Client, world: World, at: str, accept: str
) -> None:
    world.run()
    assert client.get(f"{at}/result", headers={"accept": accept}).status_code in (200, 406)


def test_a_result_in_no_form_that_exists_is_406(client: Client, world: World, at: str) -> None:
    world.run()
    refused(client.get(f"{at}/result", headers={"accept": "image/png"}), 406, "not_acceptable")


def test_an_npy_file_of_several_outputs_is_406_and_names_them(client: Client, world: World) -> None:
    at = post(client, {"model": "pair", "inputs": {"a": [[1, 2]], "b": [3]}})["Location"]
    world.run("pair")
    problem = refused(
        client.get(f"{at}/result", headers={"accept": "application/x-npy"}), 406, "not_acceptable"
    )
    assert "sum, product" in problem["detail"]


@pytest.mark.parametrize("running", [False, True])
def test_the_result_of_an_unfinished_job_is_409_with_when_to_come_back(
    client: Client, world: World, at: str, running: bool
) -> None:
    if running:
        world.claim()
    response = client.get(f"{at}/result")
    refused(response, 409, "result_not_ready")
    assert response["Retry-After"] == "1"


def test_the_result_of_a_failed_job_is_409_with_the_error(client: Client, world: World, at: str) -> None:
    world.run(error=BROKEN)
    response = client.get(f"{at}/result")
    problem = refused(response, 409, "job_unsuccessful")
    assert problem["state"] == "failed"
    assert problem["error"]["code"] == "broken"
    assert "Retry-After" not in response


def test_the_result_of_a_cancelled_job_is_409(client: Client, at: str) -> None:
    cancelled(client, at)
    assert refused(client.get(f"{at}/result"), 409, "job_unsuccessful")["state"] == "cancelled"


def test_expired_outputs_are_410_and_the_record_stays_until_it_is_404(
    client: Client, world: World, at: str
) -> None:
    config = StoreConfig()
    world.run()
    clock = world.store._clock
    world.store._clock = lambda: clock() + int((config.result_ttl_s + 1) * 1e6)
    refused(client.get(f"{at}/result"), 410, "result_gone")
    job = client.get(at).json()
    assert (job["state"], job["outputs"]) == ("succeeded", None)
    world.store._clock = lambda: clock() + int((config.record_ttl_s + 1) * 1e6)
    refused(client.get(f"{at}/result"), 404, "job_not_found")


def test_stored_bytes_that_do_not_decode_are_500(client: Client, world: World, at: str) -> None:
    (entry,) = world.claim()
    outcome = world.outcome(entry, "digits")
    world.finish(type(outcome)(entry, payload=b"garbage"))
    refused(client.get(f"{at}/result"), 500, "internal")


def test_urls_follow_the_prefix_that_the_project_is_served_under(client: Client) -> None:
    set_script_prefix("/ml/")
    try:
        response = post(client)
    finally:
        set_script_prefix("/")
    assert response["Location"].startswith("/ml/api/jobs/0-")
    assert post(client)["Location"].startswith("/api/jobs/0-")


def test_a_store_that_is_away_is_503(client: Client, world: World, at: str) -> None:
    world.store.away = {"*"}
    for response in (client.get(at), client.delete(at), cancelled(client, at), client.get(f"{at}/result")):
        refused(response, 503, "store_unavailable")
        assert response["Retry-After"] == "1"
