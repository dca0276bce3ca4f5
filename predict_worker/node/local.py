"""What this very process is: the parent of a node, or one of its children."""

from __future__ import annotations

import copy
import uuid
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from ..canvas import Predictor, predict_by
from ..codec.dtypes import Array
from ..conf import get_config
from ..connect import catalogue_store, job_store
from ..core.errors import ModelNotFound
from ..registry import ModelRegistry
from ..runtimes.base import runtime_for
from ..runtimes.threads import set_threads, threads_per_child
from ..service import PredictRequest
from ..transforms import discovery
from ..wakeup import CeleryWakeups, queue_name
from .board import Board
from .child import Child, Place
from .handover import Handover
from .heartbeat import Heartbeat
from .parent import Parent
from .recycling import Recycling, leave_when
from .served import Served
from .sweeper import Sweeper

_child: Child | None = None


def make_parent(served: Callable[[], Sequence[str]]) -> Parent:
    """To be called before the fork."""
    config, board = get_config(), Board()
    node = uuid.uuid4().hex[:12]
    store, catalogue = job_store(config), catalogue_store(config)
    handover = Handover(CeleryWakeups(), served)
    sweeper = Sweeper(store, catalogue, handover, node, served)
    return Parent(node, board, catalogue, sweeper, handover)


def make_heartbeat() -> Heartbeat:
    path = get_config().heartbeat_file
    return Heartbeat(Path(path) if path else None)


def become_child(parent: Parent, index: int, siblings: int, served: Served) -> Child:
    """To be called once in each child, after the fork."""
    global _child
    config = get_config()
    served = copy.deepcopy(served)  # its own: a worker that runs alone is the parent, too
    set_threads(threads_per_child(siblings))
    runtimes = partial(runtime_for, allow_python=config.allow_python_models)
    registry = ModelRegistry(served.repository, runtimes, discovery.find)
    _child = Child(
        Place(parent.node, index, parent.board),
        job_store(config),
        catalogue_store(config),
        CeleryWakeups(),
        served,
        registry,
        lease_s=config.lease_s,
        slice_s=config.slice_ms / 1000,
    )
    _child.start()
    if config.max_tasks or config.max_memory_mb:
        leave_when(partial(_child.recycles, Recycling(config.max_tasks, config.max_memory_mb)))
    predict_by(_predictor(_child, served, config.max_body_bytes))
    return _child


def _predictor(child: Child, served: Served, max_bytes: int) -> Predictor:
    def predict(request: PredictRequest) -> Mapping[str, Array]:
        name = request.ref.name
        if not served.serves(name):
            known = ", ".join(served.names) or "no model"
            raise ModelNotFound(f"this worker serves {known}; send {name} to {queue_name(name)}")
        return child.predict(request, max_bytes)

    return predict


def serve(model: str, token: str) -> None:
    """What a wake-up makes a child do: serve one model until nothing waits or the time slice is over."""
    child().serve(model, token)


def child() -> Child:
    """Raises RuntimeError in a process that never became one."""
    if _child is None:
        raise RuntimeError("this process has loaded no models: it is not a child of a prediction worker")
    return _child
