"""``manage.py keys``."""

from __future__ import annotations

import json
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.utils import timezone

from api.keys.models import ApiKey
from tests.unit.api.asking import post
from tests.unit.api.database import asking, issue, key_id
from tests.unit.world import World

pytestmark = pytest.mark.usefixtures("database")


def keys(*arguments: str) -> str:
    out = StringIO()
    call_command("keys", *arguments, stdout=out)
    return out.getvalue()


def as_json(*arguments: str) -> Any:
    return json.loads(keys(*arguments, "--json"))


def test_a_key_is_made_and_printed_alone(world: World) -> None:
    text = keys("create", "nightly")
    assert text.count("\n") == 1
    assert post(asking(text.strip())).status_code == 202
    key = ApiKey.objects.get()
    assert (key.name, key.scopes, key.models, key.rate_limit) == ("nightly", "predict read", "", "")
    assert (key.user, key.expires_at) == (None, None)


def test_a_key_is_made_as_told() -> None:
    user = get_user_model().objects.create(username="ada")
    options = ["--user", "ada", "--scope", "read", "--scope", "admin", "--model", "digits", "--model", "p*"]
    told = as_json("create", "ops", *options, "--rate", "5/1m", "--expires-in", "90d")
    key = ApiKey.objects.get()
    assert told["key"].startswith(f"pw_{key.id}_")
    assert (told["owner"], told["scopes"], told["models"]) == (f"user:{user.pk}", "read admin", "digits p*")
    assert key.expires_at is not None
    assert timedelta(days=89) < key.expires_at - timezone.now() < timedelta(days=91)
    assert key.rate_limit == "5/1m"


def test_keys_are_listed_without_their_secret() -> None:
    first, second = issue(name="first"), issue(name="second", expires_at=timezone.now())
    head, *lines = keys("list").splitlines()
    assert head.split()[:2] == ["ID", "STATE"]
    assert [line.split()[:2] for line in lines] == [[key_id(second), "expired"], [key_id(first), "valid"]]
    assert lines[1].endswith("first")
    listed = keys("list", "--json")
    assert [key["name"] for key in json.loads(listed)] == ["second", "first"]
    assert first.rpartition("_")[2] not in listed
    assert ApiKey.objects.get(name="first").digest not in listed


def test_keys_are_revoked_and_the_rest_is_told() -> None:
    key, other = key_id(issue()), key_id(issue())
    assert keys("revoke", key) == "1 revoked\n"
    with pytest.raises(CommandError, match="no key 'nobodys'"):
        keys("revoke", "nobodys", other)
    assert {one["state"] for one in as_json("list")} == {"revoked"}
    at = ApiKey.objects.get(id=key).revoked_at
    assert as_json("revoke", key) == {"revoked": [key]}
    assert ApiKey.objects.get(id=key).revoked_at == at


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["create", "x", "--user", "nobody"], "--user: no user 'nobody'"),
        (["create", "x", "--expires-in", "soon"], "--expires-in: expected a duration .* got 'soon'"),
        (["create", "x", "--expires-in", "999999999d"], "--expires-in: "),
        (["create", "x", "--scope", "write"], "invalid choice: 'write'"),
        (["create", "x", "--rate", "fast"], "expected rates .* got 'fast'"),
        (["create", "x", "--model", "a/b"], "got 'a/b'"),
        (["create", ""], "cannot be blank"),
    ],
)
def test_mistakes_are_told_and_make_no_key(arguments: list[str], told: str) -> None:
    with pytest.raises(CommandError, match=told):
        keys(*arguments)
    assert not ApiKey.objects.exists()
