"""What a child says of the versions of a model."""

from __future__ import annotations

from collections.abc import Iterator

from ..core.ports import VersionStatus
from ..registry import ModelRegistry
from ..repository.directory import RepositoryModel
from .attempts import Attempts


def statuses_of(
    model: RepositoryModel, registry: ModelRegistry, attempts: Attempts, loading: int | None
) -> Iterator[VersionStatus]:
    """What is loaded, also where a change of ``model.toml`` could not be taken; what is being loaded; what
    failed; what cannot even be tried. Version 0 stands for a model that has none."""
    loaded = registry.versions(model.name)
    for version in loaded:
        load_ms = registry.get(model.name, version).load_ms
        yield VersionStatus(model.name, version, "AVAILABLE", attempts.error(model, version), load_ms)
    for version in sorted(model.versions.keys() - set(loaded)):
        if version == loading:
            yield VersionStatus(model.name, version, "LOADING")
        elif error := attempts.error(model, version):
            yield VersionStatus(model.name, version, "END", error)
    for version, why in sorted(model.refused.items()):
        yield VersionStatus(model.name, version, "END", why)
    if model.error and not model.refused:
        yield VersionStatus(model.name, 0, "END", model.error)
