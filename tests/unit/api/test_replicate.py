"""Replicate's predictions: what is asked, answered and refused."""

from __future__ import annotations

import base64
import json
import threading
from typing import Any

import pytest
from django.test import Client

from predict_worker.core.job import JobError, JobState, new_job_id
from predict_worker.core.ports import ModelEntry
from tests.unit.api.asking import post as post_job
from tests.unit.api.asking import spelled
from tests.unit.world import DIGIT, World, spec, worker

AT = "/v1/predictions"
ASKED = {"version": "digits", "input": {"x": DIGIT}}
PAIR = {"version": "pair", "input": {"a": [[1, 2]], "b": [3]}}
BROKEN = JobError("broken", "Broken", "the model refused these rows")


def create(client: Client, data: Any = None, at: str = AT, **headers: str) -> Any:
    raw = data if isinstance(data, bytes) else json.dumps(ASKED if data is None else data).encode()
    return client.post(at, raw, content_type="application/json", headers=spelled(headers))


def refused(response: Any, status: int, text: str) -> None:
    """The four members of a problem, whose detail holds this."""
    assert response["Content-Type"] == "application/problem+json", response.content
    problem = json.loads(response.content)
    assert list(problem) == ["type", "title", "status", "detail"]
    assert (response.status_code, problem["status"]) == (status, status), problem
    assert text in problem["detail"]
    assert problem["type"].startswith("urn:predict-worker:")


# ---------------------------------------------------------------- creating


def test_a_created_prediction_is_starting(client: Client, world: World) -> None:
    response = create(client)
    prediction = response.json()
    at = f"http://testserver{AT}/{prediction['id']}"
    assert response.status_code == 201
    assert prediction == {
        "id": prediction["id"],
        "model": "digits",
        "version": "digits:1",
        "status": "starting",
        "input": None,
        "output": None,
        "error": None,
        "logs": "",
        "metrics": {},
        "created_at": prediction["created_at"],
        "started_at": None,
        "completed_at": None,
        "urls": {"get": at, "cancel": f"{at}/cancel", "stream": f"{at}/stream"},
    }
    assert world.run() == 1


@pytest.mark.parametrize(
    ("version", "pinned"),
    [
        *(("digits", False), ("digits:1", True), ("digits:stable", True)),
        *(("me/digits", False), ("me/digits:1", True)),
    ],
)
def test_a_version_is_a_name_with_or_without_more(
    client: Client, world: World, version: str, pinned: bool
) -> None:
    assert create(client, {**ASKED, "version": version}).json()["version"] == "digits:1"


def test_what_a_version_was_called_can_be_asked_for_again(client: Client, world: World) -> None:
    version = create(client).json()["version"]
    assert create(client, {**ASKED, "version": version}).json()["version"] == version


def test_a_model_can_be_named_by_the_path(client: Client, world: World) -> None:
    response = create(client, {"input": ASKED["input"]}, "/v1/models/me/digits/predictions")
    assert (response.status_code, response.json()["model"]) == (201, "digits")
    refused(create(client, ASKED, "/v1/models/me/digits/predictions"), 400, "version: expected one of")


def test_a_version_that_is_not_chosen_yet_is_the_name(client: Client, world: World) -> None:
    """Workers hold different ones, and each will run its own newest."""
    world.catalogue_store.publish_models([ModelEntry("digits", (1, 2))])
    world.catalogue_store.publish_specs([spec("digits", 2)])
    world.catalogue_store.beat(worker(("digits", 2), consumer="n2:1"), ttl_s=60)
    prediction = create(client).json()
    assert (prediction["model"], prediction["version"]) == ("digits", "digits")


@pytest.mark.parametrize("prefer", ["wait", "wait=5", "wait=5, respond-async"])
def test_who_waits_gets_the_output(client: Client, world: World, prefer: str) -> None:
    with world.working():
        response = create(client, prefer=prefer)
    prediction = response.json()
    assert (response.status_code, prediction["status"]) == (201, "succeeded")
    assert prediction["output"] == [[0.1] * 10]
    assert prediction["metrics"] == {"predict_time": 0.0005}
    assert prediction["completed_at"] >= prediction["started_at"] >= prediction["created_at"]


