"""What is loaded in this process follows the repository: the new is loaded and warmed beside what serves,
then it answers too, and the old goes when nobody needs it any more."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext, suppress

from ..catalogue import Catalogue
from ..core.errors import ModelLoadError, ModelNotFound, StoreUnavailable
from ..core.ports import VersionStatus
from ..registry import ModelRegistry
from ..repository.directory import RepositoryModel
from ..repository.manifest import ShadowPolicy
from .attempts import Attempts
from .freeing import free
from .loads import Loads
from .served import Served
from .showing import statuses_of

log = logging.getLogger(__name__)

SCAN_S = 2.0
GRACE_S = 5.0
"""A version stays loaded for so long after nobody needs it: other processes know a little later."""
AGAIN_S = 10.0
"""A model of which nothing is loaded is tried again when a job asks for it, at most this often."""


class Follower:
    """One thread calls :meth:`turn`; any may ask. ``changed`` is called when others should hear of it;
    ``quiet`` returns when what runs now has ended. ``swapped`` hears of a model, the version that answers now
    where none is named, and the one before it."""

    def __init__(
        self,
        served: Served,
        registry: ModelRegistry,
        catalogue: Catalogue,
        loads: Loads,
        index: int,
        changed: Callable[[], None] = lambda: None,
        quiet: Callable[[], None] = lambda: None,
        swapped: Callable[[str, int, int | None], None] = lambda *_: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._served, self._registry, self._catalogue = served, registry, catalogue
        self._loads, self._index = loads, index
        self._changed, self._quiet, self._swapped, self._clock = changed, quiet, swapped, clock
        self._serving = False
        self._statuses: dict[str, tuple[VersionStatus, ...]] = {}
        self._attempts = Attempts()
        self._unneeded: dict[tuple[str, int], float] = {}  # since when
        self._answers: dict[str, int] = {}  # where no version is named
        self._asked: dict[str, float] = {}
        self._wake = threading.Event()

    def start(self) -> None:
        """Load what the last scan found: nothing is served yet."""
        self.turn(scan=False)
        self._serving = True

    def run(self, until: Callable[[], bool]) -> None:
        """Follow, in a thread of its own, until it is so."""
        due = time.monotonic() + SCAN_S
        while not until():
            woken = self._wake.wait(max(0.0, due - time.monotonic()))
            self._wake.clear()
            if not woken:
                due = time.monotonic() + SCAN_S
            try:
                self.turn(scan=not woken)
            except Exception:
                # The thread must outlive what it did not foresee: nobody else does its work.
                log.exception("the repository is not followed")

    def turn(self, scan: bool = True) -> None:
        """Bring what is loaded in line with what lies there."""
        if scan:
            self._served.scan()
        for name in dict.fromkeys((*self._served.names, *self._registry.names())):
            try:
                self._follow(name)
            except Exception:
                # What is unforeseen of one model leaves the others alone.
                log.exception("model %s is not followed", name)

    def _follow(self, name: str) -> None:
        model = self._served.model(name)
        if model is not None and model.readable:
            self._load(model)
            self._attempts.see(model)
        if model is None or model.readable:
            self._unload(name, model)
        self._show(name, model)

    # ------------------------------------------------------------ asked from other threads

    @property
    def statuses(self) -> tuple[VersionStatus, ...]:
        return tuple(status for of_model in list(self._statuses.values()) for status in of_model)

    def why_not(self, name: str) -> str:
        """Why nothing of this model is loaded."""
        errors = "; ".join(f"version {s.version}: {s.error}" for s in self._statuses.get(name, ()))
        return errors or f"no model {name!r} in the repository of this worker"

    def awaited(self, name: str, version: int | None = None) -> bool:
        """Whether this process will have the model, or that version of it, loaded soon, or will know that
        it cannot."""
        model = self._served.model(name)
        if model is None:
            return self._served.serves(name) and self._served.repository.holds(name, version)
        missing = self._wanted(model) - set(self._registry.versions(name))
        if version is None:
            return bool(missing or model.unsettled)
        if version in model.versions or version in model.refused or not model.readable:
            return version in missing
        return self._served.repository.holds(name, version)

    def shadow(self, name: str) -> tuple[int, ShadowPolicy] | None:
        """The version that shadows the model, and how."""
        model = self._served.model(name)
        policy = model.manifest.shadow if model else None
        if model is None or policy is None:
            return None
        labels = {**model.manifest.labels, **self._moved(name)}
        version = policy.version if policy.label is None else labels.get(policy.label)
        return None if version is None else (version, policy)

    def ask_again(self, name: str) -> None:
        """Nothing of it is loaded, and a job waits for it: what failed is tried once more."""
        now = self._clock()
        if now - self._asked.setdefault(name, now) >= AGAIN_S:
            self._asked[name] = now
            self._attempts.forgive(name)
            self._wake.set()

    # ------------------------------------------------------------ loading

    def _wanted(self, model: RepositoryModel) -> set[int]:
        """What is to be served: an older version in the place of one that does not load."""
        fine = {v for v in model.versions if not self._hopeless(model, v)}
        return {*model.manifest.versions.wanted(fine), *(fine & set(self._targets(model)))}

    def _targets(self, model: RepositoryModel) -> Iterable[int]:
        """Where labels point, and what shadows."""
        return (*model.manifest.targets, *self._moved(model.name).values())

    def _moved(self, name: str) -> Mapping[str, int]:
        try:
            return self._catalogue.index().view.labels.get(name, {})
        except StoreUnavailable:
            return {}

    def _hopeless(self, model: RepositoryModel, version: int) -> bool:
        loaded = version in self._registry.versions(model.name)
        return not loaded and self._attempts.error(model, version) != ""

    def _load(self, model: RepositoryModel) -> None:
        postponed: set[int] = set()
        while missing := self._missing(model) - postponed:
            version = max(missing)
            if not self._try(model, version):
                postponed.add(version)
            self._prefer(model)
        self._prefer(model)

    def _prefer(self, model: RepositoryModel) -> None:
        name, fine = model.name, [v for v in model.versions if not self._hopeless(model, v)]
        self._registry.prefer(name, model.manifest.versions.wanted(fine))
        with suppress(ModelNotFound):
            before, now = self._answers.get(name), self._registry.get(name, None).spec.version
            self._answers[name] = now
            if self._serving and now != before:
                self._swapped(name, now, before)

    def _missing(self, model: RepositoryModel) -> set[int]:
        """To be loaded, or to be loaded anew, and not about to change."""
        return {v for v in self._wanted(model) if self._due(model, v)}

    def _due(self, model: RepositoryModel, version: int) -> bool:
        loaded = version in self._registry.versions(model.name)
        if (loaded and self._attempts.current(model, version)) or self._attempts.error(model, version):
            return False
        return not self._serving or self._attempts.unchanged(model, version)

    def _try(self, model: RepositoryModel, version: int) -> bool:
        """False: it is left for later."""
        loads, name = self._loads, f"{model.name}/{version}"
        with loads.turn() if self._serving else nullcontext():
            deaths = loads.deaths(name)
            if self._serving and not deaths and loads.deaths(name, tolerated=0):
                return False  # it would end what serves well: a child that starts finds out
            error = f"its load has ended {deaths} processes in a row: it is left alone" if deaths else ""
            if not error:
                self._show(model.name, model, loading=version)
                with loads.loading(self._index, name):
                    error = self._error_of_load(model.name, version)
        if error:
            log.warning("%s", error)
            self._attempts.failed(model, version, error)
        else:
            self._attempts.loaded(model, version)
        return True

    def _error_of_load(self, name: str, version: int) -> str:
        try:
            self._registry.load(name, version)
        except ModelLoadError as error:
            return str(error)
        return ""

    # ------------------------------------------------------------ unloading

    def _unload(self, name: str, model: RepositoryModel | None) -> None:
        for version in self._surplus(name, model):
            since = self._unneeded.setdefault((name, version), self._clock())
            if self._clock() - since >= GRACE_S:
                self._registry.unload(name, version)
                self._unneeded.pop((name, version))
                self._attempts.unloaded(name, version)
                self._quiet()
                free()
                log.info("%s, version %d unloaded", name, version)

    def _surplus(self, name: str, model: RepositoryModel | None) -> list[int]:
        """Loaded versions that nobody needs any more: all that are to be served are, by every child."""
        wanted = set() if model is None else self._wanted(model)
        surplus = [v for v in self._registry.versions(name) if v not in wanted]
        gone = model is None or model.empty
        replaced = bool(wanted) and wanted <= self._everywhere(name)
        if not gone and not replaced:
            surplus = []
        for key in [k for k in self._unneeded if k[0] == name and k[1] not in surplus]:
            self._unneeded.pop(key)
        return surplus

    def _everywhere(self, name: str) -> set[int]:
        try:
            return self._catalogue.index().everywhere(name)
        except StoreUnavailable:
            return set()

    # ------------------------------------------------------------ showing

    def _show(self, name: str, model: RepositoryModel | None, loading: int | None = None) -> None:
        before, shown = self._statuses.get(name, ()), self._statuses_of(name, model, loading)
        if shown:
            self._statuses[name] = shown
        else:
            self._statuses.pop(name, None)
        if shown != before and self._serving:
            self._changed()

    def _statuses_of(
        self, name: str, model: RepositoryModel | None, loading: int | None
    ) -> tuple[VersionStatus, ...]:
        if model is None:
            held = [self._registry.get(name, version) for version in self._registry.versions(name)]
            shown = [VersionStatus(name, m.spec.version, "AVAILABLE", load_ms=m.load_ms) for m in held]
            missing = VersionStatus(name, 0, "END", f"no model {name!r} in the repository of this worker")
            return (*shown, *([missing] if name in self._served.names else ()))
        return tuple(statuses_of(model, self._registry, self._attempts, loading))
