"""``manage.py jobs`` on a service in memory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from predict_worker import connect
from predict_worker.codec import Columnar
from predict_worker.core.errors import InputsGone
from predict_worker.core.job import JobError, new_job_id
from predict_worker.core.spec import ModelRef
from predict_worker.service import PredictRequest
from tests.unit.world import DIGIT, World


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    with connect.use(world.service):
        yield world
    world.close()


def submit(world: World, **fields: Any) -> str:
    return world.service.submit(PredictRequest(ModelRef("digits"), Columnar(DIGIT), **fields)).job.id


def buried(world: World, **fields: Any) -> str:
    job_id = submit(world, **fields)
    world.bury()
    return job_id


def jobs(*arguments: str) -> str:
    out = StringIO()
    call_command("jobs", *arguments, stdout=out)
    return out.getvalue()


def as_json(*arguments: str) -> Any:
    return json.loads(jobs(*arguments, "--json"))


def test_everybodys_jobs_are_listed_newest_first(world: World) -> None:
    first, second = submit(world, owner="user:1"), submit(world)
    head, *lines = jobs("list").splitlines()
    assert head.split() == ["ID", "STATE", "MODEL", "CREATED", "ATTEMPTS", "OWNER"]
    assert [line.split()[:3] for line in lines] == [[second, "queued", "digits"], [first, "queued", "digits"]]
    assert lines[1].endswith("user:1")


def test_list_is_chosen_and_limited(world: World) -> None:
    done = submit(world, owner="user:1")
    world.run()
    waiting, newest = submit(world, owner="user:1"), submit(world)
    assert [job["id"] for job in as_json("list", "--limit", "1")] == [newest]
    assert [job["id"] for job in as_json("list", "--owner", "user:1")] == [waiting, done]
    assert [job["id"] for job in as_json("list", "--state", "succeeded")] == [done]
    assert as_json("list", "--model", "pair") == []


def test_list_reads_as_many_pages_as_it_needs(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = [submit(world) for _ in range(7)]
    pages: list[int] = []
    listed = world.service.backlog.jobs

    def short(owner: Any, limit: int, *rest: Any) -> Any:
        pages.append(limit)
        return listed(owner, 2, *rest)

    monkeypatch.setattr(world.service.backlog, "jobs", short)
    assert [job["id"] for job in as_json("list", "--limit", "5")] == expected[:1:-1]
    assert pages == [5, 5, 5]


def test_one_job_is_shown_with_what_happened_to_it(world: World) -> None:
    job_id = buried(world, metadata={"a": 1})
    shown = jobs("show", job_id)
    assert f"{'id':<16} {job_id}" in shown
    assert "{'a': 1}" in shown
    assert "worker_died: given up after 3 deaths" in shown
    assert shown.count("child (alone)") == 3
    told = as_json("show", job_id)
    assert (told["state"], told["error"]["attempts"][2]["attempt"]) == ("failed", 3)
    assert told["created_at"].startswith("20")


def test_errors_that_were_retried_are_shown(world: World) -> None:
    job_id = submit(world)
    (entry,) = world.claim()
    away = JobError("model_error", "Model failed", "the service was away")
    world.finish(type(world.outcome(entry, "digits"))(entry, error=away, given_up=True))
    assert f"attempt 1 at {as_json('show', job_id)['error']['attempts'][0]['at']}" in jobs("show", job_id)
    assert jobs("show", job_id).count("model_error: the service was away") == 2


def test_dead_letters_are_listed_by_model(world: World) -> None:
    job_id = buried(world)
    submit(world)
    for arguments in (["dead"], ["dead", "digits"], ["dead", "pair", "digits"]):
        listed = jobs(*arguments)
        assert job_id in listed
        assert listed.count("attempt ") == 3
    assert as_json("dead", "pair") == []
    assert [job["id"] for job in as_json("dead", "--limit", "1")] == [job_id]


def test_jobs_are_cancelled_and_the_rest_is_told(world: World) -> None:
    waiting, done = submit(world, owner="user:1"), submit(world)
    assert jobs("cancel", waiting).splitlines() == [f"{waiting} cancelled", "1 cancelled"]
    world.run()
    out, unknown = StringIO(), new_job_id(0)
    with pytest.raises(CommandError) as refused:
        call_command("jobs", "cancel", unknown, waiting, done, stdout=out)
    assert out.getvalue().splitlines() == [f"{waiting} cancelled", "1 cancelled"]
    assert f"no job '{unknown}'" in str(refused.value)
    assert "succeeded" in str(refused.value)
    assert refused.value.returncode == 1


def test_dead_letters_are_redriven_one_by_one(world: World) -> None:
    first, second = buried(world), buried(world, owner="user:1")
    assert as_json("redrive", first) == {"redriven": [first]}
    assert jobs("redrive", second).splitlines() == [f"{second} redriven", "1 redriven"]
    with pytest.raises(CommandError, match="is no dead letter"):
        jobs("redrive", first)
    assert world.run() == 2


def test_all_of_a_model_are_redriven_page_by_page(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    dead = [buried(world) for _ in range(3)]
    monkeypatch.setattr("predict_worker.service.backlog.MAX_PAGE", 2)
    assert sorted(as_json("redrive", "--model", "digits")["redriven"]) == sorted(dead)
    assert world.run() == 3


def test_dead_letters_without_inputs_are_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = buried(world)

    def redrive(*_: Any) -> Any:
        raise InputsGone("gone")

    monkeypatch.setattr(world.store, "redrive", redrive)
    with pytest.raises(CommandError, match=f"1 not redriven, their inputs are gone: {gone}"):
        jobs("redrive", "--model", "digits")


@pytest.mark.parametrize("arguments", [["redrive"], ["redrive", "x", "--model", "digits"]])
def test_redrive_is_told_what_to_redrive(world: World, arguments: list[str]) -> None:
    with pytest.raises(CommandError, match="expected ids or --model"):
        jobs(*arguments)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["show", "x"], "Job not found: no job 'x'"),
        (["redrive", "--model", "nope"], "Model not found"),
        (["dead", "nope"], "Model not found"),
        (["list", "--limit", "0"], "--limit: invalid"),
        (["list", "--state", "done"], "--state: invalid choice"),
        (["frobnicate"], "invalid choice"),
    ],
)
def test_mistakes_are_told(world: World, arguments: list[str], told: str) -> None:
    with pytest.raises(CommandError, match=told):
        jobs(*arguments)


def test_a_store_that_is_away_is_told(world: World) -> None:
    world.store.away = {"*"}
    with pytest.raises(CommandError, match="Job store unavailable: the store is away"):
        jobs("list")
