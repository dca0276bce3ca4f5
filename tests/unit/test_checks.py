"""Django's system checks: what each finds, and where it is silent."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from celery import Celery, current_app
from django.core.checks import CheckMessage, run_checks
from django.test import override_settings

from predict_worker import checks
from predict_worker.celery_config import celery_defaults
from tests.unit.apps import installed

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


def found() -> dict[str, CheckMessage]:
    """What ``manage.py check`` says, by id; every message has a hint."""
    messages: Sequence[CheckMessage] = run_checks(tags=[checks.TAG])
    assert all(message.hint for message in messages)
    return {str(message.id).removeprefix("predict_worker."): message for message in messages}


# ---------------------------------------------------------------- settings


def test_sound_project_has_no_messages(repository: Path, celery: Callable[..., None]) -> None:
    celery()
    assert found() == {}


def test_impossible_setting_is_an_error_and_the_only_message(celery: Callable[..., None]) -> None:
    celery(None)
    with override_settings(PREDICT_WORKER={"MAX_WAIT": 3}):
        messages = found()
    assert list(messages) == ["E001"]
    assert "MAX_WAIT" in messages["E001"].msg
    assert messages["E001"].is_serious()


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


def test_label_that_leads_nowhere_is_named(repository: Path, celery: Callable[..., None]) -> None:
    celery()
    (repository / "good" / "model.toml").write_text("[labels]\nstable = 7\nold = 1")
    messages = found()
    assert list(messages) == ["W003"]
    assert messages["W003"].msg == "model 'good': label 'stable' points to version 7, which does not exist"
    assert messages["W003"].hint == "Versions that exist: 1, 2."


# ---------------------------------------------------------------- transforms


def test_transform_that_no_app_can_have_is_named(repository: Path, celery: Callable[..., None]) -> None:
    celery()
    (repository / "good" / "model.toml").write_text("[transforms]\npre = 'mine'\npost = 'top_k'")
    messages = found()
    assert list(messages) == ["W009"]
    says = "model 'good': transform 'mine' is none of decode_image, tokenise, top_k, nor is any app's"
    assert messages["W009"].msg == says


def test_transform_that_an_app_may_have_is_believed_and_not_imported(
    repository: Path, celery: Callable[..., None], tmp_path_factory: pytest.TempPathFactory
) -> None:
    celery()
    (repository / "good" / "model.toml").write_text("[transforms]\npre = 'mine'")
    with installed(tmp_path_factory.mktemp("apps"), weights="done = True"):
        assert found() == {}
        assert "weights.transforms" not in sys.modules


def test_file_that_a_transform_needs_is_named_while_it_is_missing(
    repository: Path, celery: Callable[..., None]
) -> None:
    celery()
    toml = "[versions]\ncount = 2\n[tokenise]\nvocabulary = 'vocab.txt'\n[top_k]\nlabels = 'labels.txt'"
    (repository / "good" / "model.toml").write_text(toml)
    (repository / "good" / "labels.txt").touch()
    (repository / "good" / "2" / "vocab.txt").touch()
    messages = found()
    assert list(messages) == ["W010"]
    assert messages["W010"].msg == "model 'good', version 1: no file vocab.txt, which [tokenise] names"
    (repository / "good" / "1" / "vocab.txt").touch()
    assert found() == {}


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
