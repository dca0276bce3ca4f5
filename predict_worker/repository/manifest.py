"""``model.toml``: what a model's owner says about it. Every key is optional, an unknown one is refused."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field, replace
from typing import Any

from ..core.errors import InvalidRepository
from ..core.spec import BatchPolicy, RetryPolicy
from .transforms import POST, PRE, SECTIONS, SHIPPED, Chosen, choose
from .values import FLAG, TEXT, Check, check_keys, list_of, one_of, real, whole

KINDS = ("saved_model", "keras", "h5", "tflite", "onnx", "python")
"""Kinds of artefacts, in the order in which one is chosen."""


@dataclass(frozen=True, slots=True)
class VersionPolicy:
    """Which of the versions that exist are served: the ``latest`` so many, ``specific`` ones, or ``all``."""

    policy: str = "latest"
    count: int = 1
    specific: tuple[int, ...] = ()

    def wanted(self, versions: Iterable[int]) -> tuple[int, ...]:
        """Of these, ascending."""
        ordered = sorted(versions)
        if self.policy == "latest":
            return tuple(ordered[-self.count :])
        return tuple(v for v in ordered if self.policy == "all" or v in self.specific)


@dataclass(frozen=True, slots=True)
class ShadowPolicy:
    """A version, by its number or a label, that answers a ``share`` of the traffic, too. Numbers that are
    further apart than ``tolerance`` are differences."""

    version: int | None = None
    label: str | None = None
    share: float = 1.0
    tolerance: float = 1e-6


@dataclass(frozen=True, slots=True)
class Manifest:
    """What ``model.toml`` holds. ``warmup`` names example files beside it; ``canary`` holds the shares of
    the traffic that asks for no version, by the label to whose version they go."""

    artefact: str | None = None
    inputs_finite: bool = False
    outputs_finite: bool = False
    timeout_s: float = 30.0
    queue_max_jobs: int = 10_000
    batch: BatchPolicy = field(default_factory=BatchPolicy)
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    versions: VersionPolicy = field(default_factory=VersionPolicy)
    labels: Mapping[str, int] = field(default_factory=dict)
    warmup: tuple[str, ...] = ()
    pre: Chosen | None = None
    post: Chosen | None = None
    canary: Mapping[str, float] = field(default_factory=dict)
    shadow: ShadowPolicy | None = None

    @property
    def targets(self) -> tuple[int, ...]:
        """Versions that are served whatever the policy says, ascending."""
        shadow = self.shadow.version if self.shadow else None
        return tuple(sorted({*self.labels.values(), *(() if shadow is None else (shadow,))}))

    @property
    def of_loading(self) -> Manifest:
        """What a loaded version depends on: when it changes, the version is loaded anew."""
        return replace(self, queue_max_jobs=0, versions=VersionPolicy(), labels={}, canary={}, shadow=None)


_TOP = {
    "artefact": one_of(*KINDS),
    "inputs_finite": FLAG,
    "outputs_finite": FLAG,
    "timeout_s": real(0.001),
    "queue_max_jobs": whole(1),
}
_SECTIONS: Mapping[str, Mapping[str, Check]] = {
    "batch": {
        "max_rows": whole(1),
        "max_bytes": whole(1),
        "linger_ms": real(0, 1000),  # well below the shortest lease: what lingers is not renewed
        "pad_to": list_of(whole(1)),
    },
    "retry": {
        "attempts": whole(1),
        "backoff_s": real(0, 86400),
        "max_backoff_s": real(0, 86400),
    },
    "versions": {
        "policy": one_of("latest", "specific", "all"),
        "count": whole(1),
        "specific": list_of(whole(0)),
    },
    "shadow": {"version": whole(0), "label": TEXT, "share": real(0, 1), "tolerance": real(0)},
    "transforms": {PRE: TEXT, POST: TEXT},
    **SECTIONS,
}
_BY_LABEL = {"labels": whole(0), "canary": real(0, 1)}
"""Sections whose keys are labels."""
_KNOWN = (*_TOP, *_SECTIONS, *_BY_LABEL, "warmup")
_RESERVED = frozenset({*_KNOWN, *SHIPPED[PRE], *SHIPPED[POST]})


def parse_manifest(text: str) -> Manifest:
    """Raises InvalidRepository naming the key of an unknown, mistyped or impossible value."""
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidRepository(f"model.toml: {error}") from None
    top = {key: value for key, value in content.items() if key in _TOP}
    check_keys("", top, _TOP)
    named = content.get("transforms")
    own = set(map(str, named.values())) - _RESERVED if isinstance(named, dict) else set()
    sections = {key: _section(key, value, own) for key, value in content.items() if key not in _TOP}
    batch = dict(sections.get("batch", {}))
    versions = dict(sections.get("versions", {}))
    manifest = Manifest(
        **top,
        batch=BatchPolicy(**{**batch, "pad_to": tuple(sorted(batch.get("pad_to", ())))}),
        retry=RetryPolicy(**sections.get("retry", {})),
        versions=VersionPolicy(**{**versions, "specific": tuple(versions.get("specific", ()))}),
        labels=sections.get("labels", {}),
        warmup=tuple(sections.get("warmup", {}).get("files", ())),
        pre=choose(PRE, sections, _RESERVED),
        post=choose(POST, sections, _RESERVED),
        canary=sections.get("canary", {}),
        shadow=ShadowPolicy(**sections["shadow"]) if "shadow" in sections else None,
    )
    if manifest.shadow and (manifest.shadow.version is None) == (manifest.shadow.label is None):
        raise InvalidRepository("model.toml: shadow: expected either a version or a label")
    if sum(manifest.canary.values()) > 1 + 1e-9:
        raise InvalidRepository("model.toml: canary: expected shares of 1 together at most")
    if max(manifest.batch.pad_to, default=0) > manifest.batch.max_rows:
        raise InvalidRepository("model.toml: batch.pad_to: expected no size above batch.max_rows")
    return manifest


def _section(name: str, content: Any, own: Set[str]) -> Mapping[str, Any]:
    """``own``: names of transforms of the project's apps, which check their options themselves."""
    if name == "warmup":
        return {"files": _warmup_files(content)}
    if name not in _KNOWN and name not in own:
        raise InvalidRepository(f"model.toml: unknown key {name!r}; known are {', '.join(_KNOWN)}")
    if not isinstance(content, dict):
        raise InvalidRepository(f"model.toml: {name}: expected a [{name}] table, got {content!r}")
    if name not in own:
        checks = _SECTIONS[name] if name in _SECTIONS else dict.fromkeys(content, _BY_LABEL[name])
        check_keys(f"{name}.", content, checks)
    return content


def _warmup_files(content: Any) -> list[str]:
    entries: list[Any] = content if isinstance(content, list) else [None]
    for entry in entries:
        if not isinstance(entry, dict) or "file" not in entry:
            raise InvalidRepository("model.toml: warmup: expected [[warmup]] tables with the key file")
        check_keys("warmup.", entry, {"file": TEXT})
    return [entry["file"] for entry in entries]
