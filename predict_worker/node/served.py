"""Which models this node serves."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from ..conf import get_config
from ..core.errors import InvalidRepository
from ..core.ports import ModelEntry
from ..repository.directory import ModelRepository, RepositoryModel
from ..runtimes.base import parent_imports

log = logging.getLogger(__name__)


class Served:
    """All of the repository, also what comes later (``follows``), or the named ones alone.

    A child has its parent's as it was at the fork: what is half copied then is known to be.
    """

    def __init__(self, repository: ModelRepository, only: Sequence[str] | None) -> None:
        self.repository, self._only = repository, only
        self._found: dict[str, RepositoryModel] = {}

    @classmethod
    def all(cls) -> Served:
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

    def serves(self, name: str) -> bool:
        """Where all are served, also a model that has come since the last scan."""
        return name in self.names or (self.follows and self.repository.holds(name))

    def model(self, name: str) -> RepositoryModel | None:
        """As the last scan found it."""
        return self._found.get(name)

    @property
    def entries(self) -> tuple[ModelEntry, ...]:
        return tuple(model.entry for model in self._found.values())

    def scan(self) -> list[str]:
        """Read the repository again; returns the names that are new. While it cannot be read, what was
        known stays.
        """
        try:
            found = {model.name: model for model in self.repository.scan()}
        except InvalidRepository as error:
            log.error("%s", error)
            return []
        new = [name for name in found if name not in self._found]
        self._found = found
        return new

    def libraries(self) -> frozenset[str]:
        """What the served artefacts need, and no more: a node of small runtimes has no TensorFlow."""
        models = [self._found[name] for name in self.names if name in self._found]
        return parent_imports(kind for model in models for kind in model.artefact_kinds)
