"""The images of ``docker/``, built by buildah: it needs no daemon, and of the kernel no more than chroot.

They are kept in ``var/containers`` (4 GB) and built anew when something that they are made of has changed.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from tests.system_root import debian

ROOT = Path(__file__).resolve().parents[2]
KEPT = ROOT / "var" / "containers"
STORAGE = ["--root", str(KEPT / "storage"), "--runroot", str(KEPT / "run"), "--storage-driver", "vfs"]
LOCKS = {"web": "requirements.lock", "worker": "requirements-worker.lock"}


def buildah(*arguments: str) -> str:
    """What it prints; a failure shows the end of what it complains of."""
    KEPT.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(["buildah", *STORAGE, *arguments], text=True, capture_output=True)
    assert done.returncode == 0, f"buildah {' '.join(arguments)}\n{(done.stdout + done.stderr)[-6000:]}"
    return done.stdout.strip()


@cache
def base() -> str:
    """A Debian as small as can be, with Python; and, for these tests alone, a Redis."""
    return _image("base", _digest(extra=f"{debian.codename()} {debian.PACKAGES}"), _bootstrap)


@cache
def built(name: str) -> str:
    """``web`` or ``worker``, as its Dockerfile says."""
    dockerfile, lock, underneath = ROOT / "docker" / f"{name}.Dockerfile", ROOT / LOCKS[name], base()

    def build(tag: str) -> None:
        wheels = _wheels(lock)
        arguments = ["--build-arg", f"BASE={underneath}", "--volume", f"{wheels}:/root/.config/pip:ro"]
        file = ["--file", str(dockerfile), "--tag", tag, str(ROOT)]
        # Docker's format: the other one has no health checks.
        buildah("bud", "--isolation", "chroot", "--format", "docker", *arguments, *file)

    return _image(name, _digest(dockerfile, ROOT / ".dockerignore", *_context(), extra=underneath), build)


def config(image: str) -> dict[str, Any]:
    """Of an image, as Docker spells it: ``User``, ``Env``, ``Cmd``, ``Healthcheck``."""
    return dict(json.loads(buildah("inspect", "--type", "image", image))["Docker"]["config"])


def _image(name: str, key: str, make: Callable[[str], None]) -> str:
    repository = f"localhost/predict-worker-{name}"
    tag = f"{repository}:{key}"
    tags = buildah("images", "--format", "{{.Name}}:{{.Tag}}").split()
    if tag not in tags:
        for older in tags:
            if older.startswith(f"{repository}:"):
                buildah("rmi", "--force", older)
        make(tag)
    return tag


def _bootstrap(tag: str) -> None:
    container = buildah("from", "scratch")
    try:
        debian.bootstrap(Path(buildah("mount", container)))
        buildah("commit", "--quiet", container, tag)
    finally:
        buildah("rm", container)


def _wheels(lock: Path) -> Path:
    """What a lock names, with a configuration that has pip take it from there.

    What this machine needs to reach an index (a proxy, certificates, another index) stays out of the build.
    """
    kept = KEPT / f"{lock.stem}.{_digest(lock)}"
    if not kept.exists():
        for older in KEPT.glob(f"{lock.stem}.*"):
            shutil.rmtree(older)
        unfinished = KEPT / f".{lock.stem}"
        pip = [sys.executable, "-m", "pip", "--python", str(debian.PYTHON), "download", "--quiet"]
        options = ["--no-deps", "--require-hashes", "--only-binary=:all:", "--dest", str(unfinished)]
        done = subprocess.run([*pip, *options, "--requirement", str(lock)], text=True, capture_output=True)
        assert done.returncode == 0, done.stderr[-6000:]
        (unfinished / "pip.conf").write_text("[global]\nno-index = true\nfind-links = /root/.config/pip\n")
        unfinished.rename(kept)
    return kept


def _context() -> Iterator[Path]:
    """The files that a build is sent."""
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        if line.startswith("!"):
            named = ROOT / line[1:]
            found = sorted(named.rglob("*")) if named.is_dir() else [named]
            yield from (path for path in found if path.is_file())


def _digest(*files: str | Path, extra: str = "") -> str:
    digest = hashlib.sha256(extra.encode())
    for file in map(Path, files):
        if "__pycache__" not in file.parts:
            digest.update(str(file).encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:16]
