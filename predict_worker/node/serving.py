"""A model by its name, as the executor asks for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..batch import run_batch
from ..core.errors import ModelLoadError
from ..core.job import JobError
from ..core.ports import Entry, Outcome
from ..core.spec import BatchPolicy
from ..registry import LoadedModel, ModelRegistry
from .counting import Counts
from .shadow import Shadow

AWAITED_S = (0.1, 5.0)
"""First and longest pause before a job runs whose model or version is being loaded."""


class Loaded:
    """Versions of it are loaded in this process. ``awaited`` says of another one, and how often a job has
    waited for it, whether it should go on."""

    def __init__(
        self,
        registry: ModelRegistry,
        name: str,
        awaited: Callable[[int, int], bool],
        shadow: Shadow,
        counts: Counts,
    ) -> None:
        self._registry, self._name, self._awaited = registry, name, awaited
        self._shadow, self._counts = shadow, counts
        self.policy = registry.get(name, None).spec.batch

    def run(self, entries: Sequence[Entry]) -> list[Outcome]:
        self._shadow.published()  # no batch follows before the one before it is
        loaded = self._registry.versions(self._name)
        later = {
            entry.id
            for entry in entries
            if entry.version is not None
            and entry.version not in loaded
            and self._awaited(entry.version, entry.postponed)
        }
        outcomes = run_batch(self._resolve, [entry for entry in entries if entry.id not in later])
        self._shadow.ran(self._name, outcomes)
        self._counts.ran(self._name, outcomes)
        ran = iter(outcomes)
        return [_later(entry, self._name) if entry.id in later else next(ran) for entry in entries]

    def _resolve(self, version: int | None) -> LoadedModel:
        return self._registry.get(self._name, version)


class Awaited:
    """None of its versions is loaded yet: its jobs run a little later."""

    policy = BatchPolicy()

    def __init__(self, name: str) -> None:
        self._name, self.error = name, ModelLoadError(f"{name} is still being loaded")

    def run(self, entries: Sequence[Entry]) -> list[Outcome]:
        return [_later(entry, self._name) for entry in entries]


def _later(entry: Entry, name: str) -> Outcome:
    first_s, longest_s = AWAITED_S
    version = "" if entry.version is None else f", version {entry.version},"
    error = JobError("model_loading", "Model is being loaded", f"{name}{version} was not loaded here yet")
    pause_s = min(first_s * 2.0 ** min(entry.postponed, 10), longest_s)
    return Outcome(entry, error=error, retry_in_s=pause_s, postponed=True)


class Unavailable:
    """No version of it can be loaded, here or elsewhere: every job is answered with the reason."""

    policy = BatchPolicy()

    def __init__(self, error: ModelLoadError) -> None:
        self.error = error
        self._failure = JobError("model_unavailable", "Model failed to load", error.detail)

    def run(self, entries: Sequence[Entry]) -> list[Outcome]:
        return [Outcome(entry, error=self._failure) for entry in entries]