def test_who_waited_in_vain_is_told_to_ask_again(client: Client, world: World) -> None:
    """The client takes any other status than ``starting`` for the last."""
    world.service._limits = type(world.service._limits)(max_wait_s=0.5)
    thread = threading.Thread(target=lambda: world.wakeups.came.acquire(timeout=5) and world.claim())
    thread.start()
    prediction = create(client, prefer="wait").json()
    thread.join()
    assert world.store.get(prediction["id"]).state is JobState.RUNNING
    assert prediction["status"] == "starting"


def test_several_outputs_are_an_object(client: Client, world: World) -> None:
    with world.working("pair"):
        prediction = create(client, PAIR, prefer="wait").json()
    assert prediction["output"] == {"sum": [[4.0, 5.0]], "product": [[3.0, 6.0]]}


@pytest.mark.parametrize("lone", [True, False])
def test_images_are_data_uris(client: Client, world: World, lone: bool) -> None:
    uri = f"data:image/png;base64,{base64.b64encode(b'no image').decode()}"
    response = create(client, {"version": "fresh", "input": {"x": uri if lone else [uri, uri]}})
    job = world.store.get(response.json()["id"])
    assert job.rows == (1 if lone else 2)
    (entry,) = world.claim("fresh")
    assert b'"b64"' in (entry.payload or b"")
    assert b"data:" not in (entry.payload or b"")


def test_a_webhook_is_told_of_the_end(client: Client, world: World) -> None:
    url = "https://93.184.216.34/done"
    asked = {**ASKED, "webhook": url, "webhook_events_filter": ["completed"]}
    job_id = create(client, asked).json()["id"]
    world.run()
    (delivery,) = world.store.deliveries("").deliveries
    assert (delivery.job_id, delivery.url) == (job_id, url)


# ---------------------------------------------------------------- refusing


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "body: expected JSON"),
        (b"[]", "body: expected a JSON object, got a list of 0"),
        (b'{"version": "digits", "version": "pair", "input": {}}', "'version' twice"),
        ({}, 'version: expected "NAME"'),
        ({"version": "digits"}, "input: expected an object"),
        ({"version": 7, "input": {}}, "version: expected"),
        ({"version": "a/b/digits", "input": {}}, "version: expected"),
        ({"version": "digits:1:2", "input": {}}, "version: expected"),
        ({"version": "a b", "input": {}}, "version: expected a name"),
        ({"version": "digits", "input": DIGIT}, "input: expected an object"),
        ({"version": "digits", "input": {}}, "input.x: expected a value"),
        ({"version": "digits", "input": {"x": [1]}}, "input.x[0]: expected a list"),
        ({"version": "digits", "input": {"y": DIGIT}}, "input.y: expected"),
        ({**ASKED, "stream": 1}, "stream: expected true or false"),
        ({**ASKED, "webhook": 7}, "webhook: expected a URL"),
        ({**ASKED, "webhook": "http://127.0.0.1/"}, "webhook: expected"),
        ({**ASKED, "webhook_events_filter": ["start"]}, 'webhook_events_filter: expected ["completed"]'),
        ({**ASKED, "webhook_events_filter": []}, "webhook_events_filter: expected"),
        ({**ASKED, "webhook_completed": "https://example.org"}, "webhook_completed: expected one of"),
    ],
)
def test_what_cannot_be_is_refused_by_name_and_queues_nothing(
    client: Client, world: World, data: Any, text: str
) -> None:
    refused(create(client, data), 400, text)
    assert "submit" not in world.store.calls


@pytest.mark.parametrize("version", ["nobody", "digits:7", "digits:missing", "1"])
def test_an_unknown_model_or_version_is_404(client: Client, world: World, version: str) -> None:
    refused(create(client, {**ASKED, "version": version}), 404, version.split(":", maxsplit=1)[0])


