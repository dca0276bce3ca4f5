"""The models and workers, as the catalogue shows them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..catalogue import Catalogue, Index
from ..core.ports import Heartbeat, ModelEntry
from ..core.spec import ModelSpec


@dataclass(frozen=True, slots=True)
class ModelView:
    """A model: its published versions, how many workers are ready for each, and the workers that know it."""

    entry: ModelEntry
    specs: Mapping[int, ModelSpec]
    ready: Mapping[int, int]
    workers: tuple[Heartbeat, ...]


class Overview:
    """Readings of one catalogue; each raises StoreUnavailable if there has never been a good one."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def models(self) -> tuple[ModelView, ...]:
        index = self._catalogue.index()
        return tuple(_view(index, entry) for entry in index.view.models)

    def model(self, name: str) -> ModelView:
        """Raises ModelNotFound."""
        entry = self._catalogue.entry(name)
        return _view(self._catalogue.index(), entry)

    def workers(self) -> tuple[Heartbeat, ...]:
        return self._catalogue.index().view.workers


def _view(index: Index, entry: ModelEntry) -> ModelView:
    workers = tuple(w for w in index.view.workers if any(status.model == entry.name for status in w.models))
    return ModelView(entry, index.specs.get(entry.name, {}), index.ready.get(entry.name, {}), workers)
