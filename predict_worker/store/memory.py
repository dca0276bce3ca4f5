"""The job store in memory: the twin of the Redis store, for tests and the eager mode."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from ..core.errors import IdempotencyConflict, JobConflict, PredictionError, QueueFull
from ..core.job import Job, JobState, NewJob
from ..core.ports import (
    Accepted,
    Claim,
    ClaimLimits,
    Entry,
    Finished,
    Lane,
    Listing,
    Loss,
    Mode,
    Outcome,
    QueueStats,
    Subscription,
    Swept,
)
from .config import StoreConfig
from .listing import paged
from .memory_hooks import MemoryHooks
from .memory_state import JobRecord
from .memory_transitions import Transitions


def unix_micros() -> int:
    return time.time_ns() // 1000


class MemoryJobStore(MemoryHooks):
    """Implements :class:`predict_worker.core.ports.JobStore` in one process, under one lock.

    ``ready_children`` says how many children have a model loaded: no more than that are ever woken.
    What has outlived its time is forgotten when it is next asked for.
    """

    def __init__(self, config: StoreConfig, now: Callable[[], int] = unix_micros) -> None:
        super().__init__(config, now)
        self.ready_children: dict[str, int] = {}
        self._config, self._clock = config, now
        self._lock = threading.Lock()
        self._table = Transitions(config, self.ready_children, self)

    @contextmanager
    def _transaction(self) -> Iterator[int]:
        """All or nothing for every other thread; yields the moment and sends the replies at its end."""
        with self._lock:
            try:
                yield self._clock()
            finally:
                self._table.replies.flush()

    def submit(self, new: NewJob) -> Accepted:
        with self._transaction() as now:
            earlier = self._table.earlier(new, now)
            if earlier is not None:
                return Accepted(self._table.view(earlier), replayed=True)
            record = self._table.admit(new, now)
            return Accepted(self._table.view(record), self._table.wake_if_waiting(new.model, now))

    def submit_many(self, new: Sequence[NewJob]) -> list[Accepted | PredictionError]:
        return [self._answer(one) for one in new]

    def _answer(self, new: NewJob) -> Accepted | PredictionError:
        try:
            return self.submit(new)
        except (QueueFull, IdempotencyConflict) as refusal:
            return refusal

    def get(self, job_id: str) -> Job:
        with self._transaction() as now:
            return self._table.view(self._table.read(job_id, now))

    def get_many(self, job_ids: Sequence[str]) -> list[Job | None]:
        with self._transaction() as now:
            records = [self._table.seen(job_id, now) for job_id in job_ids]
            return [None if record is None else self._table.view(record) for record in records]

    def result(self, job_id: str) -> tuple[Job, tuple[bytes, ...] | None]:
        with self._transaction() as now:
            record = self._table.read(job_id, now)
            outputs = tuple(part for part in record.outputs if part is not None)
            whole = record.state is JobState.SUCCEEDED and len(outputs) == len(record.outputs)
            return self._table.view(record), outputs if whole else None

    def cancel(self, job_id: str) -> Job:
        with self._transaction() as now:
            record = self._table.known(job_id, now)
            if record.state.final and record.state is not JobState.CANCELLED:
                raise JobConflict(f"job {job_id!r} is {record.state.value}")
            if not record.state.final:
                self._table.end(record, JobState.CANCELLED, now)
            return self._table.view(record)

    def delete(self, job_id: str) -> None:
        with self._transaction() as now:
            record = self._table.known(job_id, now)
            self._table.forget(record)
            self.forget_deliveries(job_id)
            self._table.replies.add(record.channels, Finished(job_id))

    def watch(self, job_id: str, reply_to: str) -> Job:
        with self._transaction() as now:
            record = self._table.read(job_id, now)
            record.channels[reply_to] = None
            return self._table.view(record)

    def delivered(self, job_ids: Sequence[str]) -> None:
        with self._transaction() as now:
            for record in [self._table.find(job_id, now) for job_id in job_ids]:
                if record is not None and record.expires is not None:
                    record.expires = min(record.expires, now + int(self._config.delivered_ttl_s * 1e6))

    def step(
        self,
        lane: Lane,
        done: Sequence[Outcome],
        limits: ClaimLimits | None,
        entry_ms: float = 0.0,
        listen_s: float = 0.0,
    ) -> Claim:
        with self._transaction() as now:
            announced = self.announced
            claim = self._step(lane, done, limits, entry_ms, now)
            if self.announced == announced:
                return claim
            return replace(claim, hooks_wakeup=self.wake_deliverer(now))

    def _step(
        self, lane: Lane, done: Sequence[Outcome], limits: ClaimLimits | None, entry_ms: float, now: int
    ) -> Claim:
        queue = self._table.queue(lane.model)
        for outcome in done:
            self._table.finish(queue, outcome, lane.consumer, now)
        queue.measured(entry_ms)
        if limits is None or queue.mode is Mode.PAUSED:
            queue.release(lane.token)
            if limits is None or not limits.holding:
                queue.free([lane.consumer])
            return Claim(wakeup=self._table.wake_if_waiting(lane.model, now))
        if not queue.answer(lane.token, lane.consumer, now, self._table.ready(lane.model)):
            return Claim()
        entries = self._table.claim(queue, lane, limits, now)
        if entries or limits.holding:
            queue.run(lane.consumer, self._table.lapse(now))
        else:
            queue.free([lane.consumer])
        return Claim(entries, self._table.wake_if_waiting(lane.model, now))

    def outputs(self, job_id: str, ranges: int, max_bytes: int) -> tuple[bytes, ...] | None:
        with self._transaction() as now:
            record = self._table.find(job_id, now)
            found = [part for part in record.outputs if part is not None] if record else []
            fits = len(found) == ranges and sum(map(len, found)) <= max_bytes
            return tuple(found) if fits else None

    def listen(self, lane: Lane, listen_s: float) -> str | None:
        """Never rings: every step here says so."""
        return None

    def renew(self, lane: Lane, entries: Sequence[Entry]) -> None:
        with self._transaction() as now:
            self._table.queue(lane.model).renew(
                lane.consumer, [e.id for e in entries], self._table.lapse(now)
            )

    def release_wakeup(self, model: str, token: str) -> None:
        with self._transaction():
            self._table.queue(model).release(token)

    def recover(self, model: str, consumer: str, loss: Loss) -> int:
        with self._transaction() as now:
            queue = self._table.queue(model)
            held = queue.held_by(consumer)
            lost = [(entry, len(entries) == 1) for entries in held.values() for entry in entries]
            queue.forget_slots(consumer, dead=loss is not Loss.HANDBACK)
            self._table.lose(queue, lost, loss, now)
            return len(lost)

    def sweep(self, model: str) -> Swept:
        with self._transaction() as now:
            queue = self._table.queue(model)
            expired = self._table.expire_overdue(model, now)
            lapsed = [entry for entry in queue.claimed.values() if entry.leased_until <= now]
            self._table.lose(queue, [(entry, False) for entry in lapsed], Loss.NODE, now)
            waits = queue.waits(now)
            token = queue.wake(now, self._table.ready(model), queue.late(now)) if waits else None
            return Swept((token,) if token else (), expired, len(lapsed))

    def stats(self, model: str) -> QueueStats:
        with self._transaction():
            queue = self._table.queue(model)
            ready = self._table.ready(model)
            return QueueStats(queue.unclaimed, len(queue.claimed), queue.entry_ms, ready, queue.mode)

    def set_mode(self, model: str, mode: Mode) -> tuple[str, ...]:
        with self._transaction() as now:
            self._table.queue(model).mode = mode
            token = self._table.wake_if_waiting(model, now)
            return (token,) if token else ()

    def purge(self, model: str) -> int:
        with self._transaction() as now:
            return self._table.purge(model, now)

    def jobs(
        self,
        owner: str | None,
        limit: int = 100,
        cursor: str = "",
        state: JobState | None = None,
        model: str | None = None,
    ) -> Listing:
        def wanted(record: JobRecord) -> bool:
            asked = (owner, record.new.owner), (state, record.state), (model, record.new.model)
            return all(which is None or which == own for which, own in asked)

        with self._transaction() as now:
            found = {i: record.created for i, record in self._table.living(now) if wanted(record)}
            return paged(found, limit, cursor)

    def dead(self, model: str, owner: str | None = None, limit: int = 100, cursor: str = "") -> Listing:
        with self._transaction() as now:
            living = dict(self._table.living(now))
            dead = self._table.queue(model).dead
            found = {i: dead[i] for i in dead if owner is None or living[i].new.owner == owner}
            return paged(found, limit, cursor)

    def redrive(self, job_id: str, queue_max_jobs: int = 10_000) -> Accepted:
        with self._transaction() as now:
            record = self._table.known(job_id, now)
            self._table.redrive(record, queue_max_jobs, now)
            return Accepted(self._table.view(record), self._table.wake_if_waiting(record.new.model, now))

    def subscribe(self, channel: str, deliver: Callable[[Sequence[Finished]], None]) -> Subscription:
        with self._lock:
            return self._table.replies.subscribe(channel, deliver)

    def ping(self) -> None:
        """Memory always answers."""
