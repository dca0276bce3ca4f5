"""Loading models of the repository in processes of their own: none of management imports what runs models."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from django.core.management.base import CommandError

from ..repository.directory import RepositoryModel


def verified(model: RepositoryModel, version: int | None) -> Iterator[dict[str, Any]]:
    """For each version what :mod:`predict_worker.verification` says, or why there is nothing to load."""
    if model.error:
        yield {"model": model.name, "version": None, "error": model.error}
        return
    if version is not None and version not in model.versions:
        expected = f"one of {', '.join(map(str, model.versions))}"
        raise CommandError(f"--version: expected {expected}, got {version}")
    for number, error in sorted(model.refused.items()):
        if version is None:
            yield {"model": model.name, "version": number, "error": error}
    for number in model.wanted if version is None else (version,):
        yield {"model": model.name, "version": number, **_in_a_process(model.name, number)}


def _in_a_process(name: str, version: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "predict_worker.verification", name, str(version)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=False)
    if done.returncode:
        ended = f"signal {-done.returncode}" if done.returncode < 0 else f"status {done.returncode}"
        return {"error": f"the process that loaded it ended with {ended}"}
    found: dict[str, Any] = json.loads(done.stdout)
    return found
