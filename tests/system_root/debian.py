"""The Debian that this machine runs, as another root file system."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

PACKAGES = ("python3", "python3-venv", "redis-server")
PYTHON = Path("/usr/bin/python3")
"""The same version as in what :func:`bootstrap` makes."""


def codename() -> str:
    """Of the release that runs here."""
    return platform.freedesktop_os_release()["VERSION_CODENAME"]


def mirror() -> str:
    """Where apt has it from."""
    form = "$(CODENAME) $(COMPONENT) $(REPO_URI)"
    said = subprocess.check_output(
        ["apt-get", "indextargets", "--format", form, "Created-By: Packages"], text=True
    )
    for line in said.splitlines():
        name, component, uri = line.split(maxsplit=2)
        if (name, component) == (codename(), "main"):
            return _listed(uri)
    raise LookupError(f"apt knows no {codename()} main: {said}")


def _listed(uri: str) -> str:
    """apt may have a file with the addresses of several mirrors."""
    scheme, _, path = uri.partition("mirror+file:")
    return uri if scheme else Path(path.rstrip("/")).read_text().split()[0]


def bootstrap(target: Path) -> None:
    """Debian's smallest variant with ``PACKAGES``, of the release that runs here. Takes a minute."""
    include = f"--include={','.join(PACKAGES)}"
    done = subprocess.run(
        ["debootstrap", "--variant=minbase", include, codename(), target, mirror()],
        env={**os.environ, **_proxy()},
        text=True,
        capture_output=True,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    for folder in ("var/cache/apt/archives", "var/lib/apt/lists"):
        for file in (target / folder).rglob("*"):
            if file.is_file():
                file.unlink()


def _proxy() -> dict[str, str]:
    """apt's, for debootstrap, which asks the environment alone."""
    said = subprocess.check_output(["apt-config", "shell", "http_proxy", "Acquire::http::Proxy"], text=True)
    value = said.strip().partition("=")[2].strip("'")
    return {"http_proxy": value} if value and value != "DIRECT" else {}
