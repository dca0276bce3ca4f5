"""System tests: real Redis, granian, Celery prefork workers and TensorFlow, as processes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest

from tests.system.models import make_models
from tests.system.stack import Stack

StartStack = Callable[..., Stack]


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_models(tmp_path_factory.mktemp("models"))


@pytest.fixture
def new_stack(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartStack]:
    """Makes stacks (not started yet) that end with the test."""
    stacks: list[Stack] = []

    def make(repository: Path = models, **environment: str) -> Stack:
        stacks.append(Stack(tmp_path_factory.mktemp("stack"), repository, **environment))
        return stacks[-1]

    yield make
    for stack in stacks:
        stack.close()


@pytest.fixture(scope="module")
def stack(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One for all tests of a module that leave it as it was: two children."""
    shared = Stack(tmp_path_factory.mktemp("stack"), models)
    try:
        yield shared.start(children=2)
    finally:
        shared.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Function) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failure shows the ends of the processes' logs."""
    report = yield
    if report.when == "call" and report.failed:
        stack = item.funcargs.get("stack")
        if isinstance(stack, Stack):
            for name in ("web", "worker"):
                print(f"---- {name}.log\n{stack.log(name)[-4000:]}", file=sys.stderr)
    return report
