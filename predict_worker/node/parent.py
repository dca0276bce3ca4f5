"""The parent process of a node: imports, watches, recovers. It never loads or runs a model."""

from __future__ import annotations

import gc
import importlib
import logging
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from ..core.errors import PredictionError
from ..core.ports import CatalogueStore, Loss, ModelEntry
from .board import Board
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

    def __init__(self, node: str, board: Board, catalogue: CatalogueStore, sweeper: Sweeper) -> None:
        self.node, self.board, self.sweeper = node, board, sweeper
        self._catalogue = catalogue
        self._children: dict[int, int] = {}  # pid -> index
        self._overdue: set[int] = set()

    def publish(self, models: Sequence[ModelEntry]) -> None:
        """Say which models exist; jobs for them are accepted from now on."""
        try:
            self._catalogue.publish_models(models)
        except PredictionError as error:
            log.warning("models not published yet: %s", error)

    def tick(self, pool: Pool) -> bool:
        """Notice the dead, replace them, kill who outruns the hard limit.

        False: children keep failing to start, the node should stop.
        """
        self._kill_overdue(pool)
        pool.maintain_pool()  # Celery's own timer does so every 5 s: too late for a job that waits
        alive = {process.pid: process.index for process in pool._pool}
        for pid in self._children.keys() - alive.keys():
            loss = Loss.TIMEOUT if pid in self._overdue else Loss.CHILD
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
    context = modules.get("tensorflow.python.eager.context")
    active = getattr(context, "_context", None)
    if active is not None and getattr(active, "_initialized", False):
        raise SystemExit(
            "TensorFlow was used in the worker's parent process (an operation, list_physical_devices or a "
            "constant at module level): forked children would hang. Move that code into a function that runs "
            "in the child."
        )
