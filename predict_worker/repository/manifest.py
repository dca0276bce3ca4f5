"""``model.toml``: what a model's owner says about it. Every key is optional, an unknown one is refused."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..core.errors import InvalidRepository
from ..core.spec import BatchPolicy

KINDS = ("saved_model", "keras", "h5", "tflite", "onnx", "python")
"""Kinds of artefacts, in the order in which one is chosen."""


@dataclass(frozen=True, slots=True)
class VersionPolicy:
    """Which of the versions that exist are served: the ``latest`` so many, ``specific`` ones, or ``all``."""

    policy: str = "latest"
    count: int = 1
    specific: tuple[int, ...] = ()

    def wanted(self, versions: Mapping[int, Any]) -> tuple[int, ...]:
        """Ascending."""
        ordered = sorted(versions)
        if self.policy == "latest":
            return tuple(ordered[-self.count :])
        return tuple(v for v in ordered if self.policy == "all" or v in self.specific)


@dataclass(frozen=True, slots=True)
class Manifest:
    """What ``model.toml`` holds. ``warmup`` names example files beside it, ``.npy`` or ``.npz``;
    ``without_effect`` the sections given that are only checked."""

    artefact: str | None = None
    inputs_finite: bool = False
    outputs_finite: bool = False
    timeout_s: float = 30.0
    queue_max_jobs: int = 10_000
    batch: BatchPolicy = field(default_factory=BatchPolicy)
    versions: VersionPolicy = field(default_factory=VersionPolicy)
    labels: Mapping[str, int] = field(default_factory=dict)
    warmup: tuple[str, ...] = ()
    without_effect: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Check:
    expected: str
    accepts: Callable[[Any], bool]


def _whole(minimum: int) -> _Check:
    return _Check(f"a whole number of {minimum} or more", lambda v: type(v) is int and v >= minimum)


def _real(minimum: float, maximum: float = math.inf) -> _Check:
    bounds = (
        f"a number of {minimum:g} or more"
        if math.isinf(maximum)
        else f"a number of {minimum:g} to {maximum:g}"
    )
    return _Check(bounds, lambda v: type(v) in (int, float) and minimum <= v <= maximum and math.isfinite(v))


def _one_of(*words: str) -> _Check:
    return _Check("one of " + ", ".join(words), lambda v: v in words)


def _list_of(check: _Check) -> _Check:
    return _Check(
        f"a list, each {check.expected}", lambda v: isinstance(v, list) and all(map(check.accepts, v))
    )


_FLAG = _Check("true or false", lambda v: isinstance(v, bool))
_TEXT = _Check("a text", lambda v: isinstance(v, str) and v != "")
_TOP = {
    "artefact": _one_of(*KINDS),
    "inputs_finite": _FLAG,
    "outputs_finite": _FLAG,
    "timeout_s": _real(0.001),
    "queue_max_jobs": _whole(1),
}
_SECTIONS: Mapping[str, Mapping[str, _Check]] = {
    "batch": {
        "max_rows": _whole(1),
        "max_bytes": _whole(1),
        "linger_ms": _real(0, 1000),  # well below the shortest lease: what lingers is not renewed
        "pad_to": _list_of(_whole(1)),
    },
    "versions": {
        "policy": _one_of("latest", "specific", "all"),
        "count": _whole(1),
        "specific": _list_of(_whole(0)),
    },
    "transforms": {"pre": _TEXT, "post": _TEXT},
    "image": {"input": _TEXT, "height": _whole(1), "width": _whole(1), "channels": _whole(1), "scale": _TEXT},
}
_BY_LABEL = {"labels": _whole(0), "canary": _real(0, 1)}
"""Sections whose keys are labels."""
_WITHOUT_EFFECT = ("canary", "transforms", "image")


def parse_manifest(text: str) -> Manifest:
    """Raises InvalidRepository naming the key of an unknown, mistyped or impossible value."""
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidRepository(f"model.toml: {error}") from None
    top = {key: value for key, value in content.items() if key in _TOP}
    _check_keys("", top, _TOP)
    sections = {key: _section(key, value) for key, value in content.items() if key not in _TOP}
    batch = dict(sections.get("batch", {}))
    versions = dict(sections.get("versions", {}))
    manifest = Manifest(
        **top,
        batch=BatchPolicy(**{**batch, "pad_to": tuple(sorted(batch.get("pad_to", ())))}),
        versions=VersionPolicy(**{**versions, "specific": tuple(versions.get("specific", ()))}),
        labels=sections.get("labels", {}),
        warmup=tuple(sections.get("warmup", {}).get("files", ())),
        without_effect=tuple(name for name in _WITHOUT_EFFECT if name in sections),
    )
    if max(manifest.batch.pad_to, default=0) > manifest.batch.max_rows:
        raise InvalidRepository("model.toml: batch.pad_to: expected no size above batch.max_rows")
    return manifest


def _section(name: str, content: Any) -> Mapping[str, Any]:
    if name == "warmup":
        return {"files": _warmup_files(content)}
    if name not in _SECTIONS and name not in _BY_LABEL:
        known = ", ".join((*_TOP, *_SECTIONS, *_BY_LABEL, "warmup"))
        raise InvalidRepository(f"model.toml: unknown key {name!r}; known are {known}")
    if not isinstance(content, dict):
        raise InvalidRepository(f"model.toml: {name}: expected a [{name}] table, got {content!r}")
    checks = _SECTIONS[name] if name in _SECTIONS else dict.fromkeys(content, _BY_LABEL[name])
    _check_keys(f"{name}.", content, checks)
    return content


def _warmup_files(content: Any) -> list[str]:
    entries: list[Any] = content if isinstance(content, list) else [None]
    for entry in entries:
        if not isinstance(entry, dict) or "file" not in entry:
            raise InvalidRepository("model.toml: warmup: expected [[warmup]] tables with the key file")
        _check_keys("warmup.", entry, {"file": _TEXT})
    return [entry["file"] for entry in entries]


def _check_keys(prefix: str, content: Mapping[str, Any], checks: Mapping[str, _Check]) -> None:
    for key, value in content.items():
        if key not in checks:
            raise InvalidRepository(
                f"model.toml: unknown key {prefix + key!r}; known are {', '.join(checks)}"
            )
        if not checks[key].accepts(value):
            raise InvalidRepository(
                f"model.toml: {prefix}{key}: expected {checks[key].expected}, got {value!r}"
            )