@pytest.mark.parametrize("job_id", [new_job_id(0), "x", "%00"])
@pytest.mark.parametrize(("method", "under"), [("get", ""), ("post", "/cancel"), ("get", "/stream")])
def test_an_unknown_prediction_is_404(
    client: Client, world: World, job_id: str, method: str, under: str
) -> None:
    refused(getattr(client, method)(f"{AT}/{job_id}{under}"), 404, "no job")


def test_other_paths_and_methods_are_refused_in_the_same_shape(client: Client, world: World) -> None:
    refused(client.get(f"{AT}/a/b"), 404, "no resource")
    response = client.delete(AT)
    refused(response, 405, "DELETE")
    assert set(response["Allow"].split(", ")) == {"GET", "POST", "HEAD", "OPTIONS"}
    assert client.options("/v1/models/me/digits/predictions")["Allow"] == "POST, OPTIONS"


@pytest.mark.parametrize("method", ["get", "post", "patch", "delete"])
@pytest.mark.parametrize(
    "path",
    [
        *("account", "collections", "collections/text", "deployments/me/half/predictions", "files"),
        *("hardware", "search?query=a", "trainings", "trainings/x/cancel", "webhooks/default/secret"),
    ],
)
def test_what_replicate_has_besides_is_404(client: Client, path: str, method: str) -> None:
    refused(getattr(client, method)(f"/v1/{path}"), 404, f"no resource at /v1/{path.partition('?')[0]}")


@pytest.mark.parametrize("path", ["models", "models/a/b", "accounts", "hardwares/1", "foo"])
def test_what_else_is_below_is_told_as_tensorflow_serving_does(client: Client, path: str) -> None:
    response = client.get(f"/v1/{path}")
    assert (response.status_code, list(response.json())) == (400, ["error"])


def test_a_full_queue_says_when_to_come_back(client: Client, world: World) -> None:
    world.catalogue_store.publish_models([ModelEntry("digits", (1,), queue_max_jobs=0)])
    response = create(client)
    refused(response, 503, "")
    assert int(response["Retry-After"]) >= 1


# ---------------------------------------------------------------- looking


def test_a_prediction_goes_through_its_states(client: Client, world: World) -> None:
    at = create(client).json()["urls"]["get"]
    entries = world.claim()
    assert client.get(at).json()["status"] == "processing"
    world.finish(*(world.outcome(entry, "digits") for entry in entries))
    prediction = client.get(at).json()
    assert (prediction["status"], prediction["output"]) == ("succeeded", [[0.1] * 10])


def test_progress_stands_in_the_logs(client: Client, world: World) -> None:
    at = create(client, {**ASKED, "input": {"x": DIGIT * 5}}).json()["urls"]["get"]
    first, *_ = world.claim()
    world.finish(world.outcome(first, "digits"))
    assert client.get(at).json()["logs"] == "33%|###       | 1/3"


def test_a_failed_prediction_has_its_error(client: Client, world: World) -> None:
    at = create(client).json()["urls"]["get"]
    world.run(error=BROKEN)
    prediction = client.get(at).json()
    assert (prediction["status"], prediction["error"]) == ("failed", BROKEN.detail)


def test_an_expired_job_is_a_failed_prediction(client: Client, world: World) -> None:
    job = post_job(client, {"model": "digits", "inputs": DIGIT, "deadline_s": 5}).json()
    clock = world.store._clock
    world.store._clock = lambda: clock() + 6_000_000
    prediction = client.get(f"{AT}/{job['id']}").json()
    assert (prediction["status"], "deadline" in prediction["error"]) == ("failed", True)


def test_a_prediction_can_be_cancelled_until_it_has_ended(client: Client, world: World) -> None:
    urls = create(client).json()["urls"]
    for _ in range(2):
        response = client.post(urls["cancel"])
        assert (response.status_code, response.json()["status"]) == (200, "canceled")
    assert world.run() == 0
    urls = create(client).json()["urls"]
    world.run()
    refused(client.post(urls["cancel"]), 409, "succeeded")


