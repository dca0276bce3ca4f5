"""What this process knows of the models: a cached reading of the catalogue, and the choice of a version."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches

from .core.errors import ModelNotFound, StoreUnavailable
from .core.ports import CatalogueStore, CatalogueView, ModelEntry
from .core.spec import ModelRef, ModelSpec

UNKNOWN_MAX_AGE_S = 0.2
"""An unknown name makes the view be read again, at most this often."""
NAMES_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a reference means now. ``spec`` is None while no worker has published that version."""

    entry: ModelEntry
    version: int
    spec: ModelSpec | None


@dataclass(frozen=True, slots=True)
class Index:
    """A :class:`CatalogueView`, by name."""

    view: CatalogueView
    entries: Mapping[str, ModelEntry]
    specs: Mapping[str, Mapping[int, ModelSpec]]
    ready: Mapping[str, Mapping[int, int]]
    """Ready workers by model and version."""
    _newest: dict[str, Resolved] = field(default_factory=dict)

    @classmethod
    def of(cls, view: CatalogueView) -> Index:
        specs: dict[str, dict[int, ModelSpec]] = {}
        for spec in view.specs:
            specs.setdefault(spec.name, {})[spec.version] = spec
        ready: dict[str, dict[int, int]] = {}
        for worker in view.workers:
            if worker.state == "ready":
                for status in worker.models:
                    if status.state == "AVAILABLE":
                        counts = ready.setdefault(status.model, {})
                        counts[status.version] = counts.get(status.version, 0) + 1
        return cls(view, {entry.name: entry for entry in view.models}, specs, ready)

    def entry(self, name: str) -> ModelEntry:
        """Raises ModelNotFound, with the names that come near."""
        entry = self.entries.get(name)
        if entry is None:
            near = get_close_matches(name, self.entries, NAMES_SHOWN)
            hint = (
                f"did you mean {_listed(near)}?" if near else f"known models: {_listed(sorted(self.entries))}"
            )
            raise ModelNotFound(f"no model {name!r}; {hint}")
        return entry

    def resolve(self, ref: ModelRef) -> Resolved:
        """Raises ModelNotFound, with the versions or labels that exist."""
        if ref.label is not None:
            entry = self.entry(ref.name)
            return self._at(entry, _labelled(entry, ref.label))
        if ref.version is not None:
            return self._exact(self.entry(ref.name), ref.version)
        known = self._newest.get(ref.name)
        if known is None:
            entry = self.entry(ref.name)
            known = self._newest[ref.name] = self._at(entry, self._newest_version(entry))
        return known

    def _exact(self, entry: ModelEntry, version: int) -> Resolved:
        if version not in entry.versions and version not in self.ready.get(entry.name, ()):
            versions = _listed(map(str, entry.versions))
            raise ModelNotFound(f"model {entry.name!r} has no version {version}; versions: {versions}")
        return self._at(entry, version)

    def _newest_version(self, entry: ModelEntry) -> int:
        """Newest that ready workers hold, else newest with a published spec, else newest that exists."""
        published = [v for v in self.specs.get(entry.name, ()) if v in entry.versions]
        versions = self.ready.get(entry.name) or published or entry.versions
        if not versions:
            raise ModelNotFound(
                f"model {entry.name!r} cannot be offered: {entry.error or 'it has no version'}"
            )
        return max(versions)

    def _at(self, entry: ModelEntry, version: int) -> Resolved:
        return Resolved(entry, version, self.specs.get(entry.name, {}).get(version))


class Catalogue:
    """The catalogue as this process last read it: at most one reading per ``max_age_s`` seconds.

    While one thread reads, the others use the view from before; when the store does not answer,
    the last good view stays.
    """

    def __init__(
        self, store: CatalogueStore, max_age_s: float = 1.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._store, self._max_age_s, self._clock = store, max_age_s, clock
        self._reading = threading.Lock()
        self._index: Index | None = None
        self._failure = ""
        self._read_at = float("-inf")

    def view(self) -> CatalogueView:
        """Raises StoreUnavailable if there has never been a good reading."""
        return self.index().view

    def index(self) -> Index:
        """Raises StoreUnavailable if there has never been a good reading."""
        index = self._index
        if index is None:
            return self._refreshed(self._max_age_s)
        if self._clock() - self._read_at > self._max_age_s and self._reading.acquire(blocking=False):
            try:
                self._read()
            finally:
                self._reading.release()
        return self._index or index

    def entry(self, name: str) -> ModelEntry:
        """Raises ModelNotFound."""
        try:
            return self.index().entry(name)
        except ModelNotFound:
            return self._refreshed(UNKNOWN_MAX_AGE_S).entry(name)

    def resolve(self, ref: ModelRef) -> Resolved:
        """Raises ModelNotFound. A name, version or label that is unknown is looked for again at once,
        so a new model is seen soon."""
        try:
            return self.index().resolve(ref)
        except ModelNotFound:
            return self._refreshed(UNKNOWN_MAX_AGE_S).resolve(ref)

    def _refreshed(self, max_age_s: float) -> Index:
        """An index no older than that, as far as the store answers; waits for a reading under way."""
        with self._reading:
            if self._clock() - self._read_at > max_age_s:
                self._read()
            if self._index is None:
                raise StoreUnavailable(self._failure)
            return self._index

    def _read(self) -> None:
        """Under the lock. A failure counts too: a store that is away is not asked by every request."""
        try:
            self._index = Index.of(self._store.read())
        except StoreUnavailable as failure:
            self._failure = failure.detail
        self._read_at = self._clock()


def _labelled(entry: ModelEntry, label: str) -> int:
    labels = dict(entry.labels)
    if label not in labels:
        raise ModelNotFound(f"model {entry.name!r} has no label {label!r}; labels: {_listed(sorted(labels))}")
    return labels[label]


def _listed(names: Iterable[str]) -> str:
    shown = list(names)
    more = f" and {len(shown) - NAMES_SHOWN} more" if len(shown) > NAMES_SHOWN else ""
    return (", ".join(shown[:NAMES_SHOWN]) or "none") + more
