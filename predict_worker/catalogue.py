"""What this process knows of the models: a cached reading of the catalogue, and the choice of a version."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import partial

from .core.errors import ModelNotFound, StoreUnavailable
from .core.inbox import apart
from .core.ports import CatalogueStore, CatalogueView, ModelEntry
from .core.spec import ModelRef, ModelSpec

UNKNOWN_MAX_AGE_S = 0.2
"""An unknown name makes the view be read again, at most this often."""
NAMES_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a reference means now. ``spec`` is None while no worker has published that version. Not
    ``settled``: ready workers hold different versions, and each had better run its own newest."""

    entry: ModelEntry
    version: int
    spec: ModelSpec | None
    settled: bool = True


@dataclass(frozen=True, slots=True)
class Index:
    """A :class:`CatalogueView`, by name."""

    view: CatalogueView
    entries: Mapping[str, ModelEntry]
    specs: Mapping[str, Mapping[int, ModelSpec]]
    ready: Mapping[str, Mapping[int, int]]
    """Ready workers by model and version."""
    holders: Mapping[str, int]
    """Ready workers that hold any version of a model."""
    _newest: dict[str, Resolved] = field(default_factory=dict)

    @classmethod
    def of(cls, view: CatalogueView) -> Index:
        specs: dict[str, dict[int, ModelSpec]] = {}
        for spec in view.specs:
            specs.setdefault(spec.name, {})[spec.version] = spec
        ready: dict[str, Counter[int]] = {}
        holders: Counter[str] = Counter()
        for worker in view.workers:
            held = [s for s in worker.models if s.state == "AVAILABLE"] if worker.state == "ready" else []
            for status in held:
                ready.setdefault(status.model, Counter())[status.version] += 1
            holders.update({status.model for status in held})
        entries = {entry.name: _with_moved(entry, view.labels.get(entry.name)) for entry in view.models}
        return cls(view, entries, specs, ready, holders)

    def everywhere(self, name: str) -> set[int]:
        """Versions that every ready worker holds that holds any of the model."""
        return {v for v, count in self.ready.get(name, {}).items() if count == self.holders[name]}

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

    def resolve(self, ref: ModelRef, share: float = 1.0) -> Resolved:
        """``share`` from 0 to 1 decides between the newest version and those of the canary's labels.

        Raises ModelNotFound, with the versions or labels that exist.
        """
        if ref.label is not None:
            return self._labelled(self.entry(ref.name), ref.label)
        if ref.version is not None:
            return self._exact(self.entry(ref.name), ref.version)
        known = self._newest.get(ref.name)
        if known is None:
            entry = self.entry(ref.name)
            known = self._newest[ref.name] = self._newest_of(entry)
        return self._canary(known, share) if known.entry.canary else known

    def _canary(self, newest: Resolved, share: float) -> Resolved:
        """The version of the label in whose part of the traffic this job falls, where all workers hold it."""
        entry, labels, upto = newest.entry, dict(newest.entry.labels), 0.0
        for label, part in entry.canary:
            upto += part
            if share < upto:
                version = labels.get(label)
                return self._at(entry, version) if version in self.everywhere(entry.name) else newest
        return newest

    def _labelled(self, entry: ModelEntry, label: str) -> Resolved:
        labels, ready = dict(entry.labels), self.ready.get(entry.name)
        if label not in labels:
            known = _listed(sorted(labels))
            raise ModelNotFound(f"model {entry.name!r} has no label {label!r}; labels: {known}")
        version, moved = labels[label], label in self.view.labels.get(entry.name, {})
        if moved and ready and version not in ready:
            text = f"label {label!r} of model {entry.name!r} was moved to version {version}"
            raise ModelNotFound(f"{text}, which no worker has loaded any more")
        return self._at(entry, version)

    def _exact(self, entry: ModelEntry, version: int) -> Resolved:
        labelled = dict(entry.labels).values()
        if not any(version in known for known in (entry.versions, labelled, self.ready.get(entry.name, ()))):
            versions = _listed(map(str, entry.versions))
            raise ModelNotFound(f"model {entry.name!r} has no version {version}; versions: {versions}")
        return self._at(entry, version)

    def _newest_of(self, entry: ModelEntry) -> Resolved:
        """The newest version that all ready workers of the model hold, else the newest with a published spec,
        else the newest that exists. One that is to be served comes before one that is still loaded."""
        ready, everywhere = self.ready.get(entry.name), self.everywhere(entry.name)
        published = [v for v in self.specs.get(entry.name, ()) if v in entry.versions]
        to_serve = everywhere.intersection(entry.versions)
        versions = to_serve or everywhere or ready or published or entry.versions
        if not versions:
            raise ModelNotFound(
                f"model {entry.name!r} cannot be offered: {entry.error or 'it has no version'}"
            )
        return replace(self._at(entry, max(versions)), settled=bool(everywhere or not ready))

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
        if self._clock() - self._read_at > self._max_age_s and not self._reading.locked():
            apart(self._renew)
        return self._index or index

    def entry(self, name: str) -> ModelEntry:
        """Raises ModelNotFound."""
        try:
            return self.index().entry(name)
        except ModelNotFound:
            return self._refreshed(UNKNOWN_MAX_AGE_S).entry(name)

    def resolve(self, ref: ModelRef, share: float = 1.0) -> Resolved:
        """As :meth:`Index.resolve`. A name, version or label that is unknown is looked for again at once,
        so a new model is seen soon."""
        try:
            return self.index().resolve(ref, share)
        except ModelNotFound:
            return self._refreshed(UNKNOWN_MAX_AGE_S).resolve(ref, share)

    def now(self) -> Index:
        """As it is at this moment, as far as the store answers."""
        return self._refreshed(-1.0)

    def move_label(self, name: str, label: str, version: int | None) -> Index:
        """See :meth:`CatalogueStore.move_label`; the catalogue after that. Raises StoreUnavailable."""
        self._store.move_label(name, label, version)
        return self.now()

    def _refreshed(self, max_age_s: float) -> Index:
        """An index no older than that, as far as the store answers; waits for a reading under way."""
        return apart(partial(self._renewed, max_age_s))

    def _renewed(self, max_age_s: float) -> Index:
        with self._reading:
            if self._clock() - self._read_at > max_age_s:
                self._read()
            if self._index is None:
                raise StoreUnavailable(self._failure)
            return self._index

    def _renew(self) -> None:
        """Unless another thread is at it."""
        if self._reading.acquire(blocking=False):
            try:
                self._read()
            finally:
                self._reading.release()

    def _read(self) -> None:
        """Under the lock. A failure counts too: a store that is away is not asked by every request."""
        try:
            self._index = Index.of(self._store.read())
        except StoreUnavailable as failure:
            self._failure = failure.detail
        self._read_at = self._clock()


def _with_moved(entry: ModelEntry, moved: Mapping[str, int] | None) -> ModelEntry:
    """With the labels that were moved where they point now."""
    return replace(entry, labels=tuple(sorted({**dict(entry.labels), **moved}.items()))) if moved else entry


def _listed(names: Iterable[str]) -> str:
    shown = list(names)
    more = f" and {len(shown) - NAMES_SHOWN} more" if len(shown) > NAMES_SHOWN else ""
    return (", ".join(shown[:NAMES_SHOWN]) or "none") + more
