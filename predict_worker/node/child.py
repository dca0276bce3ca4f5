"""One child process: loads the models once, says so, serves wake-ups."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from ..codec.dtypes import Array
from ..core.errors import ModelLoadError, PredictionError, QueueFull, StoreUnavailable
from ..core.ports import CatalogueStore, Entry, Heartbeat, JobStore, Lane, VersionStatus, Wakeups
from ..direct import run_request
from ..executor import Executor
from ..registry import ModelRegistry
from ..service import PredictRequest
from .board import Board
from .lease import Lease
from .serving import Loaded, Unavailable

log = logging.getLogger(__name__)

BEAT_S = 2.0
BEAT_TTL_S = 10.0
RELOAD_S = 10.0
"""A model that failed to load is tried again when a job asks for it, at most this often."""
_ELSEWHERE_S = 0.05


@dataclass(frozen=True, slots=True)
class Place:
    """Where a child stands: its node, its index in the pool, the node's board."""

    node: str
    index: int
    board: Board

    @property
    def consumer(self) -> str:
        return f"{self.node}:{os.getpid()}"


class Child:
    """Made after the fork, in the child."""

    def __init__(
        self,
        place: Place,
        store: JobStore,
        catalogue: CatalogueStore,
        wakeups: Wakeups,
        registry: ModelRegistry,
        *,
        lease_s: float,
        slice_s: float,
    ) -> None:
        self._place, self._store, self._catalogue, self._registry = place, store, catalogue, registry
        self._consumer = place.consumer
        self._lease = Lease(store, lease_s)
        self._executor = Executor(
            store, wakeups, self._consumer, self._watch, slice_s, draining=lambda: place.board.draining
        )
        self._state = "starting"
        self._started_us = time.time_ns() // 1000
        self._statuses: dict[str, tuple[VersionStatus, ...]] = {}
        self._tried: dict[str, float] = {}

    def start(self, models: Sequence[str]) -> None:
        """Load and warm; ready is said only then. A model that fails to load fails alone."""
        for name in models:
            self._load(name)
        loaded = any(s.state == "AVAILABLE" for statuses in self._statuses.values() for s in statuses)
        self._state = "ready" if loaded or not models else "unhealthy"
        self._insist()
        threading.Thread(target=self._beats, name="heartbeat", daemon=True).start()

    def serve(self, name: str, token: str) -> None:
        """Answer a wake-up, and for the rest of the time slice what this child is rung for."""
        until = time.monotonic() + self._executor.slice_s
        rung: str | None = name
        while rung is not None:
            rung, token = self._serve(rung, token, until), ""

    def _serve(self, name: str, token: str, until: float) -> str | None:
        model = self._model(name)
        if isinstance(model, Unavailable) and self._store.stats(name).ready_children:
            time.sleep(_ELSEWHERE_S)
            self._executor.give_way(name, token)
            return None
        return self._executor.serve(name, token, model, until)

    def predict(self, request: PredictRequest, max_bytes: int) -> dict[str, Array]:
        """Run a request now, without the store. Raises as :func:`run_request` does, and ModelLoadError."""
        name = request.ref.name
        model = self._model(name)
        if isinstance(model, Unavailable):
            raise model.error
        resolve, limited = partial(self._registry.get, name), partial(self._limited, name)
        return run_request(resolve, request, max_bytes, limited)

    def beat(self) -> None:
        """Publish this child's state and what it has loaded (again, in case Redis has lost it)."""
        self._catalogue.publish_specs(self._registry.specs())
        state = "draining" if self._place.board.draining else self._state
        self._catalogue.beat(self._heartbeat(state), BEAT_TTL_S)

    def stop(self) -> None:
        self._state = "stopped"
        self._catalogue.beat(self._heartbeat("stopped"), BEAT_TTL_S)
        self._catalogue.leave(self._consumer)

    def _heartbeat(self, state: str) -> Heartbeat:
        return Heartbeat(
            consumer=self._consumer,
            host=socket.gethostname(),
            pid=os.getpid(),
            state=state,
            started_us=self._started_us,
            models=tuple(s for statuses in list(self._statuses.values()) for s in statuses),
            loads=self._registry.loads,
            batches=self._executor.batches,
        )

    def _beats(self) -> None:
        pause = threading.Event()
        while not pause.wait(BEAT_S) and self._state != "stopped":
            self._try_to_beat()

    def _try_to_beat(self) -> None:
        try:
            self.beat()
        except PredictionError as error:
            log.warning("heartbeat not published: %s", error)
        except Exception:
            # The thread must outlive what it did not foresee, or the child looks dead.
            log.exception("heartbeat not published")

    def _insist(self) -> None:
        """A child that cannot reach the store yet waits for it: its models are loaded all the same.
        One that is full takes no heartbeat, but its jobs want to be served."""
        while True:
            try:
                return self.beat()
            except QueueFull as error:
                return log.warning("heartbeat not published: %s", error)
            except StoreUnavailable as error:
                log.warning("child waits for the store: %s", error)
                time.sleep(0.5)

    def _load(self, name: str) -> None:
        self._tried[name] = time.monotonic()
        loads = self._place.board.loads
        if deaths := loads.deaths(name):
            error = f"its load has ended {deaths} processes in a row: it is left alone for a while"
            self._statuses[name] = (VersionStatus(name, 0, "END", error),)
            return
        with loads.loading(self._place.index, name):
            self._statuses[name] = tuple(self._registry.load_model(name))

    def _model(self, name: str) -> Loaded | Unavailable:
        if (
            not self._registry.versions(name)
            and time.monotonic() - self._tried.get(name, -RELOAD_S) >= RELOAD_S
        ):
            self._load(name)
            self._try_to_beat()
        if self._registry.versions(name):
            return Loaded(self._registry, name)
        errors = "; ".join(f"version {s.version}: {s.error}" for s in self._statuses[name])
        return Unavailable(ModelLoadError(errors or f"no model {name!r} in the repository of this worker"))

    @contextmanager
    def _watch(self, lane: Lane, entries: Sequence[Entry]) -> Iterator[None]:
        with self._limited(lane.model), self._lease.holding(lane, entries):
            yield

    @contextmanager
    def _limited(self, model: str) -> Iterator[None]:
        """The parent kills this child if the batch outruns its hard limit."""
        board, index = self._place.board, self._place.index
        if self._registry.versions(model):
            board.limit(index, self._registry.timeout_s(model))
        try:
            yield
        finally:
            board.clear(index)
