"""``manage.py models`` on a service in memory, and on a repository of models in Python."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from predict_worker import connect
from predict_worker.codec import Columnar
from predict_worker.conf import get_config
from predict_worker.core.ports import Heartbeat, Mode, ModelEntry, VersionStatus
from predict_worker.core.spec import ModelRef
from predict_worker.service import PredictRequest
from tests.unit.world import DIGIT, World, spec


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    with connect.use(world.service):
        yield world
    world.close()


def models(*arguments: str) -> str:
    out = StringIO()
    call_command("models", *arguments, stdout=out)
    return out.getvalue()


def as_json(*arguments: str) -> Any:
    return json.loads(models(*arguments, "--json"))


def submit(world: World) -> None:
    world.service.submit(PredictRequest(ModelRef("digits"), Columnar(DIGIT)))


# ---------------------------------------------------------------- as workers have published them


def test_models_are_listed_with_their_queues(world: World) -> None:
    world.catalogue_store.publish_models([ModelEntry("broken", (), error="no artefact")])
    submit(world)
    head, *lines = models("list").splitlines()
    assert head.split() == ["MODEL", "STATE", "VERSIONS", "LABELS", "READY", "WAITING", "RUNNING", "ERROR"]
    told = {line.split()[0]: line.split()[1:] for line in lines}
    assert told["digits"] == ["serving", "1", "stable:1", "1:1", "1", "0"]
    assert told["broken"] == ["serving", "0", "0", "no", "artefact"]
    (digits,) = [model for model in as_json("list") if model["name"] == "digits"]
    assert digits == {
        "name": "digits",
        "state": "serving",
        "versions": [1],
        "labels": {"stable": 1},
        "ready": {"1": 1},
        "waiting": 1,
        "running": 0,
        "error": "",
    }


def test_a_model_is_shown_with_what_it_takes_and_who_holds_it(world: World) -> None:
    failed = VersionStatus("digits", 2, "END", "no such file")
    world.catalogue_store.beat(Heartbeat("n2:7", "host", 7, "unhealthy", 0, (failed,)), 60)
    told = models("show", "digits")
    assert spec("digits").digest in told
    assert "serving_default: x float32 [-1, 8, 8, 1] -> probabilities float32 [-1, 10]" in told
    assert "n2:7 unhealthy: version 2 END  no such file" in told
    shown = as_json("show", "digits")
    assert shown["specs"][0]["digest"] == spec("digits").digest
    assert [status["state"] for status in shown["workers"]] == ["AVAILABLE", "END"]


def test_an_unknown_model_is_an_error_that_names_what_there_is(world: World) -> None:
    for command in ("show", "pause", "resume", "drain", "purge"):
        with pytest.raises(CommandError, match="no model 'digit'; did you mean digits"):
            models(command, "digit")


def test_a_label_is_moved_and_cleared(world: World) -> None:
    assert models("label", "digits", "canary", "1") == "digits canary:1, stable:1\n"
    assert as_json("label", "digits", "canary", "--clear") == {"stable": 1}
    with pytest.raises(CommandError, match="expected VERSION or --clear, not both"):
        models("label", "digits", "canary")
    with pytest.raises(CommandError, match="version"):
        models("label", "digits", "canary", "7")


# ---------------------------------------------------------------- their queues


def test_queues_are_paused_drained_and_resumed(world: World) -> None:
    assert models("pause", "digits", "pair") == "digits paused\npair paused\n"
    assert as_json("drain", "digits") == {"digits": "draining"}
    assert [world.store.stats(name).mode for name in ("digits", "pair")] == [Mode.DRAINING, Mode.PAUSED]
    models("resume", "digits", "pair")
    assert {world.store.stats(name).mode for name in ("digits", "pair")} == {Mode.SERVING}


def test_one_unknown_name_changes_no_queue(world: World) -> None:
    for command in ("pause", "purge"):
        submit(world)
        with pytest.raises(CommandError):
            models(command, "digits", "nothing")
    assert world.store.stats("digits").mode is Mode.SERVING
    assert world.store.stats("digits").waiting == 2


def test_queues_are_purged_with_a_count(world: World) -> None:
    submit(world)
    submit(world)
    assert models("purge", "digits") == "digits 2 jobs cancelled\n"
    assert as_json("purge", "digits") == {"digits": 0}


def test_a_store_that_is_away_is_an_error(world: World) -> None:
    world.store.away = {"*"}
    for command in ("list", "show digits", "pause digits", "purge digits"):
        with pytest.raises(CommandError, match="Job store unavailable: the store is away"):
            models(*command.split())


# ---------------------------------------------------------------- what lies in the repository

DOUBLING = """
from predict_worker.core.spec import Signature, TensorSpec
X, Y = TensorSpec("x", "float32", (-1, 2)), TensorSpec("y", "float32", (-1, 2))
SIGNATURES = (Signature("serving_default", (X,), (Y,)),)

