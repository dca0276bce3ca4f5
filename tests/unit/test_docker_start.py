"""What a container runs: a line of the Procfile."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.system.stack import until

START = Path(__file__).parents[2] / "docker" / "start"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    lines = ["web: sleep 60", """worker: printf '%s\\n' "${LEVEL:-INFO}" worker"""]
    (tmp_path / "Procfile").write_text("\n".join(lines) + "\n")
    return tmp_path


def start(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "LEVEL": "NOT INFO"}
    return subprocess.run([START, *arguments], cwd=folder, env=environment, text=True, capture_output=True)


def test_a_line_is_run_as_the_shell_reads_it_with_further_options(folder: Path) -> None:
    assert start(folder, "worker", "-Q", "two words; $x").stdout.splitlines() == [
        "NOT INFO",
        "worker",
        "-Q",
        "two words; $x",
    ]


def test_no_shell_stays_between_a_signal_and_the_process(folder: Path) -> None:
    with subprocess.Popen([START, "web"], cwd=folder) as process:
        try:
            until(lambda: Path(f"/proc/{process.pid}/comm").read_text() == "sleep\n", 10, "the process")
            process.terminate()
            assert process.wait(10) == -signal.SIGTERM
        finally:
            process.kill()


def test_a_process_that_is_not_there_is_named(folder: Path) -> None:
    refused = start(folder, "wroker")
    assert refused.returncode == 1
    assert "wroker" in refused.stderr
