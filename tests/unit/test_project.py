"""The demonstration project: its settings, its keys, its Procfile, its example."""

from __future__ import annotations

import importlib
import shlex
import stat
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from django.core.exceptions import ImproperlyConfigured

from proj import local, run
from proj.settings_database import database


@pytest.fixture
def clean(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("SECRET_KEY", "DEBUG", "HOST", "ALLOWED_HOSTS", "PREDICT_WORKER_ALLOW_ANONYMOUS"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def settings() -> ModuleType:
    return importlib.reload(importlib.import_module("proj.settings"))


def test_a_secret_key_is_demanded_unless_debugging(clean: pytest.MonkeyPatch, tmp_path: Path) -> None:
    clean.setenv("SECRET_KEY", "from outside")
    assert settings().SECRET_KEY == "from outside"
    clean.delenv("SECRET_KEY")
    with pytest.raises(ImproperlyConfigured, match="SECRET_KEY"):
        settings()


def test_a_made_secret_key_stays_and_is_private(tmp_path: Path) -> None:
    first = local.secret_key(tmp_path / "var")
    assert len(first) >= 50
    assert local.secret_key(tmp_path / "var") == first
    assert stat.S_IMODE((tmp_path / "var" / "secret_key").stat().st_mode) == 0o600


def test_allowed_hosts_are_a_list_with_commas(clean: pytest.MonkeyPatch) -> None:
    clean.setenv("SECRET_KEY", "any")
    assert settings().ALLOWED_HOSTS == ["localhost", "127.0.0.1", "[::1]"]
    clean.setenv("ALLOWED_HOSTS", "example.org, api.example.org")
    assert settings().ALLOWED_HOSTS == ["example.org", "api.example.org"]


def test_database_url_names_a_sqlite_file() -> None:
    assert database("sqlite:////srv/db.sqlite3")["NAME"] == Path("/srv/db.sqlite3")
    assert database("sqlite:///db.sqlite3")["NAME"] == local.BASE_DIR / "db.sqlite3"


def test_database_url_names_a_postgresql_server() -> None:
    named = database("postgresql://me:p%40ss@db.example:5433/jobs?sslmode=require")
    assert named["ENGINE"] == "django.db.backends.postgresql"
    assert (named["HOST"], named["PORT"], named["NAME"]) == ("db.example", "5433", "jobs")
    assert (named["USER"], named["PASSWORD"]) == ("me", "p@ss")
    assert named["OPTIONS"] == {"sslmode": "require"}


def test_another_database_is_refused_by_name() -> None:
    with pytest.raises(ImproperlyConfigured, match="got 'mysql'"):
        database("mysql://host/jobs")


def test_the_procfile_names_each_kind_of_process() -> None:
    commands = run.procfile()
    assert set(commands) == {"hooks", "web", "worker"}
    assert shlex.split(commands["web"])[0] == "granian"
    assert shlex.split(commands["worker"])[:2] == ["celery", "--app"]
    assert shlex.split(commands["hooks"])[4:6] == ["--queues", "hooks"]


def test_anonymous_use_is_for_the_loopback_address_alone(clean: pytest.MonkeyPatch) -> None:
    clean.setenv("SECRET_KEY", "any")
    assert run.environment()["PREDICT_WORKER_ALLOW_ANONYMOUS"] == "1"
    clean.setenv("HOST", "0.0.0.0")
    assert "PREDICT_WORKER_ALLOW_ANONYMOUS" not in run.environment()


def test_the_example_is_one_image_as_the_model_takes_it() -> None:
    from examples.digits.train import example

    body = example()
    image = np.array(body["inputs"])
    assert (image.shape, image.min(), image.max()) == ((1, 8, 8, 1), 0, 16)
    assert body["metadata"]["digit"] in range(10)
    assert example() == body
