"""Containers in buildah's chroot isolation: files and a user of their own, but the host's network."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from proj.children import spawn
from tests.system.stack import until
from tests.system_root.images import STORAGE, buildah, config


class Unpacked:
    """The files of an image. Containers of the same image share them: none may write but to its volumes."""

    def __init__(self, image: str) -> None:
        self.config: dict[str, Any] = config(image)
        self.id = buildah("from", image)
        self.root = Path(buildah("mount", self.id))

    def remove(self) -> None:
        buildah("rm", self.id)


class Container:
    """With the user, environment, command and health check that its image says.

    ``volumes`` are folders of the host by where they appear: ``/data``, or ``/models:ro``.
    """

    def __init__(
        self,
        unpacked: Unpacked,
        log: Path,
        *,
        environment: Mapping[str, str],
        volumes: Mapping[str, Path],
        command: Sequence[str] = (),
        health: Sequence[str] = (),
        user: str = "",
    ) -> None:
        self.unpacked, self.log = unpacked, log
        self._command = [*(command or unpacked.config["Cmd"])]
        self._health = [*(health or unpacked.config["Healthcheck"]["Test"])]
        self._options = ["--isolation", "chroot", *(["--user", user] if user else [])]
        for name, value in environment.items():
            self._options += ["--env", f"{name}={value}"]
        for place, folder in volumes.items():
            self._options += ["--volume", f"{folder}:{place}"]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = self._run(self._command)
        until(self.processes, 10, "a process")

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def processes(self) -> list[psutil.Process]:
        """Those of the container, the first one first; none of buildah's own."""
        if self._process is None or self._process.poll() is not None:
            return []
        family = psutil.Process(self._process.pid).children(recursive=True)
        return [process for process in family if not _of_buildah(process)]

    def main(self) -> psutil.Process:
        """What a signal to the container reaches."""
        return self.processes()[0]

    def healthy(self) -> bool:
        """What the health check says."""
        kind, *check = self._health
        return self.run("/bin/sh", "-c", *check) if kind == "CMD-SHELL" else self.run(*check)

    def run(self, *command: str) -> bool:
        """Whether a command beside the container's own succeeds."""
        return self._run(command).wait(60) == 0

    def ended(self, timeout_s: float) -> int:
        """The exit code."""
        assert self._process
        return self._process.wait(timeout_s)

    def kill(self) -> None:
        def ended() -> bool:
            for process in self.processes():
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            return self._process is None or self._process.poll() is not None

        until(ended, 30, "end of the container")

    def _run(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        line = ["buildah", *STORAGE, "run", *self._options, self.unpacked.id, "--", *command]
        with self.log.open("ab") as log:
            return spawn(line, output=log)  # buildah passes on that these tests were killed


def _of_buildah(process: psutil.Process) -> bool:
    try:
        return "buildah" in Path(process.exe()).name
    except psutil.NoSuchProcess:
        return True
