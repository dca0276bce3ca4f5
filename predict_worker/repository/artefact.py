"""Which artefact a version's directory holds, and its digest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..core.errors import InvalidRepository
from .manifest import KINDS

_SUFFIX = {"keras": ".keras", "h5": ".h5", "tflite": ".tflite", "onnx": ".onnx", "python": ".py"}
_SAVED_MODEL = ("saved_model.pb", "saved_model.pbtxt")
_SAVED_MODEL_PARTS = (
    *_SAVED_MODEL,
    *("variables", "assets", "assets.extra", "fingerprint.pb", "keras_metadata.pb"),
)


@dataclass(frozen=True, slots=True)
class Artefact:
    """One loadable thing: a SavedModel's directory, or a file."""

    kind: str
    path: Path
    digest: str


def choose(version_dir: Path, wanted: str | None = None) -> tuple[str, Path]:
    """Kind and path of the artefact, ``wanted`` if given, else the first that exists in the order
    of :data:`KINDS`; a ``.tflite`` beside another is an optimised copy and must be asked for.

    Raises InvalidRepository when there is none, or several of the kind.
    """
    names = sorted(path.name for path in files_of(version_dir, recurse=False))
    found = [kind for kind in KINDS if _candidates(kind, names)]
    if wanted is None:
        others = [kind for kind in found if kind != "tflite"]
        wanted = next(iter(others or found), None)
    if wanted not in found:
        raise InvalidRepository(f"no artefact{f' of kind {wanted}' if wanted else ''} in {version_dir.name}/")
    candidates = _candidates(wanted, names)
    if wanted == "saved_model":
        return wanted, version_dir
    if len(candidates) > 1:
        raise InvalidRepository(f"{version_dir.name}/ holds several: {', '.join(candidates)}")
    return wanted, version_dir / candidates[0]


def _candidates(kind: str, names: list[str]) -> list[str]:
    if kind == "saved_model":
        return [name for name in names if name in _SAVED_MODEL]
    usual = f"model{_SUFFIX[kind]}"
    return [usual] if usual in names else [name for name in names if name.endswith(_SUFFIX[kind])]


def digest_of(kind: str, path: Path) -> str:
    """``sha256:`` and the SHA-256 over the sorted (path, SHA-256) of the artefact's files.

    Those of a Python or ONNX model are all that lie beside it: the latter may keep its weights there.
    """
    root = path if kind == "saved_model" else path.parent
    if kind == "saved_model":
        files = [f for f in files_of(root) if f.relative_to(root).parts[0] in _SAVED_MODEL_PARTS]
    else:
        files = list(files_of(root)) if kind in ("python", "onnx") else [path]
    total = hashlib.sha256()
    for name, file in sorted((file.relative_to(root).as_posix(), file) for file in files):
        total.update(f"{name}\0{_sha256(file)}\n".encode())
    return f"sha256:{total.hexdigest()}"


def files_of(directory: Path, recurse: bool = True) -> Iterator[Path]:
    """Files, without dot-names and Python's caches."""
    for path in directory.iterdir():
        if path.name.startswith(".") or path.name == "__pycache__":
            continue
        if not path.is_dir():
            yield path
        elif recurse:
            yield from files_of(path)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