def test_a_list_leads_from_page_to_page(
    client: Client, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.replicate.views.PAGE", 2)
    made = [create(client).json()["id"] for _ in range(5)]
    listed, at = [], AT
    while at:
        page = client.get(at).json()
        assert list(page) == ["previous", "next", "results"]
        assert page["previous"] is None
        listed += [prediction["id"] for prediction in page["results"]]
        at = page["next"]
    assert listed == made[::-1]


def test_a_list_takes_a_cursor_and_nothing_else(client: Client, world: World) -> None:
    refused(client.get(f"{AT}?limit=3"), 400, "limit: expected no parameter but cursor")
    refused(client.get(f"{AT}?cursor=x"), 400, "cursor: expected")


def test_a_host_that_is_not_served_queues_nothing(client: Client, world: World) -> None:
    refused(create(client, host="a b"), 400, "")
    assert "submit" not in world.store.calls


# ---------------------------------------------------------------- streaming


def streamed(client: Client, at: str, **headers: str) -> list[tuple[str, str, str]]:
    """Id, name and data of each event."""
    response: Any = client.get(at, headers=spelled(headers))
    assert response["Content-Type"] == "text/event-stream"
    text = b"".join(response.streaming_content).decode()
    blocks = [block.split("\n") for block in text.split("\n\n") if block not in ("", ":")]
    return [tuple(line.partition(": ")[2] for line in block) for block in blocks]  # type: ignore[misc]


def test_a_stream_has_the_output_and_is_done(client: Client, world: World) -> None:
    at = create(client).json()["urls"]["stream"]
    world.run()
    output = json.dumps([[0.1] * 10], separators=(",", ":"))
    assert streamed(client, at) == [("1.1.2.0", "output", output), ("1.1.2.1", "done", "{}")]


def test_a_stream_goes_on_between_output_and_done(client: Client, world: World) -> None:
    at = create(client).json()["urls"]["stream"]
    world.run()
    assert streamed(client, at, last_event_id="1.1.2.0") == [("1.1.2.1", "done", "{}")]
    assert client.get(at, headers={"last-event-id": "1.1.2.1"}).status_code == 204


def test_a_stream_tells_of_progress_as_it_comes(client: Client, world: World) -> None:
    at = create(client, {**ASKED, "input": {"x": DIGIT * 5}}).json()["urls"]["stream"]
    response: Any = client.get(at)
    parts = iter(response.streaming_content)
    assert next(parts) == b":\n\n"
    first, *others = world.claim()
    world.finish(world.outcome(first, "digits"))
    heard = next(part for part in parts if b"1/3" in part)
    assert heard == b"id: 1.1.1.0\nevent: logs\ndata: 33%|###       | 1/3\n\n"
    world.finish(*(world.outcome(entry, "digits") for entry in others))
    assert b"event: output" in b"".join(parts)
    response.close()


def test_a_failure_is_streamed(client: Client, world: World) -> None:
    at = create(client).json()["urls"]["stream"]
    world.run(error=BROKEN)
    error, done = streamed(client, at)
    assert (error[1], json.loads(error[2])) == ("error", {"detail": BROKEN.detail})
    assert (done[1], json.loads(done[2])) == ("done", {"reason": "error"})


def test_a_cancelled_prediction_is_done(client: Client, world: World) -> None:
    urls = create(client).json()["urls"]
    client.post(urls["cancel"])
    ((_, name, data),) = streamed(client, urls["stream"])
    assert (name, json.loads(data)) == ("done", {"reason": "canceled"})


def test_an_output_that_cannot_be_read_ends_the_stream_without_a_lie(client: Client, world: World) -> None:
    at = create(client).json()["urls"]["stream"]
    response: Any = client.get(at)
    world.store.away = {"result"}
    world.run()
    assert set(response.streaming_content) == {b":\n\n"}
    response.close()
    world.store.away = set()
    assert [name for _, name, _ in streamed(client, at)] == ["output", "done"]
