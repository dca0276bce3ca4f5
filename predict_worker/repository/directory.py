"""The model repository: a directory ``NAME/VERSION/artefact``, with an optional ``NAME/model.toml``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..core.errors import InvalidRepository, ModelNotFound
from ..core.ports import ModelEntry
from ..core.spec import MODEL_NAME
from .artefact import Artefact, choose, digest_of, files_of
from .manifest import Manifest, parse_manifest

MAX_DIGITS = 18  # a version fits 63 bits, as TensorFlow Serving's do

Stamp = frozenset[tuple[str, int, int]]
"""Path, size and modification time of files: equal ones are taken for unchanged."""


@dataclass(frozen=True, slots=True)
class RepositoryModel:
    """One model as it lies there: paths and kinds of artefact by version. ``error``: why it cannot be
    offered at all; ``refused``: why some of its versions cannot. ``unsettled`` versions may be half copied;
    ``beside`` stamps what lies beside ``model.toml``. Not ``readable``: nothing is known of its versions."""

    name: str
    manifest: Manifest = field(default_factory=Manifest)
    versions: Mapping[int, Path] = field(default_factory=dict)
    kinds: Mapping[int, str] = field(default_factory=dict)
    refused: Mapping[int, str] = field(default_factory=dict)
    error: str = ""
    unsettled: tuple[int, ...] = ()
    stamps: Mapping[int, Stamp] = field(default_factory=dict)
    beside: Stamp = frozenset()
    readable: bool = True

    @property
    def wanted(self) -> tuple[int, ...]:
        """The versions to serve by the policy, ascending."""
        return self.manifest.versions.wanted(self.versions)

    @property
    def labelled(self) -> tuple[int, ...]:
        """Versions that are to be served because labels of ``model.toml`` point to them."""
        return tuple(v for v in self.manifest.targets if v in self.versions)

    @property
    def artefact_kinds(self) -> frozenset[str]:
        """Of the versions to serve."""
        return frozenset(self.kinds[version] for version in (*self.wanted, *self.labelled))

    @property
    def empty(self) -> bool:
        """There is no version, not even one that cannot be offered."""
        return self.readable and not (self.versions or self.refused or self.unsettled)

    @property
    def entry(self) -> ModelEntry:
        return ModelEntry(
            self.name,
            self.wanted,
            tuple((label, v) for label, v in sorted(self.manifest.labels.items()) if v in self.versions),
            self.manifest.queue_max_jobs,
            self.error,
            canary=tuple(sorted(self.manifest.canary.items())),
        )


class ModelRepository:
    """Reads the directory again at each :meth:`scan`.

    A version that appears later than the first scan is taken once two scans in a row see the
    same files, sizes and times: it may be half copied. Once taken it stays as long as it exists.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._models: dict[str, RepositoryModel] = {}
        self._stamps: dict[Path, Stamp] | None = None

    def scan(self) -> Sequence[RepositoryModel]:
        """All models by name; a broken one carries its error and hides no other.

        Raises InvalidRepository when the directory itself cannot be read.
        """
        try:
            directories = sorted(p for p in self.path.iterdir() if p.is_dir() and not p.name.startswith("."))
        except OSError as error:
            raise InvalidRepository(f"the model repository cannot be read: {error}") from None
        stamps: dict[Path, Stamp] = {}

        def settled(version: int, path: Path, stamp: Stamp) -> bool:
            stamps[path] = stamp
            known = self._models.get(path.parent.name)
            taken = known is not None and version in known.versions
            return taken or self._stamps is None or self._stamps.get(path) == stamp

        self._models = {directory.name: self._model(directory, settled) for directory in directories}
        self._stamps = stamps
        return tuple(self._models.values())

    def holds(self, name: str, version: int | None = None) -> bool:
        """Whether the model, or that version of it, lies there now, seen by a scan or not."""
        directory = self.path / name
        try:
            if not (MODEL_NAME.match(name) and directory.is_dir()):
                return False
            return version is None or version in _version_directories(directory)
        except (InvalidRepository, OSError):
            return False

    def model(self, name: str) -> RepositoryModel:
        """As last scanned; else as it is now, with every version that looks complete.

        Raises ModelNotFound.
        """
        if name not in self._models:
            if not self.holds(name):
                raise ModelNotFound(f"no model {name!r} in the repository")
            self._models[name] = self._model(self.path / name, lambda *_: True)
        return self._models[name]

    def artefact(self, name: str, version: int) -> Artefact:
        """The artefact of a version, which was there when the model was last read.

        Raises ModelNotFound; InvalidRepository when its files have gone or changed kind.
        """
        model = self.model(name)
        if version not in model.versions:
            reason = model.error or model.refused.get(version, "not in the repository")
            raise ModelNotFound(f"model {name!r}, version {version}: {reason}")
        try:
            kind, path = choose(model.versions[version], model.manifest.artefact)
            return Artefact(kind, path, digest_of(kind, path))
        except OSError as error:
            raise InvalidRepository(f"model {name!r}, version {version}: {error}") from None

    def _model(self, directory: Path, settled: Callable[[int, Path, Stamp], bool]) -> RepositoryModel:
        name = directory.name
        try:
            if not MODEL_NAME.match(name):
                raise InvalidRepository(f"a model's name matches {MODEL_NAME.pattern[:-2]}")
            manifest = self._manifest(directory)
            versions: dict[int, Path] = {}
            kinds: dict[int, str] = {}
            refused: dict[int, str] = {}
            stamps: dict[int, Stamp] = {}
            unsettled: list[int] = []
            for version, path in _version_directories(directory).items():
                try:
                    stamps[version] = _stamp(files_of(path))
                    if settled(version, path, stamps[version]):
                        kinds[version] = choose(path, manifest.artefact)[0]
                        versions[version] = path
                    else:
                        unsettled.append(version)
                except (InvalidRepository, OSError) as error:
                    refused[version] = str(error)
            why_none = "; ".join((*refused.values(), *("it may be half copied" for _ in unsettled)))
            error_text = "" if versions else f"no version to offer {why_none}".rstrip()
            beside = _stamp(f for f in files_of(directory, recurse=False) if f.name != "model.toml")
            return RepositoryModel(
                name, manifest, versions, kinds, refused, error_text, tuple(unsettled), stamps, beside
            )
        except (InvalidRepository, OSError, UnicodeDecodeError) as error:
            return RepositoryModel(name, error=str(error), readable=False)

    def _manifest(self, directory: Path) -> Manifest:
        path = directory / "model.toml"
        text = path.read_text("utf-8") if path.exists() else ""
        return parse_manifest(text)


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


def _stamp(files: Iterable[Path]) -> Stamp:
    stamps = ((path, path.stat()) for path in files)
    return frozenset((str(path), stat.st_size, stat.st_mtime_ns) for path, stat in stamps)
