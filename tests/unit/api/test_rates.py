"""Callers that ask too often are told when to come back."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client, override_settings

from predict_worker.conf import get_config
from predict_worker.core.errors import InvalidConfig
from tests.unit.api.asking import body, post, refused
from tests.unit.api.database import asking, issue
from tests.unit.world import World

PAIR: Any = {"model": "pair", "inputs": {"a": [[1, 2]], "b": [3]}}


def limited(rate: str, **fields: Any) -> Any:
    return override_settings(PREDICT_WORKER={"ALLOW_ANONYMOUS": False, "RATE_LIMIT": rate, **fields})


@pytest.mark.usefixtures("database")
def test_what_is_left_is_told_with_every_answer(client: Client) -> None:
    with limited("3/60s"):
        response = post(asking(issue()))
    assert response.status_code == 202
    assert response["RateLimit-Policy"] == '"default";q=3;w=60'
    assert response["RateLimit"] == '"default";r=2;t=60'


@pytest.mark.usefixtures("database")
def test_a_caller_beyond_its_rate_is_429_and_nothing_is_queued(world: World) -> None:
    mine, other = asking(issue()), asking(issue())
    with limited("2/60s"):
        assert [post(mine).status_code for _ in range(2)] == [202, 202]
        submits = world.store.calls.count("submit")
        response = post(mine)
        problem = refused(response, 429, "throttled")
        assert "2 in 60 s" in problem["detail"]
        assert response["RateLimit"] == '"default";r=0;t=60'
        assert response["Retry-After"] == "60"
        assert len(mine.get("/api/jobs").json()["jobs"]) == 2
        assert world.store.calls.count("submit") == submits
        assert post(other).status_code == 202


@pytest.mark.usefixtures("database")
def test_a_key_has_rates_of_its_own(world: World) -> None:
    strict, free = asking(issue(rate_limit="1/1h, pair=1/1d")), asking(issue(rate_limit="none"))
    with limited("2/60s"):
        response = post(strict, PAIR)
        assert response["RateLimit-Policy"] == '"default";q=1;w=3600, "pair=1/1d";q=1;w=86400'
        assert response["RateLimit"] == '"default";r=0;t=3600, "pair=1/1d";r=0;t=86400'
        refusal = post(strict, PAIR)
        refused(refusal, 429, "throttled")
        assert refusal["Retry-After"] == "86400"
        assert post(strict)["Retry-After"] == "3600"
        answers = [post(free) for _ in range(5)]
        assert {answer.status_code for answer in answers} == {202}
        assert not any(answer.has_header("RateLimit") for answer in answers)


@pytest.mark.usefixtures("database")
def test_keys_of_one_user_share_the_default(world: World) -> None:
    user = get_user_model().objects.create(username="ada")
    first, second = asking(issue(user=user)), asking(issue(user=user))
    with limited("1/60s"):
        assert post(first).status_code == 202
        refused(post(second), 429, "throttled")


def test_callers_without_a_name_share_a_rate(client: Client) -> None:
    with limited("1/60s", ALLOW_ANONYMOUS=True):
        assert post(client).status_code == 202
        refused(post(client), 429, "throttled")


def test_a_rate_of_other_models_is_not_told(client: Client) -> None:
    with limited("pair=1/60s", ALLOW_ANONYMOUS=True):
        response = post(client)
    assert (response.status_code, response.has_header("RateLimit-Policy")) == (202, False)


def test_reading_and_mistakes_in_the_body_are_not_counted(client: Client) -> None:
    with limited("1/60s", ALLOW_ANONYMOUS=True):
        refused(post(client, b"{"), 400, "invalid_request")
        refused(post(client, body(priority="no")), 400, "invalid_request")
        for _ in range(3):
            assert client.get("/api/jobs").status_code == 200
        assert post(client).status_code == 202


def test_without_a_rate_the_store_is_not_asked(
    client: Client, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world.store, "take", None)
    assert post(client).status_code == 202


@pytest.mark.usefixtures("database")
def test_a_store_that_is_away_is_503(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    client = asking(issue(rate_limit="1/60s"))
    client.get("/api/models")
    world.store.away = {"take"}
    refused(post(client), 503, "store_unavailable")


def test_a_rate_that_is_none_names_the_setting() -> None:
    with (
        limited("many"),
        pytest.raises(InvalidConfig, match=r"PREDICT_WORKER\['RATE_LIMIT'\]: expected rates"),
    ):
        get_config()
