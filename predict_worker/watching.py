"""Watching jobs as they go on: one read at a time for all that are watched in a process."""

from __future__ import annotations

import logging
import threading
import time
import uuid
import weakref
from collections.abc import Callable, Iterable, Sequence

from .core.errors import StoreUnavailable, TooManyStreams
from .core.job import Job, JobState
from .core.ports import Finished, JobStore, Subscription

log = logging.getLogger(__name__)

Reached = tuple[int, ...]
_RANKS = {
    JobState.QUEUED: 0,
    JobState.RUNNING: 1,
    JobState.SUCCEEDED: 2,
    JobState.FAILED: 2,
    JobState.EXPIRED: 2,
    JobState.CANCELLED: 4,
}
_QUEUED_AGAIN = 3


def reached(job: Job) -> Reached:
    """How far a job has come: attempts, ranges done, rank of its state.

    It is larger after every change that can be watched, also of a job that is redriven, and every process
    finds the same in the job's record.
    """
    redriven = job.state is JobState.QUEUED and job.attempts > 0
    return job.attempts, job.ranges_done, _QUEUED_AGAIN if redriven else _RANKS[job.state]


class Watch:
    """One job, as it was when last looked at; None when it is gone. To be closed, from any thread."""

    def __init__(self, job: Job | None, close: Callable[[Watch], object] = lambda _: None) -> None:
        self.job = job
        self._close = close
        self._seen: Reached | None = None
        self._wake: Callable[[], object] = lambda: None

    def on_change(self, wake: Callable[[], object]) -> None:
        """Call this, from another thread, when :attr:`job` has changed; once at least."""
        self._wake = wake
        wake()

    def saw(self, job: Job | None) -> None:
        seen = None if job is None else reached(job)
        if seen is None or seen != self._seen:
            self.job, self._seen = job, seen
            self._wake()

    def close(self) -> None:
        self._close(self)


class Watchers:
    """At most ``limit`` watches at once.

    A thread reads all watched jobs every ``look_s``, and at once those of whose end the store tells.
    """

    def __init__(self, store: JobStore, limit: int, look_s: float = 0.5) -> None:
        self._store, self._limit, self._look_s = store, limit, look_s
        self._channel = uuid.uuid4().hex
        self._lock = threading.Lock()
        # Weak: a response whose caller has left before it began is closed by nobody.
        self._watches: weakref.WeakKeyDictionary[Watch, str] = weakref.WeakKeyDictionary()
        self._ended: set[str] = set()
        self._due = threading.Event()
        self._closed = threading.Event()
        self._subscription: Subscription | None = None

    def watch(self, job_id: str) -> Watch:
        """Raises TooManyStreams, JobNotFound, StoreUnavailable."""
        watch = Watch(None, self._leave)
        with self._lock:
            if len(self._watches) >= self._limit:
                raise TooManyStreams(f"{self._limit} jobs are watched here, no more are (MAX_STREAMS)")
            if self._subscription is None:
                self._open()
            self._watches[watch] = job_id  # before the store is told, so that no end is missed
        try:
            watch.job = self._store.watch(job_id, self._channel)
        except BaseException:
            self._leave(watch)
            raise
        return watch

    @property
    def watching(self) -> int:
        """Watches that are open."""
        return len(self._watches)

    def _leave(self, watch: Watch) -> None:
        with self._lock:
            self._watches.pop(watch, None)

    def _open(self) -> None:
        self._subscription = self._store.subscribe(self._channel, self._end)
        threading.Thread(target=self._looks, args=(self._closed,), name="watchers", daemon=True).start()

    def _end(self, messages: Sequence[Finished]) -> None:
        with self._lock:
            self._ended.update(finished.job_id for finished in messages)
        self._due.set()

    def _looks(self, closed: threading.Event) -> None:
        next_at = 0.0
        while not closed.is_set():
            self._due.wait(max(next_at - time.monotonic(), 0.0))
            self._due.clear()
            with self._lock:
                ended, self._ended = self._ended, set()
                watched = set(self._watches.values())
            if time.monotonic() >= next_at:
                ended, next_at = watched, time.monotonic() + self._look_s
            self._look(ended & watched)

    def _look(self, job_ids: Iterable[str]) -> None:
        ids = list(job_ids)
        if not ids:
            return
        try:
            jobs = dict(zip(ids, self._store.get_many(ids), strict=True))
            with self._lock:
                watches = [(watch, job_id) for watch, job_id in self._watches.items() if job_id in jobs]
            for watch, job_id in watches:
                watch.saw(jobs[job_id])
        except StoreUnavailable as failure:
            log.warning("jobs that are watched were not looked at: %s", failure)
        except Exception:
            # The thread must outlive what it did not foresee: it serves all later watches.
            log.exception("jobs that are watched were not looked at")

    def close(self) -> None:
        """Let go of the channel and the thread; a later watch opens them again."""
        with self._lock:
            closed, self._closed = self._closed, threading.Event()
            subscription, self._subscription = self._subscription, None
        closed.set()
        self._due.set()
        if subscription is not None:
            subscription.close()
