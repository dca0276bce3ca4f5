"""The parent process of a node: imports, watches, recovers. It never loads or runs a model."""

from __future__ import annotations

import gc
import importlib
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Protocol

from ..catalogue import Index
from ..core.errors import PredictionError
from ..core.ports import CatalogueStore, Heartbeat, Loss, ModelEntry
from ..forking import tensorflow_has_run
from .board import Board
from .handover import Handover
from .sweeper import Sweeper

log = logging.getLogger(__name__)

MAX_FAILED_STARTS = 6


class PoolProcess(Protocol):
    pid: int
    index: int


class Pool(Protocol):
    """What we need of billiard's pool."""

    _pool: Sequence[PoolProcess]

    def maintain_pool(self) -> None: ...


class Parent:
    """``tick`` is called several times a second from the worker's event loop."""

    def __init__(
        self, node: str, board: Board, catalogue: CatalogueStore, sweeper: Sweeper, handover: Handover
    ) -> None:
        self.node, self.board, self.sweeper, self.handover = node, board, sweeper, handover
        self._catalogue = catalogue
        self._children: dict[int, int] = {}  # pid -> index
        self._overdue: set[int] = set()
        self._told: set[int] = set()  # to end
        self._started_us = time.time_ns() // 1000
        self._published: dict[str, ModelEntry] = {}

    def publish(self, models: Sequence[ModelEntry]) -> None:
        """Say which models exist; jobs for them are accepted from now on. Of those that have gone it is said
        once: another node may still have them, and says so each time."""
        names = {model.name for model in models}
        gone = [
            replace(entry, versions=(), error="it has left the repository", gone=True)
            for name, entry in self._published.items()
            if name not in names
        ]
        try:
            entries = [self._with_ready_labels(model) for model in models]
            self._catalogue.publish_models([*entries, *gone])
            self._published = {entry.name: entry for entry in entries}
        except PredictionError as error:
            log.warning("models not published yet: %s", error)

    def _with_ready_labels(self, model: ModelEntry) -> ModelEntry:
        """A label that ``model.toml`` has moved stays where it was until ready workers hold its target."""
        before = self._published.get(model.name)
        if before is None or before.labels == model.labels:
            return model
        ready = Index.of(self._catalogue.read()).ready.get(model.name, {})
        old = dict(before.labels)
        labels = {
            label: old[label] if version not in ready and old.get(label) in ready else version
            for label, version in model.labels
        }
        return replace(model, labels=tuple(labels.items()))

    def start(self) -> None:
        """Sweep, and show what is wrong with this node."""
        self.sweeper.start(self.trouble)

    def trouble(self) -> Heartbeat | None:
        """None while all children start; from the sweeper's thread."""
        failed = {index: self.board.failed_starts(index) for index in self._children.values()}
        index = max(failed, key=failed.__getitem__, default=0)
        if not failed.get(index):
            return None
        why = self.board.error(index) or "their process ended"
        return Heartbeat(
            f"{self.node}:{os.getpid()}",
            socket.gethostname(),
            os.getpid(),
            "unhealthy",
            self._started_us,
            error=f"children fail to start, {failed[index]} in a row: {why}",
        )

    def tick(self, pool: Pool) -> bool:
        """Notice the dead, replace them, kill who outruns the hard limit.

        False: children keep failing to start, the node should stop.
        """
        self._kill_overdue(pool)
        pool.maintain_pool()  # Celery's own timer does so every 5 s: too late for a job that waits
        alive = {process.pid: process.index for process in pool._pool}
        for pid in self._children.keys() - alive.keys():
            died = Loss.HANDBACK if pid in self._told else Loss.CHILD
            loss = Loss.TIMEOUT if pid in self._overdue else died
            self._overdue.discard(pid)
            self.board.end(self._children[pid])
            self.sweeper.child_lost(f"{self.node}:{pid}", loss)
        indexes = {*self._children.values(), *alive.values()}
        self._children = alive
        for index, model in self.board.loads.died(indexes, alive):
            log.error("a child died while it loaded %s", model)
            self.board.forgive(index)
        return all(self.board.failed_starts(index) < MAX_FAILED_STARTS for index in alive.values())

    def _kill_overdue(self, pool: Pool) -> None:
        for process in pool._pool:
            if process.pid not in self._overdue and self.board.overdue(process.index):
                log.error("child %d is over the hard limit of its batch: killed", process.pid)
                self._overdue.add(process.pid)
                os.kill(process.pid, signal.SIGKILL)

    def kill(self, pool: Pool | None, failing: bool = False) -> None:
        """The children, or those that do not start, at once: what they hold is handed back."""
        for process in pool._pool if pool else ():
            if not failing or self.board.failed_starts(process.index):
                self._told.add(process.pid)
                with suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGKILL)

    def leave(self) -> None:
        """The node stops by its own will: nothing of it is pending, or it is handed back."""
        self.sweeper.stop()
        try:
            self.sweeper.recover(f"{self.node}:", Loss.HANDBACK)
            self._catalogue.forget_node(self.node)
        except PredictionError as error:
            log.warning("node not signed off, others will notice: %s", error)


def import_libraries(names: Sequence[str]) -> None:
    """Import what the children would import, once for all: a fork then takes 0.2 s instead of 3 s.

    Nothing may be *run*: an initialised TensorFlow hangs in every forked child.
    """
    for name in names:
        started = time.monotonic()
        try:
            importlib.import_module(name)
        except ImportError as error:  # its models will say so, the others have their turn
            log.warning("%s is not imported: %s", name, error)
            continue
        log.info("%s imported in %.1f s", name, time.monotonic() - started)
    gc.collect()
    gc.freeze()  # collections in the children would copy the shared pages


def check_fork(modules: Mapping[str, Any] = sys.modules) -> None:
    """Raises SystemExit if TensorFlow has been run in this process: its children would hang."""
    if tensorflow_has_run(modules):
        raise SystemExit(
            "TensorFlow was used in the worker's parent process (an operation, list_physical_devices or a "
            "constant at module level): forked children would hang. Move that code into a function that runs "
            "in the child."
        )
