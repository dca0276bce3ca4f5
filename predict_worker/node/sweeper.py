"""The parent's thread beside the event loop: sweeps the queues and recovers what the dead held."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial

from ..core.errors import PredictionError, QueueFull
from ..core.ports import CatalogueStore, Heartbeat, JobStore, Loss, Wakeups
from ..core.wake import wake
from .pruning import prune

log = logging.getLogger(__name__)

SWEEP_S = 0.5
PRUNE_S = 5.0
NODE_TTL_S = 5.0
"""A node silent for so long is lost, with all its children."""


class Sweeper:
    """Every node beats and recovers its own dead children; one of all nodes at a time sweeps for all."""

    def __init__(
        self,
        store: JobStore,
        catalogue: CatalogueStore,
        wakeups: Wakeups,
        node: str,
        served: Callable[[], Iterable[str]],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store, self._catalogue, self._wakeups = store, catalogue, wakeups
        self._node, self._served, self._monotonic = node, served, monotonic
        self._beat_due = self._judges_from = self._prune_due = 0.0
        self._lost: queue.SimpleQueue[tuple[str, Loss]] = queue.SimpleQueue()
        self._trouble: Callable[[], Heartbeat | None] = lambda: None
        self._shown = ""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sweeper", daemon=True)

    def start(self, trouble: Callable[[], Heartbeat | None] = lambda: None) -> None:
        """``trouble`` says what is wrong with the node itself, to be shown as long as it is."""
        self._trouble = trouble
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread after the deaths it has been told of."""
        self._stopping.set()
        self._lost.put(("", Loss.HANDBACK))
        self._thread.join(timeout=5)

    def child_lost(self, consumer: str, loss: Loss) -> None:
        """May be called from the event loop: returns at once."""
        self._lost.put((consumer, loss))

    def _run(self) -> None:
        due = 0.0
        while True:
            consumer = ""
            with suppress(queue.Empty):
                consumer, loss = self._lost.get(timeout=max(0.0, due - time.monotonic()))
            if consumer:
                self._attempt(partial(self._recover_child, consumer, loss))
            elif self._stopping.is_set():
                return
            if time.monotonic() >= due:
                self._attempt(self.sweep)
                due = time.monotonic() + SWEEP_S

    def _attempt(self, work: Callable[[], None]) -> None:
        try:
            work()
        except PredictionError as error:
            log.warning("sweeper: %s", error)
        except Exception:
            # The thread must outlive what it did not foresee: nobody else does its work.
            log.exception("sweeper")

    def _recover_child(self, consumer: str, loss: Loss) -> None:
        try:
            self.recover(consumer, loss)
            self._catalogue.leave(consumer)
        except PredictionError:
            self._lost.put((consumer, loss))
            time.sleep(SWEEP_S)
            raise

    def recover(self, consumer: str, loss: Loss) -> None:
        """A consumer, or with a trailing colon a whole node, is lost: rerun what it held."""
        self._each_model(partial(self._recover_model, consumer, loss))

    def sweep(self) -> None:
        self._beat()
        if not self._catalogue.sweeping(self._node, 4 * SWEEP_S):
            return
        if self._monotonic() >= self._judges_from:
            for node in self._catalogue.lapsed_nodes():
                self.recover(f"{node}:", Loss.NODE)
                self._catalogue.forget_node(node)
        self._each_model(self._sweep_model)
        if self._monotonic() >= self._prune_due:
            self._prune_due = self._monotonic() + PRUNE_S
            prune(self._catalogue, self._store)

    def _beat(self) -> None:
        """A sign of life. A store that does not take it takes nobody's: the silence of other nodes means
        nothing then, until they have had the time to speak again."""
        self._beat_due = self._monotonic() + SWEEP_S
        try:
            self._catalogue.beat_node(self._node, NODE_TTL_S)
            self._show(self._trouble())
        except PredictionError as error:
            self._judges_from = self._monotonic() + NODE_TTL_S
            if not isinstance(error, QueueFull):  # one that is full is swept all the same
                raise
            log.warning("no sign of life: %s", error)

    def _show(self, trouble: Heartbeat | None) -> None:
        if trouble is not None:
            self._catalogue.beat(trouble, NODE_TTL_S)
        elif self._shown:
            self._catalogue.leave(self._shown)
        self._shown = trouble.consumer if trouble is not None else ""

    def _each_model(self, work: Callable[[str], None]) -> None:
        """What is unforeseen of one model leaves the others alone."""
        for model in self._models():
            if self._monotonic() >= self._beat_due:
                self._beat()
            try:
                work(model)
            except PredictionError:
                raise
            except Exception:
                log.exception("sweeper: model %s", model)

    def _recover_model(self, consumer: str, loss: Loss, model: str) -> None:
        count = self._store.recover(model, consumer, loss)
        if count:
            log.warning("%s lost (%s) with %d entries of %s: they run again", consumer, loss, count, model)
        self._sweep_model(model)

    def _sweep_model(self, model: str) -> None:
        swept = self._store.sweep(model)
        for token in swept.wakeups:
            wake(self._store, self._wakeups, model, token)
        if swept.expired or swept.reclaimed:
            log.warning("%s: %d jobs expired, %d leases lapsed", model, swept.expired, swept.reclaimed)

    def _models(self) -> set[str]:
        known = {entry.name for entry in self._catalogue.read().models}
        return known | set(self._served())
