"""What a child has tried to load, by what lay there at the time."""

from __future__ import annotations

from ..repository.directory import RepositoryModel

_Key = tuple[str, int]


class Attempts:
    """A version that failed is tried again when anything of it changes; one that is loaded, when what
    ``model.toml`` says of its loading does, or what lies beside that file."""

    def __init__(self) -> None:
        self._failed: dict[_Key, tuple[object, str]] = {}
        self._loaded: dict[_Key, object] = {}
        self._seen: dict[_Key, object] = {}

    def failed(self, model: RepositoryModel, version: int, error: str) -> None:
        self._failed[model.name, version] = _all(model, version), error

    def loaded(self, model: RepositoryModel, version: int) -> None:
        self._failed.pop((model.name, version), None)
        self._loaded[model.name, version] = _around(model)

    def unloaded(self, name: str, version: int) -> None:
        self._loaded.pop((name, version), None)

    def forgive(self, name: str) -> None:
        """Whatever failed of that model is worth another attempt."""
        for key in [key for key in self._failed if key[0] == name]:
            self._failed.pop(key)

    def see(self, model: RepositoryModel) -> None:
        """So it lies there now."""
        self._seen |= {(model.name, version): _all(model, version) for version in model.versions}

    def error(self, model: RepositoryModel, version: int) -> str:
        """Why it did not load as it lies there; empty if it has not failed so."""
        tried, error = self._failed.get((model.name, version), (None, ""))
        return error if tried == _all(model, version) else ""

    def current(self, model: RepositoryModel, version: int) -> bool:
        """What was loaded is what would be."""
        return self._loaded.get((model.name, version)) == _around(model)

    def unchanged(self, model: RepositoryModel, version: int) -> bool:
        """Since it was last seen, if ever: what is being written is not loaded."""
        return self._seen.get((model.name, version)) in (None, _all(model, version))


def _all(model: RepositoryModel, version: int) -> object:
    return model.stamps.get(version), _around(model)


def _around(model: RepositoryModel) -> object:
    return model.manifest.of_loading, model.beside
