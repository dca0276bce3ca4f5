"""Words the contract's tests are written in."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from predict_worker.core.errors import JobNotFound
from predict_worker.core.job import JobError, JobState, NewJob, RowRange, Timings, new_job_id
from predict_worker.core.ports import Claim, ClaimLimits, Entry, Finished, JobStore, Lane, Outcome
from predict_worker.store.config import StoreConfig

MODEL = "digits"
CHILD = "n1:1"
OTHER_CHILD = "n2:1"
WIDE = ClaimLimits(max_rows=1000, max_bytes=1 << 30)
ONE = ClaimLimits(max_rows=1, max_bytes=1 << 30)
UNKNOWN_ID = f"0-{'0' * 32}"

ROOMY = StoreConfig(spread_ms=0.001)
"""So little work per child that the number of children never limits who may claim."""

BROKEN = JobError("broken", "Broken", "the model refused these rows")


def new_job(
    payload: bytes = b"in", ranges: Sequence[int] = (1,), model: str = MODEL, **fields: Any
) -> NewJob:
    """A job of row ranges of these sizes, each with the same payload."""
    parts, start = [], 0
    for rows in ranges:
        parts.append(RowRange(start, start + rows, payload))
        start += rows
    return NewJob(new_job_id(0), model, tuple(parts), **fields)


def submit(store: JobStore, **fields: Any) -> str:
    """Returns the job's id."""
    return store.submit(new_job(**fields)).job.id


def lane(consumer: str = CHILD, token: str | None = "", model: str = MODEL) -> Lane:
    assert token is not None, "no wake-up was issued"
    return Lane(model, consumer, token)


def step(store: JobStore, *done: Outcome, limits: ClaimLimits | None = WIDE, consumer: str = CHILD) -> Claim:
    return store.step(lane(consumer), done, limits)


def claim(store: JobStore, consumer: str = CHILD, limits: ClaimLimits = WIDE) -> tuple[Entry, ...]:
    return step(store, limits=limits, consumer=consumer).entries


def claim_one(store: JobStore, consumer: str = CHILD) -> Entry:
    (entry,) = claim(store, consumer, ONE)
    return entry


def claimed_and_overdue(
    store: JobStore, limits: ClaimLimits = ONE, deadline_s: float = 0.03, **fields: Any
) -> tuple[Entry, ...]:
    """What a child has in its hands when its job's deadline passes. Where the machine was too slow to
    claim it in time, another job has longer."""
    submit(store, deadline_s=deadline_s, **fields)
    entries = claim(store, limits=limits)
    if not entries:
        return claimed_and_overdue(store, limits, deadline_s * 4, **fields)
    let_pass(store, deadline_s * 1.2)
    return entries


def finish(store: JobStore, *done: Outcome, consumer: str = CHILD) -> None:
    """Publish without claiming."""
    step(store, *done, limits=None, consumer=consumer)


def answered(entry: Entry, payload: bytes = b"out", **facts: Any) -> Outcome:
    return Outcome(entry, payload=payload, **facts)


def failed(entry: Entry, error: JobError = BROKEN, **facts: Any) -> Outcome:
    return Outcome(entry, error=error, **facts)


def ran_for(predict_ms: float, batch_rows: int = 1) -> Timings:
    return Timings(queue_ms=0.5, predict_ms=predict_ms, batch_rows=batch_rows)


def ids(entries: Sequence[Entry]) -> list[str]:
    return [entry.job_id for entry in entries]


def state(store: JobStore, job_id: str) -> JobState:
    return store.get(job_id).state


def gone(store: JobStore, job_id: str) -> bool:
    try:
        store.get(job_id)
    except JobNotFound:
        return True
    return False


def eventually(condition: Callable[[], bool], timeout_s: float = 30.0) -> None:
    """Wait for a condition that real time or another thread brings about."""
    until = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > until:
            pytest.fail("the condition did not come true in time")
        time.sleep(0.005)


def let_pass(store: JobStore, seconds: float) -> None:
    """Wait for the store's own clock."""

    def now() -> float:
        probe = store.submit(new_job(model="clock")).job
        store.delete(probe.id)
        return probe.created_at.timestamp()

    until = now() + seconds
    eventually(lambda: now() > until)


def roomier(**fields: Any) -> StoreConfig:
    return replace(ROOMY, **fields)


class Mailbox:
    """What has arrived on one reply channel."""

    def __init__(self) -> None:
        self._arrived = threading.Condition()
        self.messages: list[list[Finished]] = []

    def put(self, message: Sequence[Finished]) -> None:
        with self._arrived:
            self.messages.append(list(message))
            self._arrived.notify_all()

    def wait(self, number: int = 1, timeout_s: float = 30.0) -> list[list[Finished]]:
        """The first so many messages."""
        with self._arrived:
            assert self._arrived.wait_for(lambda: len(self.messages) >= number, timeout_s), self.messages
            return self.messages[:number]


@contextmanager
def listening(store: JobStore, channel: str) -> Iterator[Mailbox]:
    """A mailbox whose subscription is known to work: messages before that may be lost."""
    mailbox, ready = Mailbox(), threading.Event()

    def deliver(message: Sequence[Finished]) -> None:
        if message[0].job_id in _PROBES:
            ready.set()
        else:
            mailbox.put(message)

    subscription = store.subscribe(channel, deliver)
    try:
        until, patience_s = time.monotonic() + 30, 0.0
        while not ready.wait(patience_s) and time.monotonic() < until:
            patience_s = 0.02
            probe = new_job(model="probe", reply_to=channel)
            _PROBES.add(probe.id)
            store.submit(probe)
            store.cancel(probe.id)
        yield mailbox
    finally:
        subscription.close()


_PROBES: set[str] = set()
