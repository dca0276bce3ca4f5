"""A model by its name, as the executor asks for it."""

from __future__ import annotations

from collections.abc import Sequence

from ..batch import run_batch
from ..core.errors import ModelLoadError
from ..core.job import JobError
from ..core.ports import Entry, Outcome
from ..core.spec import BatchPolicy
from ..registry import ModelRegistry


class Loaded:
    """Its versions are loaded in this process."""

    def __init__(self, registry: ModelRegistry, name: str) -> None:
        self._registry, self._name = registry, name
        self.policy = registry.get(name, None).spec.batch

    def run(self, entries: Sequence[Entry]) -> list[Outcome]:
        return run_batch(lambda version: self._registry.get(self._name, version), entries)


class Unavailable:
    """No version of it can be loaded, here or elsewhere: every job is answered with the reason."""

    policy = BatchPolicy()

    def __init__(self, error: ModelLoadError) -> None:
        self.error = error
        self._failure = JobError("model_unavailable", "Model failed to load", error.detail)

    def run(self, entries: Sequence[Entry]) -> list[Outcome]:
        return [Outcome(entry, error=self._failure) for entry in entries]
