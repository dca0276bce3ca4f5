"""Lists of jobs, dead letters, and their way back."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from django.test import Client, override_settings
from rest_framework.authentication import BaseAuthentication

from predict_worker.core.errors import InputsGone
from predict_worker.core.ports import ModelEntry
from tests.unit.api.asking import body, post, refused
from tests.unit.world import World


def submitted(client: Client, **headers: str) -> str:
    """The job's id."""
    return str(post(client, **headers).json()["id"])


def ids(response: Any) -> list[str]:
    assert response.status_code == 200, response.content
    return [job["id"] for job in response.json()["jobs"]]


@pytest.fixture
def dead(client: Client, world: World) -> str:
    job_id = submitted(client)
    world.bury()
    return job_id


# ---------------------------------------------------------------- jobs


def test_jobs_are_listed_newest_first_without_their_outputs(client: Client, world: World) -> None:
    first = submitted(client)
    world.run()
    second = submitted(client)
    response = client.get("/api/jobs")
    assert ids(response) == [second, first]
    listed = response.json()
    assert [job["state"] for job in listed["jobs"]] == ["queued", "succeeded"]
    assert (listed["jobs"][1]["outputs"], listed["cursor"]) == (None, None)
    assert response["Cache-Control"] == "no-store"


def test_a_cursor_leads_to_the_next_page(client: Client) -> None:
    first, second = submitted(client), submitted(client)
    page = client.get("/api/jobs", {"limit": 1})
    assert ids(page) == [second]
    rest = client.get("/api/jobs", {"limit": 1, "cursor": page.json()["cursor"]})
    assert ids(rest) == [first]
    assert rest.json()["cursor"] is None


def test_jobs_are_listed_by_state_and_model(client: Client, world: World) -> None:
    done = submitted(client)
    world.run()
    waiting = submitted(client)
    other = post(client, {"model": "pair", "inputs": {"a": [[1, 2]], "b": [3]}}).json()["id"]
    assert ids(client.get("/api/jobs", {"state": "succeeded"})) == [done]
    assert ids(client.get("/api/jobs", {"model": "pair"})) == [other]
    assert ids(client.get("/api/jobs", {"model": "digits", "state": "queued"})) == [waiting]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=", "limit"),
        ("limit=-1", "limit"),
        ("limit=%C2%B2", "limit"),
        ("limit=1e2", "limit"),
        ("limit=" + "9" * 5000, "limit"),
        ("cursor=x", "cursor"),
        ("state=done", "state"),
        ("state=", "state"),
        ("model=../x", "model"),
        ("owner=user:1", "owner"),
    ],
)
def test_a_query_that_makes_no_sense_is_400(client: Client, query: str, field: str) -> None:
    refused(client.get(f"/api/jobs?{query}"), 400, "invalid_request", field)


def test_an_empty_cursor_is_the_first_page(client: Client) -> None:
    job_id = submitted(client)
    assert ids(client.get("/api/jobs?cursor=")) == [job_id]


# ---------------------------------------------------------------- dead letters


def test_dead_letters_show_what_happened(client: Client, dead: str) -> None:
    response = client.get("/api/models/digits/dead")
    assert ids(response) == [dead]
    (job,) = response.json()["jobs"]
    assert (job["state"], job["error"]["code"]) == ("failed", "worker_died")
    assert [(a["attempt"], a["loss"], a["alone"]) for a in job["error"]["attempts"]] == [
        (1, "child", True),
        (2, "child", True),
        (3, "child", True),
    ]


def test_dead_letters_come_page_by_page(client: Client, world: World) -> None:
    jobs = {submitted(client) for _ in range(3)}
    world.bury()
    first = client.get("/api/models/digits/dead", {"limit": 2})
    rest = client.get("/api/models/digits/dead", {"limit": 2, "cursor": first.json()["cursor"]})
    assert (len(ids(first)), len(ids(rest)), rest.json()["cursor"]) == (2, 1, None)
    assert {*ids(first), *ids(rest)} == jobs


def test_a_model_without_dead_letters_has_none_and_an_unknown_one_is_404(client: Client) -> None:
    assert ids(client.get("/api/models/pair/dead")) == []
    refused(client.get("/api/models/nope/dead"), 404, "model_not_found")
    refused(client.get("/api/models/digits/dead?state=failed"), 400, "invalid_request", "state")


def test_a_redriven_job_is_queued_again_and_runs(client: Client, world: World, dead: str) -> None:
    sent = len(world.wakeups.sent)
    response = client.post(f"/api/jobs/{dead}/redrive")
    job = response.json()
    assert (response.status_code, job["id"], job["state"], job["error"]) == (202, dead, "queued", None)
    assert response["Location"] == f"/api/jobs/{dead}"
    assert response["Retry-After"] == "1"
    assert len(world.wakeups.sent) == sent + 1
    assert ids(client.get("/api/models/digits/dead")) == []
    assert world.run() == 1
    job = client.get(f"/api/jobs/{dead}").json()
    assert (job["state"], job["attempts"]) == ("succeeded", 4)


