"""API keys: who asks with one, and for how long."""

from __future__ import annotations

import re
from datetime import timedelta
from hashlib import sha256
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db import connection
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from api.keys import authentication
from api.keys import known as known_keys
from api.keys.authentication import known
from api.keys.models import ApiKey
from api.keys.text import SECRET_BYTES, new_key
from tests.unit.api.asking import post, refused
from tests.unit.api.database import asking, bearer, issue, key_id, owner, uses_are_noted
from tests.unit.world import World

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def clock(world: World, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the cache of keys takes for the time; to be advanced."""
    now = [1000.0]
    monkeypatch.setattr(known, "_clock", lambda: now[0])
    return now


def test_a_key_is_random_and_kept_as_its_hash_alone() -> None:
    key, text = ApiKey.objects.issue(name="a test")
    assert re.fullmatch(r"pw_[0-9a-f]{12}_[0-9a-f]{64}", text)
    assert SECRET_BYTES * 8 >= 256
    assert key_id(text) == key.id
    row = ApiKey.objects.filter(id=key.id).values().get()
    assert row["digest"] == sha256(text.encode()).hexdigest()
    secret = text.rpartition("_")[2]
    assert not any(secret in str(value) for value in row.values())
    assert issue() != text


@pytest.mark.parametrize("header", ["Bearer {}", "bearer  {}", "BEARER {}"])
def test_a_key_is_shown_as_a_bearer_token(client: Client, world: World, header: str) -> None:
    key = issue()
    response = post(client, authorization=header.format(key))
    assert response.status_code == 202
    assert world.store.get(response.json()["id"]).owner == owner(key)


def test_a_key_is_shown_in_a_header_of_its_own(client: Client, world: World) -> None:
    key = issue()
    response = post(client, x_api_key=key)
    assert world.store.get(response.json()["id"]).owner == owner(key)


def test_a_key_that_nobody_issued_is_401(client: Client) -> None:
    issue()
    for wrong in (new_key()[1], issue()[:-1], f"{issue()}0", "pw_", "pw_é"):
        response = post(client, authorization=f"Bearer {wrong}")
        refused(response, 401, "authentication_failed")
        assert response["WWW-Authenticate"]


def test_a_token_of_another_form_is_left_to_the_project(client: Client) -> None:
    refused(post(client, authorization="Bearer eyJhbGciOiJub25lIn0.e30."), 401, "not_authenticated")
    refused(post(client, x_api_key="theirs"), 401, "not_authenticated")


def test_a_key_of_a_user_makes_the_users_jobs(client: Client, world: World) -> None:
    user = get_user_model().objects.create(username="ada")
    first, second = issue(user=user), issue(user=user)
    at = asking(first).post("/api/jobs", b"{}", "application/json")
    assert at.status_code == 400
    at = post(asking(first))["Location"]
    assert world.store.get(at.rpartition("/")[2]).owner == f"user:{user.pk}"
    assert asking(second).get(at).status_code == 200


def test_a_key_of_a_user_who_is_not_active_is_401(client: Client) -> None:
    user = get_user_model().objects.create(username="ada", is_active=False)
    refused(post(client, authorization=f"Bearer {issue(user=user)}"), 401, "authentication_failed")


def test_jobs_of_another_key_do_not_exist(world: World) -> None:
    mine, other = asking(issue()), asking(issue())
    at = post(mine)["Location"]
    for ask in (
        other.get(at),
        other.get(f"{at}/result"),
        other.delete(at),
        other.post(f"{at}/cancel"),
        other.post(f"{at}/redrive"),
    ):
        refused(ask, 404, "job_not_found")
    assert other.get("/api/jobs").json()["jobs"] == []
    assert len(mine.get("/api/jobs").json()["jobs"]) == 1
    assert mine.delete(at).status_code == 204


def test_a_key_that_has_expired_is_401_at_once(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    key = issue(expires_at=timezone.now() + timedelta(hours=1))
    assert asking(key).get("/api/jobs").status_code == 200
    later = timezone.now().timestamp() + 3601
    monkeypatch.setattr("api.keys.authentication.time.time", lambda: later)
    refused(client.get("/api/jobs", headers=bearer(key)), 401, "authentication_failed")


def test_a_key_that_is_revoked_is_401_within_the_time_that_is_promised(clock: list[float]) -> None:
    key = issue()
    assert asking(key).get("/api/jobs").status_code == 200
    assert ApiKey.objects.revoke(key_id(key)) == 1
    assert known_keys.TTL_S == 5
    clock[0] += 5
    refused(asking(key).get("/api/jobs"), 401, "authentication_failed")


def test_keys_cost_no_query_a_request(clock: list[float]) -> None:
    client, unknown = asking(issue()), asking(new_key()[1])
    assert client.get("/api/jobs").status_code == 200
    refused(unknown.get("/api/jobs"), 401, "authentication_failed")
    uses_are_noted()
    with CaptureQueriesContext(connection) as queries:
        for _ in range(10):
            assert client.get("/api/jobs").status_code == 200
            refused(unknown.get("/api/jobs"), 401, "authentication_failed")
        assert len(queries) == 0
        clock[0] += 5
        client.get("/api/jobs")
        assert len(queries) == 1


def test_the_last_use_is_noted_once_a_minute_and_by_another_thread(
    clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    key = issue()
    now = [timezone.now()]
    monkeypatch.setattr("api.keys.authentication.timezone.now", lambda: now[0])
    note, noting = authentication._note_use, []

    def noted(key_id: str) -> None:
        noting.append(key_id)
        note(key_id)

    monkeypatch.setattr(authentication, "_note_use", noted)

    def used() -> Any:
        with CaptureQueriesContext(connection) as queries:
            assert asking(key).get("/api/jobs").status_code == 200
        assert not any("UPDATE" in query["sql"] for query in queries)
        uses_are_noted()
        return ApiKey.objects.get(id=key_id(key)).last_used_at

    first = used()
    assert first == now[0]
    clock[0] += 30
    now[0] += timedelta(seconds=30)
    assert used() == first
    clock[0] += 30
    now[0] += timedelta(seconds=31)
    assert used() == now[0]
    assert len(noting) == 2


def test_of_several_processes_the_first_notes_the_use() -> None:
    key, now = issue(), timezone.now()
    ApiKey.objects.note_use(key_id(key), now, now - timedelta(minutes=1))
    ApiKey.objects.note_use(key_id(key), now + timedelta(seconds=1), now - timedelta(seconds=59))
    assert ApiKey.objects.get(id=key_id(key)).last_used_at == now


def test_a_database_that_is_away_is_503(client: Client) -> None:
    key = issue()
    name = connection.settings_dict["NAME"]
    connection.close()
    connection.settings_dict["NAME"] = "/nowhere/db.sqlite3"
    try:
        refused(client.get("/api/jobs", headers=bearer(key)), 503, "store_unavailable")
    finally:
        connection.close()
        connection.settings_dict["NAME"] = name
    assert client.get("/api/jobs", headers=bearer(key)).status_code == 200


def test_where_anonymous_use_is_allowed_no_key_is_looked_at(client: Client, world: World) -> None:
    with override_settings(PREDICT_WORKER={"ALLOW_ANONYMOUS": True}):
        response = post(client, authorization=f"Bearer {new_key()[1]}")
    assert world.store.get(response.json()["id"]).owner == ""


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"scopes": "predict write"}, "expected predict, read, admin, got 'write'"),
        ({"scopes": " "}, "at least one of"),
        ({"models": "digits a/b"}, "got 'a/b'"),
        ({"rate_limit": "many"}, "expected rates .* got 'many'"),
        ({"name": ""}, "cannot be blank"),
        ({"name": "x" * 101}, "at most 100"),
    ],
)
def test_a_key_that_makes_no_sense_is_not_issued(fields: dict[str, str], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        issue(**fields)
    assert not ApiKey.objects.exists()
