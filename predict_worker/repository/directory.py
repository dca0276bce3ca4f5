"""The model repository: a directory ``NAME/VERSION/artefact``, with an optional ``NAME/model.toml``."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..core.errors import InvalidRepository, ModelNotFound
from ..core.ports import ModelEntry
from ..core.spec import MODEL_NAME
from .artefact import Artefact, choose, digest_of, files_of
from .manifest import Manifest, parse_manifest

MAX_DIGITS = 18  # a version fits 63 bits, as TensorFlow Serving's do
logger = logging.getLogger(__name__)

_Stamp = frozenset[tuple[str, int, int]]
"""Path, size and modification time of every file of a version."""


@dataclass(frozen=True, slots=True)
class RepositoryModel:
    """One model as it lies there: paths and kinds of artefact by version. ``error``: why it cannot be
    offered at all; ``refused``: why some of its versions cannot."""

    name: str
    manifest: Manifest = field(default_factory=Manifest)
    versions: Mapping[int, Path] = field(default_factory=dict)
    kinds: Mapping[int, str] = field(default_factory=dict)
    refused: Mapping[int, str] = field(default_factory=dict)
    error: str = ""

    @property
    def wanted(self) -> tuple[int, ...]:
        """The versions to serve, ascending."""
        return self.manifest.versions.wanted(self.versions)

    @property
    def artefact_kinds(self) -> frozenset[str]:
        """Of the versions to serve."""
        return frozenset(self.kinds[version] for version in self.wanted)

    @property
    def entry(self) -> ModelEntry:
        return ModelEntry(
            self.name,
            self.wanted,
            tuple(sorted(self.manifest.labels.items())),
            self.manifest.queue_max_jobs,
            self.error,
        )


class ModelRepository:
    """Reads the directory again at each :meth:`scan`.

    A version that appears later than the first scan is taken once two scans in a row see the
    same files, sizes and times: it may be half copied. Once taken it stays as long as it exists.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._models: dict[str, RepositoryModel] = {}
        self._stamps: dict[Path, _Stamp] | None = None
        self._texts: dict[str, str] = {}

    def scan(self) -> Sequence[RepositoryModel]:
        """All models by name; a broken one carries its error and hides no other.

        Raises InvalidRepository when the directory itself cannot be read.
        """
        try:
            directories = sorted(p for p in self.path.iterdir() if p.is_dir() and not p.name.startswith("."))
        except OSError as error:
            raise InvalidRepository(f"the model repository cannot be read: {error}") from None
        stamps: dict[Path, _Stamp] = {}

        def settled(version: int, path: Path) -> bool:
            stamps[path] = stamp = _stamp(path)
            known = self._models.get(path.parent.name)
            taken = known is not None and version in known.versions
            return taken or self._stamps is None or self._stamps.get(path) == stamp

        self._models = {directory.name: self._model(directory, settled) for directory in directories}
        self._stamps = stamps
        return tuple(self._models.values())

    def read(self, name: str) -> RepositoryModel:
        """One model as it is now: every version that looks complete, without waiting for another scan.

        Raises ModelNotFound.
        """
        directory = self.path / name
        if not (MODEL_NAME.match(name) and directory.is_dir()):
            raise ModelNotFound(f"no model {name!r} in the repository")
        model = self._models[name] = self._model(directory, lambda version, path: True)
        return model

    def artefact(self, name: str, version: int) -> Artefact:
        """The artefact of a version, which was there when the model was last read.

        Raises ModelNotFound; InvalidRepository when its files have gone or changed kind.
        """
        model = self._models.get(name) or self.read(name)
        if version not in model.versions:
            reason = model.error or model.refused.get(version, "not in the repository")
            raise ModelNotFound(f"model {name!r}, version {version}: {reason}")
        try:
            kind, path = choose(model.versions[version], model.manifest.artefact)
            return Artefact(kind, path, digest_of(kind, path))
        except OSError as error:
            raise InvalidRepository(f"model {name!r}, version {version}: {error}") from None

    def _model(self, directory: Path, settled: Callable[[int, Path], bool]) -> RepositoryModel:
        name = directory.name
        try:
            if not MODEL_NAME.match(name):
                raise InvalidRepository(f"a model's name matches {MODEL_NAME.pattern[:-2]}")
            manifest = self._manifest(directory)
            versions: dict[int, Path] = {}
            kinds: dict[int, str] = {}
            refused: dict[int, str] = {}
            for version, path in _version_directories(directory).items():
                try:
                    if settled(version, path):
                        kinds[version] = choose(path, manifest.artefact)[0]
                        versions[version] = path
                except (InvalidRepository, OSError) as error:
                    refused[version] = str(error)
            error_text = "" if versions else f"no version to offer {'; '.join(refused.values())}".rstrip()
            return RepositoryModel(name, manifest, versions, kinds, refused, error_text)
        except (InvalidRepository, OSError, UnicodeDecodeError) as error:
            return RepositoryModel(name, error=str(error))

    def _manifest(self, directory: Path) -> Manifest:
        path = directory / "model.toml"
        text = path.read_text("utf-8") if path.exists() else ""
        manifest = parse_manifest(text)
        if manifest.without_effect and self._texts.get(directory.name) != text:
            sections = ", ".join(manifest.without_effect)
            logger.warning(
                "model %s: these sections of model.toml have no effect: %s", directory.name, sections
            )
        self._texts[directory.name] = text
        return manifest


def _version_directories(directory: Path) -> dict[int, Path]:
    """Directories with decimal names, by number. Raises InvalidRepository for one number spelt twice."""
    found: dict[int, Path] = {}
    for path in sorted(directory.iterdir()):
        digits = path.name
        if not (digits.isascii() and digits.isdecimal() and path.is_dir()):
            continue
        if len(digits.lstrip("0")) > MAX_DIGITS:
            raise InvalidRepository(f"version {digits}: expected at most {MAX_DIGITS} digits")
        other = found.setdefault(int(digits), path)
        if other != path:
            raise InvalidRepository(f"{other.name}/ and {path.name}/ are one version")
    return found


def _stamp(version_dir: Path) -> _Stamp:
    stamps = ((path, path.stat()) for path in files_of(version_dir))
    return frozenset((str(path), stat.st_size, stat.st_mtime_ns) for path, stat in stamps)
