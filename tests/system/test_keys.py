"""API keys across processes: made by a command, known to the web, counted in Redis."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.docs_runner import Example, examples
from tests.system.stack import ROOT, Stack, until

HALF = {"model": "half", "inputs": [[2.0, 3.0]]}


@pytest.fixture(scope="module")
def stack(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Nobody is let in without a key."""
    guarded = Stack(tmp_path_factory.mktemp("stack"), models, PREDICT_WORKER_ALLOW_ANONYMOUS="0")
    try:
        manage(guarded, "migrate", "--verbosity", "0")
        yield guarded.start()
    finally:
        guarded.close()


@pytest.fixture(scope="module")
def folder(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the page's examples run: beside manage.py, in the environment of the web."""
    folder = tmp_path_factory.mktemp("docs")
    (folder / "manage.py").symlink_to(ROOT / "manage.py")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in stack.environment.items():
            if os.environ.get(name) != value:
                patch.setenv(name, value)
        yield folder


def manage(stack: Stack, *arguments: str) -> str:
    command = [sys.executable, "manage.py", *arguments]
    done = subprocess.run(
        command, cwd=ROOT, env=stack.environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


def ask(stack: Stack, key: str) -> httpx.Response:
    return stack.http.post("/api/jobs", json=HALF, headers={"Authorization": f"Bearer {key}"})


@pytest.mark.parametrize("example", examples("keys"), ids=str)
def test_the_page_does_what_it_says(stack: Stack, folder: Path, example: Example) -> None:
    example.run(f"127.0.0.1:{stack.port}", folder)


def test_the_page_has_its_examples() -> None:
    assert len(examples("keys")) == 9


def test_a_revoked_key_is_refused_by_a_web_that_knew_it(stack: Stack) -> None:
    key = manage(stack, "keys", "create", "soon gone")
    assert ask(stack, key).status_code == 202
    manage(stack, "keys", "revoke", key.split("_")[1])
    until(lambda: ask(stack, key).status_code == 401, 10, "the refusal")


def test_the_use_of_a_key_is_noted(stack: Stack) -> None:
    key = manage(stack, "keys", "create", "used")
    assert ask(stack, key).status_code == 202
    until(lambda: manage(stack, "keys", "list", "--json").count('"last_used_at": null') == 0, 10, "the note")


def test_a_rate_that_is_used_up_is_there_again(stack: Stack) -> None:
    key = manage(stack, "keys", "create", "slow", "--rate", "1/1s")
    answers = [ask(stack, key) for _ in range(3)]
    assert [answer.status_code for answer in answers[:2]] == [202, 429]
    assert answers[1].headers["Retry-After"] == "1"
    until(lambda: ask(stack, key).status_code == 202, 10, "the next window")
