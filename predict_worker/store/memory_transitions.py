"""Every change of a job in memory. Holds no lock and reads no clock: its caller does."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import chain, count

from ..core.errors import IdempotencyConflict, JobConflict, JobNotFound
from ..core.job import Job, JobError, JobState, NewJob
from ..core.ports import ClaimLimits, Entry, Finished, Lane, Loss, Mode, Outcome
from .config import SKIPPED_PER_STEP, StoreConfig
from .memory_hooks import MemoryHooks
from .memory_queue import ModelQueue
from .memory_replies import Replies
from .memory_state import JobRecord, QueuedEntry
from .refusals import refusal


class Transitions:
    """Jobs by id and queues by model. Every ``now`` is in Unix microseconds."""

    def __init__(self, config: StoreConfig, ready_children: dict[str, int], hooks: MemoryHooks) -> None:
        self.replies = Replies()
        self.jobs: dict[str, JobRecord] = {}
        self._config, self._ready, self._hooks = config, ready_children, hooks
        self._once: dict[tuple[str, str], tuple[str, str]] = {}  # -> job id, fingerprint
        self._queues: dict[str, ModelQueue] = {}
        self._entry_ids = map(str, count(1))

    # ------------------------------------------------------------ reading

    def queue(self, model: str) -> ModelQueue:
        return self._queues.setdefault(model, ModelQueue(self._config))

    def ready(self, model: str) -> int:
        return self._ready.get(model, 0)

    def view(self, record: JobRecord) -> Job:
        return record.view(self.queue(record.new.model).gone)

    def find(self, job_id: str, now: int) -> JobRecord | None:
        """The job, less what has outlived its time."""
        record = self.jobs.get(job_id)
        if record is None:
            return None
        if record.finished is not None and now >= record.finished + self._config.record_ttl_s * 1e6:
            self.forget(record)
            return None
        if record.expires is not None and now >= record.expires:
            record.outputs = [None] * len(record.outputs)
        return record

    def living(self, now: int) -> list[tuple[str, JobRecord]]:
        """All jobs, less what has outlived its time."""
        found = [(job_id, self.find(job_id, now)) for job_id in list(self.jobs)]
        return [(job_id, record) for job_id, record in found if record is not None]

    def seen(self, job_id: str, now: int) -> JobRecord | None:
        """The job as a reader sees it: expired if it is past its deadline."""
        record = self.find(job_id, now)
        if record is not None:
            self.expire(record, now)
        return record

    def known(self, job_id: str, now: int) -> JobRecord:
        """Raises JobNotFound."""
        return _known(job_id, self.find(job_id, now))

    def read(self, job_id: str, now: int) -> JobRecord:
        """Like :meth:`seen`. Raises JobNotFound."""
        return _known(job_id, self.seen(job_id, now))

    def wake_if_waiting(self, model: str, now: int) -> str | None:
        queue = self.queue(model)
        return queue.wake(now, self.ready(model)) if queue.waits(now) else None

    # ------------------------------------------------------------ submit

    def earlier(self, new: NewJob, now: int) -> JobRecord | None:
        """The job of an earlier submit of the same. Raises IdempotencyConflict."""
        if new.idempotency_key is not None and (new.owner, new.idempotency_key) in self._once:
            job_id, fingerprint = self._once[new.owner, new.idempotency_key]
            record = self.find(job_id, now)
            if record and fingerprint != new.fingerprint:
                raise IdempotencyConflict(
                    f"idempotency key {new.idempotency_key!r} belongs to job {job_id!r}"
                )
            if record:
                return record
        return self.find(new.id, now)

    def admit(self, new: NewJob, now: int) -> JobRecord:
        """Store a job. Raises QueueFull, and then nothing is stored."""
        queue = self.queue(new.model)
        self._check_room(new.model, len(new.ranges), new.queue_max_jobs)
        if new.hooks and self._hooks.hooks_full():
            raise refusal("full_hooks", new.model, 0.0)
        if new.deadline_s is not None:
            ahead_s = queue.work_s(queue.waits(now, new.priority), self.ready(new.model))
            if ahead_s > new.deadline_s:
                raise refusal("late", new.model, ahead_s - new.deadline_s)
        entries = tuple(self._entry(new, index, now) for index in range(len(new.ranges)))
        record = self.jobs[new.id] = JobRecord.of(new, now, queue.submitted, entries)
        for entry in entries:
            queue.add(entry)
        if new.idempotency_key is not None:
            self._once[new.owner, new.idempotency_key] = new.id, new.fingerprint
        return record

    def _check_room(self, model: str, more: int, model_bound: int) -> None:
        """Raises QueueFull with the time in which a tenth of the entries is done."""
        queue = self.queue(model)
        if queue.mode is Mode.DRAINING:
            raise refusal("draining", model, queue.work_s(queue.entries, self.ready(model)) / 10)
        total = sum(other.entries for other in self._queues.values())
        full = queue.entries + more > model_bound
        if full or total + more > self._config.queue_max_jobs:
            room_s = queue.work_s(queue.entries if full else total, self.ready(model)) / 10
            raise refusal("full" if full else "full_total", model, room_s)

    def _entry(self, new: NewJob, index: int, now: int) -> QueuedEntry:
        part = new.ranges[index]
        size = len(part.payload)
        return QueuedEntry(next(self._entry_ids), new.id, index, part.rows, size, new.priority, now)

    # ------------------------------------------------------------ ends

    def end(self, record: JobRecord, state: JobState, now: int) -> None:
        """Give a job its final state; its entries leave the queue, its inputs go."""
        record.ended(state, now)
        self._withdraw(record)
        if not record.dead:
            record.inputs = [None] * len(record.inputs)
        told = record.end(now) if state in (JobState.SUCCEEDED, JobState.FAILED) else None
        whole = told is not None and (state is JobState.FAILED or len(record.outputs) == 1)
        payload = record.outputs[0] if state is JobState.SUCCEEDED else None
        message = Finished(record.new.id, told, payload) if whole else Finished(record.new.id)
        self.replies.add(record.channels, message)
        if record.new.hooks:
            self._hooks.announce(self.view(record), record.new.hooks, now)

    def expire(self, record: JobRecord, now: int) -> bool:
        """Whether it was past its deadline and not final."""
        overdue = not record.state.final and record.overdue(now)
        if overdue:
            self.end(record, JobState.EXPIRED, now)
        return overdue

    def expire_overdue(self, model: str, now: int) -> int:
        return sum(self.expire(r, now) for r in self.jobs.values() if r.new.model == model)

    def purge(self, model: str, now: int) -> int:
        """Cancel the jobs of a model of which nothing is claimed; returns how many."""
        at_work = {entry.job_id for entry in self.queue(model).claimed.values()}
        waiting = [r for _, r in self.living(now) if r.new.model == model and not r.state.final]
        purged = [record for record in waiting if record.new.id not in at_work]
        for record in purged:
            self.end(record, JobState.CANCELLED, now)
        return len(purged)

    def forget(self, record: JobRecord) -> None:
        """Remove a job and all that belongs to it."""
        self._withdraw(record)
        self.queue(record.new.model).dead.pop(record.new.id, None)
        if record.new.idempotency_key is not None:
            self._once.pop((record.new.owner, record.new.idempotency_key), None)
        del self.jobs[record.new.id]

    def _withdraw(self, record: JobRecord) -> None:
        for entry in record.entries:
            self.queue(record.new.model).remove(entry)

    def finish(self, queue: ModelQueue, outcome: Outcome, consumer: str, now: int) -> None:
        """Make an outcome visible, if its entry is still pending and its job still wants it."""
        record = self.find(outcome.entry.job_id, now)
        if record is None or record.entries[outcome.entry.range_index].id != outcome.entry.id:
            return
        if _retryable(outcome) and self._set_aside(queue, record, outcome, consumer, now):
            return
        if not queue.remove(record.entries[outcome.entry.range_index]):
            return
        if record.overdue(now):
            self.end(record, JobState.EXPIRED, now)
            return
        record.came_out(outcome)
        if record.ranges_left:
            return
        if record.error is not None:
            record.error = replace(record.error, attempts=tuple(record.history))
            self.end(record, JobState.FAILED, now)
        else:
            record.expires = now + int(self._config.result_ttl_s * 1e6)
            self.end(record, JobState.SUCCEEDED, now)

    def _set_aside(
        self, queue: ModelQueue, record: JobRecord, outcome: Outcome, consumer: str, now: int
    ) -> bool:
        """What an error that is marked retryable leads to; False if it is one like any other after all."""
        held = queue.claimed.get(outcome.entry.id)
        if held is None or held.consumer != consumer:
            return True  # taken from this consumer, it runs elsewhere
        retry_at = now + int((outcome.retry_in_s or 0.0) * 1e6)
        if record.error is not None or record.overdue(retry_at) or outcome.error is None:
            return False
        if not outcome.postponed:
            record.failed(outcome.error, now)
        if outcome.given_up:
            record.timings = outcome.timings
            self._bury(queue, record, outcome.error, now)
        else:
            queue.retry(held, retry_at, outcome.postponed)
        return True

    # ------------------------------------------------------------ claims

    def claim(self, queue: ModelQueue, lane: Lane, limits: ClaimLimits, now: int) -> tuple[Entry, ...]:
        rerun = self._rerun(queue, lane, now)
        if rerun is not None:
            return (rerun,)
        taken: list[Entry] = []
        rows = size = skipped = 0
        for waiting in chain(queue.next_retry(now), queue.next_waiting()):
            entry = self._take(queue, waiting, lane, now)
            if entry is None:
                skipped += 1
            else:
                taken.append(entry)
                rows, size = rows + entry.rows, size + waiting.size
            if rows >= limits.max_rows or size >= limits.max_bytes or skipped >= SKIPPED_PER_STEP:
                break
        return tuple(taken)

    def _rerun(self, queue: ModelQueue, lane: Lane, now: int) -> Entry | None:
        while queue.suspects:
            entry = self._take(queue, next(iter(queue.suspects.values())), lane, now)
            if entry is not None:
                return entry
        return None

    def _take(self, queue: ModelQueue, waiting: QueuedEntry, lane: Lane, now: int) -> Entry | None:
        """Claim an entry, or drop it if its job no longer wants to run."""
        record = self.jobs[waiting.job_id]
        if record.overdue(now):
            self.end(record, JobState.EXPIRED, now)
            return None
        queue.claim(waiting, lane.consumer, self.lapse(now))
        return record.claimed(waiting, now)

    def lapse(self, now: int) -> int:
        """When a lease given now ends."""
        return now + int(self._config.lease_s * 1e6)

    # ------------------------------------------------------------ losses

    def lose(self, queue: ModelQueue, held: Iterable[tuple[QueuedEntry, bool]], loss: Loss, now: int) -> None:
        """Entries, each with whether its consumer ran it alone, wait for a rerun.

        However many of its ranges are lost at once, a job counts one loss.
        """
        counted: set[str] = set()
        for entry, alone in held:
            record = self.jobs[entry.job_id]
            if record.state.final:
                continue
            queue.suspect(entry, now)
            if loss is Loss.HANDBACK or entry.job_id in counted:
                continue
            counted.add(entry.job_id)
            record.lost(loss, alone, now)
            if (
                record.strikes >= self._config.max_strikes
                or record.node_losses >= self._config.max_node_losses
            ):
                self._give_up(queue, record, loss, now)

    def _give_up(self, queue: ModelQueue, record: JobRecord, loss: Loss, now: int) -> None:
        """The job is over its bound. Where another range has failed for good, it fails as that has."""
        if record.error is not None:
            record.error = replace(record.error, attempts=tuple(record.history))
            self.end(record, JobState.FAILED, now)
            return
        late = loss is Loss.TIMEOUT
        detail = f"given up after {record.strikes} deaths of a worker process that ran this job alone"
        error = JobError(
            "timeout" if late else "worker_died",
            "Prediction exceeded its hard limit" if late else "Worker process died",
            f"{detail}, {record.node_losses} losses of a whole worker",
        )
        self._bury(queue, record, error, now)

    # ------------------------------------------------------------ dead letters

    def _bury(self, queue: ModelQueue, record: JobRecord, error: JobError, now: int) -> None:
        """The job fails and is kept, with its inputs, in the dead letters."""
        record.error, record.dead = replace(error, attempts=tuple(record.history)), True
        self.end(record, JobState.FAILED, now)
        queue.dead[record.new.id] = now

    def redrive(self, record: JobRecord, queue_max_jobs: int, now: int) -> None:
        """Raises JobConflict for what is no dead letter, QueueFull."""
        if not record.dead:
            raise JobConflict(f"job {record.new.id!r} is no dead letter")
        queue, model = self.queue(record.new.model), record.new.model
        unanswered = [index for index, output in enumerate(record.outputs) if output is None]
        self._check_room(model, len(unanswered), queue_max_jobs)
        del queue.dead[record.new.id]
        entries = {index: self._entry(record.new, index, now) for index in unanswered}
        record.revived(entries, now, queue.submitted)
        for entry in entries.values():
            queue.add(entry)


def _retryable(outcome: Outcome) -> bool:
    return outcome.given_up or outcome.retry_in_s is not None


def _known(job_id: str, record: JobRecord | None) -> JobRecord:
    if record is None:
        raise JobNotFound(job_id)
    return record
