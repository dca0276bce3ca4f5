"""``docker/compose.yml`` as an implementation of Compose understands it."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.system_root.images import ROOT

FILE = ROOT / "docker" / "compose.yml"
NEW = re.compile(r"^name: .*\n|^ +bind:\n +create_host_path: .*\n", re.MULTILINE)
"""What Compose 1.29 (Debian 12's) does not know; 2.x is given the whole file."""


def read(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """What ``config`` prints of the file, with only these variables set."""
    copy = folder / "docker" / FILE.name
    copy.parent.mkdir(exist_ok=True)
    old = subprocess.check_output(["docker-compose", "version", "--short"], text=True).startswith("1.")
    copy.write_text(NEW.sub("", FILE.read_text()) if old else FILE.read_text())
    return subprocess.run(
        ["docker-compose", "--file", str(copy), "config"],
        env={"PATH": os.environ["PATH"], "HOME": str(folder), **environment},
        text=True,
        capture_output=True,
    )


def services(folder: Path, **environment: str) -> dict[str, Any]:
    """By name."""
    done = read(folder, **environment)
    assert done.returncode == 0, done.stderr
    return dict(yaml.safe_load(done.stdout)["services"])


def environment_of(service: Mapping[str, Any]) -> dict[str, str]:
    """Without the variables that are handed on from where there are none."""
    return {name: str(value) for name, value in service["environment"].items() if value is not None}


def grace_s(service: Mapping[str, Any]) -> int:
    found = re.fullmatch(r"(?:(\d+)m)?(\d+)s", service["stop_grace_period"])
    assert found, service["stop_grace_period"]
    return 60 * int(found[1] or 0) + int(found[2])