def test_what_is_no_dead_letter_is_409(client: Client, world: World) -> None:
    job_id = submitted(client)
    refused(client.post(f"/api/jobs/{job_id}/redrive"), 409, "job_conflict")
    world.run()
    refused(client.post(f"/api/jobs/{job_id}/redrive"), 409, "job_conflict")


def test_a_dead_letter_whose_inputs_are_gone_is_410(
    client: Client, world: World, dead: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def redrive(*_: Any) -> Any:
        raise InputsGone(f"what job {dead} would run on is no longer stored")

    monkeypatch.setattr(world.store, "redrive", redrive)
    refused(client.post(f"/api/jobs/{dead}/redrive"), 410, "inputs_gone")
    assert client.post("/api/models/digits/dead/redrive").json() == {
        "redriven": [],
        "gone": [dead],
        "cursor": None,
    }


def test_all_of_a_model_are_redriven(client: Client, world: World) -> None:
    jobs = {submitted(client) for _ in range(3)}
    world.bury()
    response = client.post("/api/models/digits/dead/redrive")
    told = response.json()
    assert (response.status_code, {*told["redriven"]}, told["gone"], told["cursor"]) == (202, jobs, [], None)
    assert world.run() == 3


def test_redriving_into_a_full_queue_is_503_and_says_how_far_it_came(client: Client, world: World) -> None:
    world.catalogue_store.publish_models([ModelEntry("digits", (1,), queue_max_jobs=2)])
    for _ in range(3):
        submitted(client)
        world.bury()
    response = client.post("/api/models/digits/dead/redrive")
    problem = refused(response, 503, "queue_full")
    assert "2 of 3 jobs are redriven" in problem["detail"]
    assert response["Retry-After"]
    assert len(ids(client.get("/api/models/digits/dead"))) == 1


def test_a_store_that_is_away_is_503(client: Client, world: World, dead: str) -> None:
    world.store.away = {"*"}
    for response in (
        client.get("/api/jobs"),
        client.get("/api/models/digits/dead"),
        client.post("/api/models/digits/dead/redrive"),
        client.post(f"/api/jobs/{dead}/redrive"),
    ):
        refused(response, 503, "store_unavailable")


# ---------------------------------------------------------------- refused at once


def test_a_deadline_that_cannot_be_met_is_503_with_when_to_come_back(client: Client, world: World) -> None:
    world.store.step(world.lane(), (), None, entry_ms=4000)
    for _ in range(5):
        submitted(client)
    response = post(client, body(deadline_s=3))
    problem = refused(response, 503, "deadline_unreachable")
    assert "longer than the deadline leaves" in problem["detail"]
    assert 0 < int(response["Retry-After"]) <= 5 * 4 - 3
    assert post(client, body(deadline_s=60)).status_code == 202


# ---------------------------------------------------------------- whose


class ByName(BaseAuthentication):
    """``Authorization: Name ann`` is ann; staff has a capital."""

    def authenticate(self, request: Any) -> tuple[Any, None] | None:
        name = request.META.get("HTTP_AUTHORIZATION", "").removeprefix("Name ")
        return (
            (SimpleNamespace(pk=name, is_authenticated=True, is_staff=name.istitle()), None) if name else None
        )


@pytest.fixture
def named(world: World) -> Iterator[None]:
    with override_settings(
        PREDICT_WORKER={"ALLOW_ANONYMOUS": False},
        REST_FRAMEWORK={"DEFAULT_AUTHENTICATION_CLASSES": ["tests.unit.api.test_backlog.ByName"]},
    ):
        yield


@pytest.mark.usefixtures("named")
def test_owners_see_and_redrive_their_own_alone_and_staff_all(client: Client, world: World) -> None:
    ann, bob, staff = (Client(headers={"authorization": f"Name {name}"}) for name in ("ann", "bob", "Carl"))
    of_ann, of_bob = (submitted(client, authorization=f"Name {name}") for name in ("ann", "bob"))
    world.bury()
    assert ids(ann.get("/api/jobs")) == [of_ann]
    assert ids(staff.get("/api/jobs")) == []
    assert ids(ann.get("/api/models/digits/dead")) == [of_ann]
    assert {*ids(staff.get("/api/models/digits/dead"))} == {of_ann, of_bob}
    refused(bob.post(f"/api/jobs/{of_ann}/redrive"), 404, "job_not_found")
    assert bob.post("/api/models/digits/dead/redrive").json()["redriven"] == [of_bob]
    assert staff.post(f"/api/jobs/{of_ann}/redrive").status_code == 202
    refused(client.get("/api/models/digits/dead"), 401, "not_authenticated")
