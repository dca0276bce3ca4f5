"""Chromium without a screen, told what to do in the words of its DevTools protocol, through pipes."""

from __future__ import annotations

import fcntl
import json
import os
import select
import subprocess
import time
from pathlib import Path
from typing import Any

PROGRAM = "chromium-headless-shell"
OPTIONS = (
    "--no-sandbox",  # which root cannot have
    "--no-first-run",
    "--disable-background-networking",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
_ANSWER_S = 20.0


class Browser:
    """One page. ``events`` are those of its network and its log, as they came: ``method`` and ``params``."""

    def __init__(self, profile: Path) -> None:
        self.events: list[dict[str, Any]] = []
        self._number, self._buffer = 0, b""
        theirs, self._write = os.pipe()
        self._read, theirs_too = os.pipe()
        # Chromium reads from 3 and writes to 4: neither may be one of those that are moved there.
        given = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (theirs, theirs_too)]
        os.close(theirs)
        os.close(theirs_too)
        command = [PROGRAM, *OPTIONS, "--remote-debugging-pipe", f"--user-data-dir={profile}"]
        moved = f'exec "$@" 3<&{given[0]} 4>&{given[1]}'
        with (profile / "browser.log").open("wb") as log:
            self._process = subprocess.Popen(
                ["bash", "-c", moved, "bash", *command], pass_fds=given, stdout=log, stderr=log
            )
        for end in given:
            os.close(end)
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        attached = self._ask("Target.attachToTarget", targetId=target, flatten=True)
        self._session = {"sessionId": attached["sessionId"]}
        for domain in ("Page", "Network", "Runtime", "Log"):
            self._ask(f"{domain}.enable")

    def open(self, url: str) -> None:
        """Returns once the page has been loaded."""
        failed = self._ask("Page.navigate", url=url).get("errorText")
        assert not failed, failed
        while not self.told("Page.loadEventFired"):
            self._next(time.monotonic() + _ANSWER_S)

    def run(self, script: str) -> Any:
        """The value of an expression in the page."""
        ran = self._ask("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in ran, ran
        return ran["result"].get("value")

    def told(self, method: str) -> list[dict[str, Any]]:
        """The parameters of the events of this name, so far."""
        return [event["params"] for event in self.events if event["method"] == method]

    def close(self) -> None:
        os.close(self._write)  # it ends when it can be told nothing more
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._read)

    def _ask(self, method: str, **params: Any) -> dict[str, Any]:
        self._number += 1
        session = getattr(self, "_session", {})
        asked = {"id": self._number, "method": method, "params": params, **session}
        os.write(self._write, json.dumps(asked).encode() + b"\0")
        until = time.monotonic() + _ANSWER_S
        while (answer := self._next(until)).get("id") != self._number:
            pass
        assert "error" not in answer, answer
        return dict(answer["result"])

    def _next(self, until: float) -> dict[str, Any]:
        """What it says next; events are kept, too."""
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._read], [], [], max(0.0, until - time.monotonic()))
            part = os.read(self._read, 1 << 20) if ready else b""
            assert part, f"the browser has {'ended' if ready else 'said nothing'}"
            self._buffer += part
        first, _, self._buffer = self._buffer.partition(b"\0")
        said: dict[str, Any] = json.loads(first)
        if "method" in said:
            self.events.append(said)
        return said
