"""One child process: loads the models once, says so, serves wake-ups."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial

from ..catalogue import Catalogue
from ..codec.dtypes import Array
from ..core.errors import ModelLoadError, ModelNotFound, PredictionError, QueueFull, StoreUnavailable
from ..core.ports import CatalogueStore, Entry, Heartbeat, JobStore, Lane, Wakeups
from ..direct import run_request
from ..executor import Executor
from ..registry import ModelRegistry
from ..service import PredictRequest
from ..signals import model_swapped, models_ready, tell, worker_draining
from .board import Board
from .counting import Counts
from .follower import Follower
from .lease import Lease
from .recycling import Recycling
from .served import Served
from .serving import Awaited, Loaded, Unavailable
from .shadow import Shadow

log = logging.getLogger(__name__)

BEAT_S = 2.0
BEAT_TTL_S = 10.0
MAX_ELSEWHERE = 10
"""A job whose version other children have loaded is left to them so often."""
_ELSEWHERE_S = 0.05
_LOAD_WAIT_S = 60.0


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
        served: Served,
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
        self._beating, self._draining = threading.Lock(), threading.Lock()
        self._begun = self._ended = 0  # batches
        self._known = Catalogue(catalogue)
        self._follower = Follower(
            *(served, registry, self._known, place.board.loads, place.index),
            changed=self._try_to_beat,
            quiet=self._await_batch,
            swapped=self._tell_swapped,
        )
        self._shadow, self._counts = Shadow(registry, self._follower.shadow), Counts()

    def start(self) -> None:
        """Load and warm; ready is said only then. A model that fails to load fails alone."""
        self._try_to_beat()
        threading.Thread(target=self._beats, name="heartbeat", daemon=True).start()
        self._follower.start()
        models = {name: self._registry.versions(name) for name in self._registry.names()}
        tell(models_ready, self._consumer, models=models)
        self._state = "ready"
        self._insist()
        follow = partial(self._follower.run, self._stopped)
        threading.Thread(target=follow, name="follower", daemon=True).start()

    def serve(self, name: str, token: str) -> None:
        """Answer a wake-up, and for the rest of the time slice what this child is rung for."""
        until = time.monotonic() + self._executor.slice_s
        rung: str | None = name
        while rung is not None:
            rung, token = self._serve(rung, token, until), ""

    def _serve(self, name: str, token: str, until: float) -> str | None:
        model = self._model(name)
        if not isinstance(model, Loaded) and self._store.stats(name).ready_children:
            time.sleep(_ELSEWHERE_S)
            self._executor.give_way(name, token)
            return None
        try:
            return self._executor.serve(name, token, model, until)
        finally:
            self._shadow.published()

    def predict(self, request: PredictRequest, max_bytes: int) -> dict[str, Array]:
        """Run a request now, without the store. Raises as :func:`run_request` does, and ModelLoadError."""
        name = request.ref.name
        model, until = self._model(name), time.monotonic() + _LOAD_WAIT_S
        while isinstance(model, Awaited) and time.monotonic() < until:
            time.sleep(_ELSEWHERE_S)
            model = self._model(name)
        if not isinstance(model, Loaded):
            raise model.error
        resolve, limited = partial(self._registry.get, name), partial(self._limited, name)
        return run_request(resolve, request, max_bytes, limited)

    def beat(self) -> None:
        """Publish this child's state and what it has loaded (again, in case Redis has lost it)."""
        with self._beating:
            if not self._stopped():
                self._catalogue.publish_specs(self._registry.specs())
                self._catalogue.beat(self._heartbeat(), BEAT_TTL_S)

    def stop(self) -> None:
        self._tell_draining()
        with self._beating:
            self._state = "stopped"
            self._catalogue.beat(self._heartbeat(), BEAT_TTL_S)
            self._catalogue.leave(self._consumer)

    def recycles(self, bounds: Recycling) -> bool:
        """Whether another child is to take its place, now that no task runs. A load that is under way ends
        first: its process must not seem to have died of it."""
        loading = any(status.state == "LOADING" for status in self._follower.statuses)
        return not loading and bounds.due(self._ended)

    def _stopped(self) -> bool:
        return self._state == "stopped"

    def _heartbeat(self) -> Heartbeat:
        models, state = self._follower.statuses, self._state
        if state == "ready" and self._place.board.draining:
            state = "draining"
        elif state == "ready" and models and all(status.state == "END" for status in models):
            state = "unhealthy"
        return Heartbeat(
            consumer=self._consumer,
            host=socket.gethostname(),
            pid=os.getpid(),
            state=state,
            started_us=self._started_us,
            models=models,
            loads=self._registry.loads,
            batches=self._executor.batches,
            shadows=self._shadow.counts,
            served=self._counts.all,
        )

    def _beats(self) -> None:
        pause = threading.Event()
        while not pause.wait(BEAT_S) and not self._stopped():
            if self._place.board.draining:
                self._tell_draining()
            self._try_to_beat()

    def _tell_draining(self) -> None:
        if self._draining.acquire(blocking=False):  # the first who sees it; nobody gives it back
            tell(worker_draining, self._consumer)

    def _tell_swapped(self, model: str, version: int, before: int | None) -> None:
        tell(model_swapped, self._consumer, model=model, version=version, before=before)

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

    def _model(self, name: str) -> Loaded | Awaited | Unavailable:
        with suppress(ModelNotFound):
            return Loaded(self._registry, name, partial(self._awaited, name), self._shadow, self._counts)
        self._follower.ask_again(name)
        if self._follower.awaited(name):
            return Awaited(name)
        return Unavailable(ModelLoadError(self._follower.why_not(name)))

    def _awaited(self, name: str, version: int, postponed: int) -> bool:
        """Whether a version that is not loaded here will be, or is elsewhere."""
        if self._follower.awaited(name, version):
            return True
        try:
            return postponed < MAX_ELSEWHERE and version in self._known.index().ready.get(name, {})
        except StoreUnavailable:
            return False

    def _await_batch(self) -> None:
        """What runs now has ended then."""
        begun = self._begun
        while self._ended < begun:
            time.sleep(_ELSEWHERE_S)

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
        self._begun += 1
        try:
            yield
        finally:
            self._ended += 1
            board.clear(index)
