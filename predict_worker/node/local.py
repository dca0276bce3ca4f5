"""What this very process is: the parent of a node, or one of its children."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence

from ..conf import get_config
from ..connect import catalogue_store, job_store
from ..registry import ModelRegistry
from ..repository.directory import ModelRepository
from ..runtimes.threads import set_threads, threads_per_child
from ..wakeup import CeleryWakeups
from .board import Board
from .child import Child, Place
from .parent import Parent
from .sweeper import Sweeper

_child: Child | None = None


def make_parent(served: Callable[[], Sequence[str]]) -> Parent:
    """To be called before the fork."""
    config, board = get_config(), Board()
    node = uuid.uuid4().hex[:12]
    store, catalogue = job_store(config), catalogue_store(config)
    sweeper = Sweeper(store, catalogue, CeleryWakeups(), node, served)
    return Parent(node, board, catalogue, sweeper)


def become_child(parent: Parent, index: int, siblings: int, served: Sequence[str]) -> Child:
    """To be called once in each child, after the fork."""
    global _child
    config = get_config()
    set_threads(threads_per_child(siblings))
    registry = ModelRegistry(ModelRepository(config.model_repository))
    _child = Child(
        Place(parent.node, index, parent.board),
        job_store(config),
        catalogue_store(config),
        CeleryWakeups(),
        registry,
        lease_s=config.lease_s,
        slice_s=config.slice_ms / 1000,
    )
    _child.start(served)
    return _child


def child() -> Child:
    """Raises RuntimeError in a process that never became one."""
    if _child is None:
        raise RuntimeError("this process has loaded no models: it is not a child of a prediction worker")
    return _child
