"""Which models this node serves."""

from __future__ import annotations

from collections.abc import Sequence

from ..conf import get_config
from ..core.ports import ModelEntry
from ..repository.directory import ModelRepository, RepositoryModel
from ..runtimes.base import parent_imports
from .parent import import_runtimes


class Served:
    """All of the repository, also what comes later (``follows``), or the named ones alone."""

    def __init__(self, repository: ModelRepository, only: Sequence[str] | None) -> None:
        self._repository, self._only = repository, only
        self._found: dict[str, RepositoryModel] = {}

    @classmethod
    def repository(cls) -> Served:
        return cls(ModelRepository(get_config().model_repository), None)

    @classmethod
    def only(cls, names: Sequence[str]) -> Served:
        return cls(ModelRepository(get_config().model_repository), tuple(names))

    @property
    def follows(self) -> bool:
        return self._only is None

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._found) if self._only is None else tuple(self._only)

    @property
    def entries(self) -> tuple[ModelEntry, ...]:
        return tuple(model.entry for model in self._found.values())

    def scan(self) -> list[str]:
        """Read the repository again; returns the names that are new."""
        found = {model.name: model for model in self._repository.scan()}
        new = [name for name in found if name not in self._found]
        self._found = found
        return new

    def import_runtimes(self) -> None:
        """What the served artefacts need, and no more: a node of small runtimes has no TensorFlow."""
        kinds = {kind for name in self.names if name in self._found for kind in self._found[name].artefact_kinds}
        import_runtimes(sorted(parent_imports(kinds)))
