"""Tables for the tests that need some, in a file: threads share it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db import connection
from django.test import Client, override_settings

from api.keys.authentication import known
from api.keys.models import ApiKey
from api.keys.text import PREFIX


@pytest.fixture(scope="session")
def _tables(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    before = connection.settings_dict["NAME"]
    connection.close()
    connection.settings_dict["NAME"] = tmp_path_factory.mktemp("database") / "db.sqlite3"
    call_command("migrate", verbosity=0)
    yield
    connection.close()
    connection.settings_dict["NAME"] = before


@pytest.fixture
def database(_tables: None, _settings: None) -> Iterator[None]:
    """Empty; nobody may ask without saying who it is, and no key is known."""
    known.forget()
    with override_settings(PREDICT_WORKER={"ALLOW_ANONYMOUS": False}):
        yield
    uses_are_noted()
    known.forget()
    ApiKey.objects.all().delete()
    get_user_model().objects.all().delete()
    connection.close()


def uses_are_noted() -> None:
    """Waits for the threads that note when keys were used."""
    for thread in threading.enumerate():
        if thread.name == "key-use":
            thread.join(10)


def issue(**fields: Any) -> str:
    """The text of a new key."""
    return ApiKey.objects.issue(**{"name": "a test", **fields})[1]


def owner(key: str) -> str:
    """Of a key without a user."""
    return f"key:{key_id(key)}"


def key_id(key: str) -> str:
    return key.removeprefix(PREFIX).partition("_")[0]


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def asking(key: str) -> Client:
    """A client whose every request shows the key."""
    return Client(headers=bearer(key))
