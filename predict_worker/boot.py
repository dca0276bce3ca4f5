"""Celery's door: what happens when a worker starts, forks, ticks and stops.

Imported by workers only (Celery's ``imports`` setting names it), before the worker's steps are built.
A worker whose ``-Q`` names neither a model nor ``hooks`` is a project's own affair: nothing here touches it.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from billiard import current_process
from celery import bootsteps, current_app, signals
from celery.worker import state
from kombu import Queue

from . import (
    delivering,
    tasks,  # noqa: F401  registers the tasks
)
from .node import local
from .node.heartbeat import Heartbeat
from .node.parent import Parent, check_fork, import_libraries
from .node.served import Served
from .wakeup import HOOKS_QUEUE, QUEUE_PREFIX, queue_name

log = logging.getLogger(__name__)

TICK_S = 0.1
SCAN_S = 2.0
POOLS = ("prefork", "solo")


class Node:
    """This worker, between Celery's signals."""

    parent: Parent
    heartbeat: Heartbeat
    served: Served
    children = 1


@signals.celeryd_init.connect(weak=False)
def read_options(instance: Any = None, options: dict[str, Any] | None = None, **_: Any) -> None:
    """``-Q`` names the models to serve, or webhooks to deliver; without it all is done for every model of the
    repository."""
    chosen = (options or {}).get("queues")
    names = [q.strip() for q in chosen.split(",")] if isinstance(chosen, str) else chosen
    models = [n.removeprefix(QUEUE_PREFIX) for n in names or () if n.startswith(QUEUE_PREFIX)]
    if not names or HOOKS_QUEUE in names:
        for signal, receiver in HOOKS_RECEIVERS:
            signal.connect(receiver, weak=False)
    if names and not models:
        return
    Node.served = Served.only(models) if names else Served.all()
    for signal, receiver in RECEIVERS:
        signal.connect(receiver, weak=False)
    current_app.steps["worker"].add(Watch)


def prepare_parent(sender: Any = None, **_: Any) -> None:
    """Before the fork: import, never run."""
    pool = getattr(sender.pool_cls, "__module__", str(sender.pool_cls)).rpartition(".")[2]
    if pool not in POOLS:
        raise SystemExit(
            f"predictions need a pool that forks or runs alone ({' or '.join(POOLS)}), not {pool!r}; "
            "a worker for other tasks names its queues (-Q celery)"
        )
    Node.children = sender.concurrency if pool == "prefork" else 1
    # Workers know of each other through the catalogue; looking for neighbours would cost a second.
    sender.options.update(without_mingle=True, without_gossip=True, without_heartbeat=True)
    Node.served.scan()
    for name in Node.served.names:
        _select(queue_name(name))
    import_libraries(sorted(Node.served.libraries()))
    Node.heartbeat = local.make_heartbeat()
    Node.parent = local.make_parent(lambda: Node.served.names)
    Node.parent.publish(Node.served.entries)


def _select(name: str) -> None:
    """Consume this queue, without acknowledgements: a wake-up that is lost is sent again, and to note one as
    unacknowledged needs memory, which Celery's worker does not survive where a Redis has none left."""
    queues = current_app.amqp.queues
    queue = queues[name] if name in queues else Queue(name, routing_key=name)
    queue.no_ack = True
    queues.select_add(queue)


def take_deliveries(**_: Any) -> None:
    _select(HOOKS_QUEUE)


def watch_deliveries(**_: Any) -> None:
    delivering.watch()


def end_deliveries(**_: Any) -> None:
    delivering.stop()


def leave_deliveries(**_: Any) -> None:
    delivering.unwatch()


def check_before_fork(**_: Any) -> None:
    check_fork()


def start_child(**_: Any) -> None:
    """Once in each child. Celery logs and swallows what is raised here, and the child would serve
    without its models: so it ends instead. After failures in a row it pauses first, longer each time."""
    index, board = getattr(current_process(), "index", 0), Node.parent.board
    board.starting(index)
    if failures := board.failed_starts(index):
        time.sleep(min(0.2 * 2**failures, 10.0))
    try:
        local.become_child(Node.parent, index, Node.children, Node.served)
    except Exception as error:
        log.exception("child could not start (%d in a row)", failures + 1)
        board.failed(index, f"{type(error).__name__}: {error}")
        os._exit(1)
    board.clear(index)


def stop_child(**_: Any) -> None:
    local.child().stop()


class Watch(bootsteps.StartStopStep):
    """The parent's ticks in the worker's event loop."""

    requires = ("celery.worker.components:Pool",)

    def start(self, worker: Any) -> None:
        # Celery would end the worker for one child that died in its first second; ticks replace it.
        worker.pool.did_start_ok = lambda: True
        worker.pool.stop = partial(self._stop, worker.pool, worker.pool.stop)
        Node.parent.start()
        Node.heartbeat.start()

    def register_with_event_loop(self, worker: Any, hub: Any) -> None:
        hub.on_close.add(self._left)
        hub.call_repeatedly(TICK_S, self._tick, worker)
        hub.call_repeatedly(SCAN_S, self._scan, worker)

    def terminate(self, worker: Any) -> None:
        """A cold shutdown: Celery sends no worker_shutdown then."""
        Node.parent.leave()

    def _tick(self, worker: Any) -> None:
        pool = worker.pool._pool
        if pool is None:  # solo: there are no children, and the loop stands in a batch
            return
        if not Node.parent.board.draining:
            Node.heartbeat.turned()
        Node.parent.handover.hand_over(lambda *wakeup: worker.pool.apply_async(local.serve, wakeup))
        if not Node.parent.tick(pool):
            log.critical("children keep failing to start: the worker stops")
            Node.parent.kill(pool, failing=True)
            signals.worker_shutting_down.send(sender=worker.hostname, sig="unhealthy", how="Warm", exitcode=1)
            worker.exitcode = 1
            raise SystemExit(1)

    def _stop(self, pool: Any, stop: Callable[[], None]) -> None:
        """In a cold shutdown, too, Celery stops the pool first, and would wait for each child's batch."""
        ends_now: Any = state.should_terminate
        if ends_now:
            Node.parent.kill(pool._pool)
        stop()

    def _left(self, hub: Any) -> None:
        Node.heartbeat.left()

    def _scan(self, worker: Any) -> None:
        """Models that appear in the repository are offered, and served where all are."""
        for name in Node.served.scan():
            if Node.served.follows:
                _select(queue_name(name))
                worker.consumer.add_task_queue(queue_name(name))
        Node.parent.publish(Node.served.entries)


def drain(**_: Any) -> None:
    Node.parent.board.drain()
    Node.heartbeat.left()


def leave(**_: Any) -> None:
    Node.parent.leave()


HOOKS_RECEIVERS = (
    (signals.worker_init, take_deliveries),
    (signals.worker_ready, watch_deliveries),
    (signals.worker_process_shutdown, end_deliveries),
    (signals.worker_shutting_down, leave_deliveries),
)
RECEIVERS = (
    (signals.worker_init, prepare_parent),
    (signals.worker_before_create_process, check_before_fork),
    (signals.worker_process_init, start_child),
    (signals.worker_process_shutdown, stop_child),
    (signals.worker_shutting_down, drain),
    (signals.worker_shutdown, leave),
)