def load(directory):
    print("a model that prints")
    return lambda x: {"y": x * 2}
"""


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("MODEL_REPOSITORY", str(tmp_path))
    monkeypatch.setenv("PREDICT_WORKER_ALLOW_PYTHON_MODELS", "1")
    get_config.cache_clear()
    add(tmp_path, "double", DOUBLING)
    yield tmp_path
    monkeypatch.undo()
    get_config.cache_clear()


def add(repository: Path, name: str, source: str, version: int = 1) -> None:
    directory = repository / name / str(version)
    directory.mkdir(parents=True)
    (directory / "model.py").write_text(source)


def test_a_model_is_verified_in_a_process_of_its_own(repository: Path) -> None:
    np.save(repository / "double" / "example.npy", np.ones((3, 2), np.float32))
    (repository / "double" / "model.toml").write_text("[[warmup]]\nfile = 'example.npy'")
    before = set(sys.modules)
    told = models("verify", "double")
    assert "double, version 1: loaded and warm in " in told
    assert "python sha256:" in told
    assert "serving_default: x float32 [-1, 2] -> y float32 [-1, 2]" in told
    assert "example.npy: " in told
    (result,) = as_json("verify", "double", "--version", "1")
    assert (result["model"], result["version"], result["spec"]["name"]) == ("double", 1, "double")
    assert result["load_ms"] > 0
    assert result["examples"][0]["ms"] >= 0
    assert models("warm", "double").count("\n") == 1
    assert not {name for name in set(sys.modules) - before if "runtimes" in name or "tensorflow" in name}


def test_all_are_verified_and_one_that_fails_makes_the_command_fail(repository: Path) -> None:
    add(repository, "raises", "1 / 0")
    add(repository, "dies", "import os\nos.kill(os.getpid(), 9)")
    (repository / "empty").mkdir()
    (repository / "double" / "2").mkdir()
    out = StringIO()
    with pytest.raises(CommandError, match="4 of 5 failed"):
        call_command("models", "verify", stdout=out)
    told = out.getvalue()
    assert "double, version 1: loaded" in told
    assert "double, version 2: FAILED: no artefact in 2/" in told
    assert "raises, version 1: FAILED: raises, version 1: " in told
    assert "division by zero" in told
    assert "dies, version 1: FAILED: the process that loaded it ended with signal 9" in told
    assert "empty: FAILED: no version to offer" in told


def test_an_example_that_the_model_refuses_is_a_failure(repository: Path) -> None:
    np.save(repository / "double" / "example.npy", np.ones((3, 5), np.float32))
    (repository / "double" / "model.toml").write_text("[[warmup]]\nfile = 'example.npy'")
    with pytest.raises(CommandError, match="1 of 1 failed"):
        models("warm", "double")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("double --version 7", "--version: expected one of 1, got 7"),
        ("--version 1", "--version: expected one model, got 2"),
        ("nothing", "no model 'nothing' in the repository"),
    ],
)
def test_what_is_not_there_is_named(repository: Path, arguments: str, says: str) -> None:
    add(repository, "other", DOUBLING)
    with pytest.raises(CommandError, match=says):
        models("verify", *arguments.split())
