"""Waiting for results: one reply channel and one recheck a second for all waiters of a process."""

from __future__ import annotations

import logging
import os
import threading
import time
import uuid
import weakref
from collections import deque
from collections.abc import Sequence
from functools import partial
from queue import Empty
from typing import Any

from .core import inbox
from .core.errors import StoreUnavailable
from .core.ports import Finished, JobStore, Subscription

log = logging.getLogger(__name__)


class Place:
    """One waiting place. Expect a job before it can finish, then wait for it."""

    def __init__(self, line: Waiters) -> None:
        self._line = line
        self.inbox = inbox.inbox()
        """For this place's request: a :class:`Finished`, or what its submit has to say."""
        self.job_id = ""
        self.waiting = False

    @property
    def reply_to(self) -> str:
        """The channel to name in :attr:`NewJob.reply_to`."""
        return self._line.channel

    def expect(self, job_id: str) -> None:
        """Register for this job instead of any before. To be called before the job is submitted."""
        self._line.register(self, job_id)

    def wait(self, timeout_s: float) -> Finished | None:
        """None when the job is not known to be final in time."""
        self.waiting = True
        until = time.monotonic() + timeout_s
        message: Any = None
        while not isinstance(message, Finished):
            try:
                message = self.inbox.get(timeout=max(until - time.monotonic(), 0.0))
            except Empty:
                return None
        return message

    def yield_turn(self) -> None:
        """Before this thread waits for anything else, if it has a result to deal with."""
        self._line.yield_turn(self)

    def __enter__(self) -> Place:
        return self

    def __exit__(self, *_: object) -> None:
        self._line.leave(self)


class Waiters:
    """Bounded waiting places of one process (``limit`` 0: nobody waits).

    A message may be lost, so a thread rechecks all waiting jobs every ``recheck_s`` with one read;
    the same thread tells the store which results were delivered. After a fork the child begins anew,
    with a channel of its own.
    """

    def __init__(self, store: JobStore, limit: int, recheck_s: float = 1.0) -> None:
        self._store, self._limit, self._recheck_s = store, limit, recheck_s
        self._begin()
        os.register_at_fork(after_in_child=partial(_begin_anew, weakref.ref(self)))

    def _begin(self) -> None:
        self.channel = uuid.uuid4().hex
        self._lock = threading.Lock()
        self._taken = 0
        self._places: dict[str, list[Place]] = {}
        self._arrived: deque[tuple[Place, Finished]] = deque()
        self._turn: Place | None = None
        self._delivered: list[str] = []
        self._subscription: Subscription | None = None
        self._closed = threading.Event()

    def place(self) -> Place | None:
        """A place, to be used in a ``with`` statement; None when all are taken.

        Raises StoreUnavailable when the reply channel cannot be opened.
        """
        with self._lock:
            if self._taken >= self._limit:
                return None
            if self._subscription is None:
                self._open()
            self._taken += 1
        return Place(self)

    @property
    def waiting(self) -> int:
        """Places in use."""
        return self._taken

    def _open(self) -> None:
        self._subscription = self._store.subscribe(self.channel, self._deliver)
        threading.Thread(target=self._rechecks, args=(self._closed,), name="waiters", daemon=True).start()

    def register(self, place: Place, job_id: str) -> None:
        with self._lock:
            self._unregister(place)
            place.job_id = job_id
            self._places.setdefault(job_id, []).append(place)

    def leave(self, place: Place) -> None:
        with self._lock:
            self._unregister(place)
            place.job_id = ""
            self._taken -= 1
            self._yield_turn(place)

    def _unregister(self, place: Place) -> None:
        others = self._places.get(place.job_id)
        if others is not None:
            others.remove(place)
            if not others:
                del self._places[place.job_id]

    def _deliver(self, messages: Sequence[Finished]) -> None:
        """Threads that are all woken at once would only queue for the interpreter: one goes after another,
        each woken by the one before. Whoever has to ask the store goes at once."""
        with self._lock:
            for finished in messages:
                for place in self._places.get(finished.job_id, ()):
                    if finished.payload is None or not place.inbox.woken_singly:
                        place.inbox.put(finished)
                    else:
                        self._arrived.append((place, finished))
            if self._turn is None:
                self._next_turn()

    def yield_turn(self, place: Place) -> None:
        with self._lock:
            self._yield_turn(place)

    def _yield_turn(self, place: Place) -> None:
        if self._turn is place:
            self._next_turn()

    def _next_turn(self) -> None:
        self._turn = None
        while self._turn is None and self._arrived:
            place, finished = self._arrived.popleft()
            if place.job_id == finished.job_id:  # else it has left, or expects another job
                self._turn = place
                place.inbox.put(finished)

    def delivered(self, job_id: str) -> None:
        """Note that a waiter has this result; the store is told with the next recheck."""
        with self._lock:
            self._delivered.append(job_id)

    def recheck(self) -> None:
        """Read all jobs that are waited for, once, and deliver those that are final or gone.

        Raises StoreUnavailable.
        """
        with self._lock:
            waited = [job_id for job_id, places in self._places.items() if any(p.waiting for p in places)]
            delivered, self._delivered = self._delivered, []
        if delivered:
            self._store.delivered(delivered)
        if waited:
            jobs = self._store.get_many(waited)
            pairs = zip(waited, jobs, strict=True)
            self._deliver([Finished(job_id) for job_id, job in pairs if job is None or job.state.final])

    def _rechecks(self, closed: threading.Event) -> None:
        while not closed.wait(self._recheck_s):
            try:
                self.recheck()
            except StoreUnavailable as failure:  # waiters time out by themselves
                log.warning("jobs that are waited for were not rechecked: %s", failure)
            except Exception:
                # The thread must outlive what it did not foresee: it serves all later waiters.
                log.exception("jobs that are waited for were not rechecked")

    def close(self) -> None:
        """Let go of the channel and the thread; a later place opens them again."""
        with self._lock:
            closed, self._closed = self._closed, threading.Event()
            subscription, self._subscription = self._subscription, None
        closed.set()
        if subscription is not None:
            subscription.close()


def _begin_anew(reference: weakref.ref[Waiters]) -> None:
    line = reference()
    if line is not None:
        line._begin()
