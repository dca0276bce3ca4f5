"""The examples of a page under docs/, run against a service and compared with what the page says they print.

An example is a block of ``bash``, ``python`` or ``console`` (there commands follow ``$ ``). What it prints
stands in the ``json`` or ``text`` block right after it, or in the console's other lines; an example without
either only has to succeed. ``…`` or ``...`` stands for any text, as a whole string of JSON for any value.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parents[1] / "docs"
ADDRESS = "127.0.0.1:8000"
"""Where the pages say that the service is."""

_BLOCK = re.compile(
    r"^```(?P<language>bash|python|console)\n(?P<code>.*?)^```\n(?:\s*^```(?:json|text)\n(?P<expected>.*?)^```\n)?",
    re.DOTALL | re.MULTILINE,
)
_COMMAND = re.compile(r"^\$ ((?:.*\\\n)*.*)\n?", re.MULTILINE)


@dataclass(frozen=True)
class Example:
    line: int  # of its page
    program: list[str]
    code: str
    expected: str | None  # None: whatever it prints is right

    def __str__(self) -> str:
        return f"line {self.line}"

    def run(self, address: str, folder: Path) -> None:
        """``address``: the service's host and port. Examples of one page share the ``folder`` they run in."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path, "no_proxy": "*"}
        command = [*self.program, "-c", self.code.replace(ADDRESS, address)]
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            env=environment,
            cwd=folder,
            text=True,
            capture_output=True,
            timeout=60,
        )
        assert done.returncode == 0, f"{self}: {self.code}\n{done.stdout}\n{done.stderr}"
        printed = done.stdout.replace(address, ADDRESS)
        if self.expected is not None and not same(self.expected, printed):
            raise AssertionError(f"{self}: {self.code}\nprinted\n{printed}\nnot\n{self.expected}")


def examples(page: str) -> list[Example]:
    """Those of ``docs/<page>.md``, in order."""
    text = (DOCS / f"{page}.md").read_text("utf-8")
    found = []
    for block in _BLOCK.finditer(text):
        language, code, expected = block["language"], block["code"], block["expected"]
        if language == "console":
            expected = expected or _COMMAND.sub("", code) or None
            code = "\n".join(_COMMAND.findall(code)) + "\n"
        program = [sys.executable] if language == "python" else ["bash", "-euo", "pipefail"]
        found.append(Example(text.count("\n", 0, block.start()) + 1, program, code, expected))
    return found


def same(expected: str, printed: str) -> bool:
    try:
        return _same_value(json.loads(expected), json.loads(printed))
    except ValueError:  # at least one is no JSON
        return _same_text(expected, printed)


def _same_value(expected: Any, found: Any) -> bool:
    if isinstance(expected, dict) and isinstance(found, dict):
        return expected.keys() == found.keys() and all(_same_value(expected[k], found[k]) for k in found)
    if isinstance(expected, list) and isinstance(found, list):
        return len(expected) == len(found) and all(map(_same_value, expected, found))
    if isinstance(expected, str) and ("…" in expected or "..." in expected):
        return expected in ("…", "...") or (isinstance(found, str) and _same_text(expected, found))
    return type(expected) is type(found) and repr(expected) == repr(found)  # so that NaN is NaN


def _same_text(expected: str, found: str) -> bool:
    """Apart from the space between words."""
    parts = re.split(r"…|\.\.\.", " ".join(expected.split()))
    return re.fullmatch(".*".join(map(re.escape, parts)), " ".join(found.split())) is not None
