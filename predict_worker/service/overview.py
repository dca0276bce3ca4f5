"""The models and workers, as the catalogue shows them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..catalogue import Catalogue, Index
from ..core.errors import InvalidRequest, VersionNotReady
from ..core.ports import Heartbeat, ModelEntry
from ..core.spec import MODEL_NAME, ModelSpec


@dataclass(frozen=True, slots=True)
class ModelView:
    """A model: its published versions, how many workers are ready for each, and the workers that know it.
    ``moved``: those of its labels that do not point where ``model.toml`` says."""

    entry: ModelEntry
    specs: Mapping[int, ModelSpec]
    ready: Mapping[int, int]
    workers: tuple[Heartbeat, ...]
    moved: Mapping[str, int] = field(default_factory=dict)


class Overview:
    """Readings of one catalogue; each raises StoreUnavailable if there has never been a good one."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def models(self) -> tuple[ModelView, ...]:
        index = self._catalogue.index()
        return tuple(_view(index, entry) for entry in index.entries.values())

    def model(self, name: str) -> ModelView:
        """Raises ModelNotFound."""
        entry = self._catalogue.entry(name)
        return _view(self._catalogue.index(), entry)

    def move_label(self, name: str, label: str, version: int) -> ModelView:
        """Point a label at a version, whatever ``model.toml`` says; the model after that.

        Raises InvalidRequest, ModelNotFound, VersionNotReady, StoreUnavailable.
        """
        if not MODEL_NAME.match(label):
            raise InvalidRequest("label", f"a name matching {MODEL_NAME.pattern[:-2]}", repr(label))
        index = self._catalogue.now()
        entry = index.entry(name)
        if version not in index.everywhere(name):
            ready = ", ".join(map(str, sorted(index.everywhere(name)))) or "none"
            text = f"model {name!r}: version {version} is not loaded by every ready worker"
            raise VersionNotReady(f"{text}; those that are: {ready}")
        return _view(self._catalogue.move_label(name, label, version), entry)

    def clear_label(self, name: str, label: str) -> ModelView:
        """The label points where ``model.toml`` says again, if that knows it; the model after that.

        Raises ModelNotFound, StoreUnavailable.
        """
        self._catalogue.now().entry(name)
        return _view(self._catalogue.move_label(name, label, None), self._catalogue.entry(name))

    def workers(self) -> tuple[Heartbeat, ...]:
        return self._catalogue.index().view.workers


def _view(index: Index, entry: ModelEntry) -> ModelView:
    workers = tuple(w for w in index.view.workers if any(status.model == entry.name for status in w.models))
    specs, ready = index.specs.get(entry.name, {}), index.ready.get(entry.name, {})
    return ModelView(index.entries[entry.name], specs, ready, workers, index.view.labels.get(entry.name, {}))
