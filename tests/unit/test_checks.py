"""Django's system checks: what each finds, and where it is silent."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from celery import Celery, current_app
from django.core.checks import CheckMessage, run_checks
from django.test import override_settings

from predict_worker import checks
from predict_worker.celery_config import celery_defaults
from predict_worker.core.ports import Heartbeat, VersionStatus
from predict_worker.store.memory_catalogue import MemoryCatalogue

UNREACHABLE = "unix:///nowhere/redis.sock"


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[Path]:
    """A repository with one good model, in the settings."""
    add(tmp_path, "good", 1, 2)
    with override_settings(PREDICT_WORKER={"MODEL_REPOSITORY": tmp_path, "REDIS_URL": UNREACHABLE}):
        yield tmp_path


def add(repository: Path, name: str, *versions: int | str, manifest: str = "") -> None:
    for version in versions:
        directory = repository / name / str(version)
        directory.mkdir(parents=True)
        (directory / "saved_model.pb").touch()
    if manifest:
        (repository / name / "model.toml").write_text(manifest)


@pytest.fixture
def celery() -> Iterator[Callable[..., None]]:
    """Makes the Celery app of the process, with the predictions' settings or without."""
    before: Any = current_app._get_current_object()  # type: ignore[attr-defined]

    def make(defaults: Callable[[], dict[str, Any]] | None = celery_defaults, **conf: Any) -> None:
        app = Celery("project")
        app.conf.update(conf)
        if defaults:
            app.add_defaults(defaults)

    yield make
    before.set_current()


def found(*, deploy: bool = False) -> dict[str, CheckMessage]:
    """What ``manage.py check`` says, by id; every message has a hint."""
    messages: Sequence[CheckMessage] = run_checks(tags=[checks.TAG], include_deployment_checks=deploy)
    assert all(message.hint for message in messages)
    return {str(message.id).removeprefix("predict_worker."): message for message in messages}


# ---------------------------------------------------------------- settings


def test_sound_project_has_no_messages(repository: Path, celery: Callable[..., None]) -> None:
    celery()
    assert found(deploy=True) == {}


def test_impossible_setting_is_an_error_and_the_only_message(celery: Callable[..., None]) -> None:
    celery(None)
    with override_settings(PREDICT_WORKER={"MAX_WAIT": 3}):
        messages = found(deploy=True)
    assert list(messages) == ["E001"]
    assert "MAX_WAIT" in messages["E001"].msg
    assert messages["E001"].is_serious()


def test_anonymous_use_is_told_of_before_deployment_unless_debugging(
    repository: Path, celery: Callable[..., None]
) -> None:
    celery()
    allowed = {"MODEL_REPOSITORY": repository, "REDIS_URL": UNREACHABLE, "ALLOW_ANONYMOUS": True}
    with override_settings(PREDICT_WORKER=allowed):
        assert found() == {}
        assert list(found(deploy=True)) == ["W007"]
        with override_settings(DEBUG=True):
            assert found(deploy=True) == {}


# ---------------------------------------------------------------- repository


def test_absent_repository_is_no_error(tmp_path: Path, celery: Callable[..., None]) -> None:
    celery()
    with override_settings(PREDICT_WORKER={"MODEL_REPOSITORY": tmp_path / "none"}):
        assert found() == {}


@pytest.mark.parametrize(
    ("name", "versions", "manifest", "says"),
    [
        ("broken", (1,), "timeout_s = 0", "model 'broken': model.toml: timeout_s"),
        ("broken", (1,), "[batch", "model 'broken': model.toml:"),
        ("no name", (1,), "", "model 'no name': a model's name matches"),
        ("twice", (1, "01"), "", "model 'twice': 01/ and 1/ are one version"),
        ("empty", (), "artefact = 'onnx'", "model 'empty': no version to offer"),
    ],
)
def test_model_that_nobody_can_serve_is_named(
    repository: Path, celery: Callable[..., None], name: str, versions: Any, manifest: str, says: str
) -> None:
    celery()
    (repository / name).mkdir()
    add(repository, name, *versions, manifest=manifest)
    messages = found()
    assert list(messages) == ["W001"]
    assert messages["W001"].msg.startswith(says)
    assert not messages["W001"].is_serious(), "one model must not keep migrate from running"


def test_version_that_cannot_be_served_is_named(repository: Path, celery: Callable[..., None]) -> None:
    celery()
    (repository / "good" / "3").mkdir()
    messages = found()
    assert list(messages) == ["W002"]
    assert messages["W002"].msg == "model 'good', version 3: no artefact in 3/"


@pytest.mark.parametrize(
    ("version", "what"), [(7, "which does not exist"), (1, "which is not served: see [versions]")]
)
def test_label_that_leads_nowhere_is_named(
    repository: Path, celery: Callable[..., None], version: int, what: str
) -> None:
    celery()
    (repository / "good" / "model.toml").write_text(f"[labels]\nstable = {version}\nnewest = 2")
    messages = found()
    assert list(messages) == ["W003"]
    assert messages["W003"].msg == f"model 'good': label 'stable' points to version {version}, {what}"
    assert messages["W003"].hint == "Versions that are served: 2."


# ---------------------------------------------------------------- Celery


def test_celery_app_without_the_predictions_settings_is_named(
    repository: Path, celery: Callable[..., None]
) -> None:
    celery(None)
    messages = found()
    assert list(messages) == ["W004"]
    assert "'project'" in messages["W004"].msg


def test_alive_timeout_that_kills_loading_children_is_told_of(
    repository: Path, celery: Callable[..., None]
) -> None:
    celery(worker_proc_alive_timeout=4.0)
    assert list(found()) == ["W005"]


@pytest.mark.parametrize("setting", ["accept_content", "result_accept_content"])
@pytest.mark.parametrize("name", ["pickle", "application/x-python-serialize"])
def test_pickle_is_told_of(repository: Path, celery: Callable[..., None], setting: str, name: str) -> None:
    celery(**{setting: ["json", name]})
    assert list(found()) == ["W006"]


def test_alive_timeout_is_compared_with_what_loading_took(
    repository: Path, celery: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    celery(worker_proc_alive_timeout=100)
    catalogue = MemoryCatalogue()
    monkeypatch.setattr(checks, "catalogue_store", lambda config: catalogue)
    assert found(deploy=True) == {}
    loads = tuple(VersionStatus("good", version, "AVAILABLE", load_ms=60_000) for version in (1, 2))
    catalogue.beat(Heartbeat("n:1", "host", 1, "ready", 0, loads), ttl_s=60)
    assert found() == {}
    messages = found(deploy=True)
    assert list(messages) == ["W008"]
    assert "100 s" in messages["W008"].msg
    assert "120 s" in messages["W008"].msg
    assert "240" in str(messages["W008"].hint)
