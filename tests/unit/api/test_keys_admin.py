"""Keys in Django's admin."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape

import pytest
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.test import Client, override_settings
from django.urls import path

from api.keys.models import ApiKey
from tests.unit.api.asking import post
from tests.unit.api.database import asking, issue, key_id
from tests.unit.world import World

urlpatterns = [path("admin/", admin.site.urls)]
KEYS = "/admin/prediction_api/apikey/"
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]


@pytest.fixture
def operator(database: None) -> Iterator[Client]:
    client = Client()
    client.force_login(get_user_model().objects.create(username="root", is_staff=True, is_superuser=True))
    with override_settings(ROOT_URLCONF=__name__, MIDDLEWARE=MIDDLEWARE):
        yield client


def test_a_key_is_made_and_shown_once(operator: Client, world: World) -> None:
    fields = {"name": "from the admin", "scopes": "predict", "models": "digits"}
    page = operator.post(f"{KEYS}add/", fields, follow=True).content.decode()
    (text,) = re.findall(r"pw_[0-9a-f]{12}_[0-9a-f]{64}", unescape(page))
    assert text not in operator.get(KEYS).content.decode()
    with override_settings(ROOT_URLCONF="tests.urls", MIDDLEWARE=[]):
        assert post(asking(text)).status_code == 202


def test_a_change_makes_no_new_secret(operator: Client) -> None:
    key = key_id(issue())
    digest = ApiKey.objects.get().digest
    page = operator.post(f"{KEYS}{key}/change/", {"name": "renamed", "scopes": "read"}, follow=True)
    assert "pw_" + key + "_" not in page.content.decode()
    assert (ApiKey.objects.get().name, ApiKey.objects.get().digest) == ("renamed", digest)


def test_mistakes_are_told_beside_their_field(operator: Client) -> None:
    fields = {"name": "x", "scopes": "everything", "rate_limit": "fast"}
    page = unescape(operator.post(f"{KEYS}add/", fields).content.decode())
    assert "expected predict, read, admin, got 'everything'" in page
    assert not ApiKey.objects.exists()


def test_keys_are_revoked_together(operator: Client) -> None:
    keys = [key_id(issue()) for _ in range(2)]
    operator.post(KEYS, {"action": "revoke", "_selected_action": keys}, follow=True)
    assert [key.state for key in ApiKey.objects.all()] == ["revoked", "revoked"]
