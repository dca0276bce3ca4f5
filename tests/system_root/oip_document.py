"""The Open Inference Protocol's own description in OpenAPI, as a package on the index carries it.

No package has the specification's file itself. MLServer, of the protocol's authors, publishes it with what
they have added: paths without a version, the statuses 404 and 500, ``parameters`` of tensors, streaming and
generation.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any
from zipfile import ZipFile

import pytest

from tests.system_root.images import ROOT

WHEEL = "mlserver-1.7.1-py3-none-any.whl"
REQUIREMENT = (
    "mlserver==1.7.1 --hash=sha256:d2ac7502915bb5311343a878aa1fb614f9b0f2436ee550a6137c1872a4dca193\n"
)
KEPT = ROOT / "var" / "documents"
DATA = {"type": "array", "items": {"anyOf": [{"type": t} for t in ("array", "boolean", "number", "string")]}}
"""A tensor's, by the specification. The package's has the type ``bytes`` besides, which JSON Schema lacks."""


def dataplane() -> dict[str, Any]:
    document = _read("dataplane")
    document["components"]["schemas"]["TensorData"] = DATA
    return document


def repository() -> dict[str, Any]:
    """Of the extension of that name."""
    return _read("model_repository")


def _read(name: str) -> dict[str, Any]:
    """Where the package cannot be had, the test is skipped."""
    if not (KEPT / WHEEL).exists():
        _download()
    with ZipFile(KEPT / WHEEL) as wheel:
        return dict(json.loads(wheel.read(f"mlserver/rest/openapi/{name}.json")))


def _download() -> None:
    """The package alone: nothing of it is installed or run."""
    KEPT.mkdir(parents=True, exist_ok=True)
    wanted = KEPT / "requirements.txt"
    wanted.write_text(REQUIREMENT)
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    options = ["--no-deps", "--require-hashes", "--only-binary=:all:", "--ignore-requires-python"]
    command = [*pip, *options, "--dest", str(KEPT), "--requirement", str(wanted)]
    done = subprocess.run(command, text=True, capture_output=True)
    if done.returncode:
        pytest.skip(f"needs mlserver's wheel: {done.stderr[-2000:]}")
