"""Tests that need root, Debian packages or the package index: ``make test-system``.

A plain run of pytest leaves them out. What the machine lacks is skipped and named, but with CI=true that is
a failure.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator

import pytest


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs(*names): programs on the PATH, or 'root', that a test needs")


def pytest_runtest_setup(item: pytest.Item) -> None:
    programs = [program for mark in item.iter_markers("needs") for program in mark.args]
    if lacking := [program for program in programs if not _has(program)]:
        pytest.skip(f"needs {', '.join(lacking)}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and os.environ.get("CI") == "true":
        report.outcome, report.longrepr = "failed", f"CI=true allows no skipping: {report.longreprtext}"
    return report


def _has(program: str) -> bool:
    return os.geteuid() == 0 if program == "root" else shutil.which(program) is not None
