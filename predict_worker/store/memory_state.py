"""What the in-memory job store remembers of one job and of one entry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..core.job import Job, JobError, JobState, NewJob, Priority, Timings, check_transition, from_micros
from ..core.ports import Entry, JobEnd, Loss, Outcome

HISTORY = 50
"""Events of a job that are kept, the newest."""


@dataclass(slots=True)
class QueuedEntry:
    """One (job, row range). ``consumer`` is who claimed it last; moments in Unix microseconds."""

    id: str
    job_id: str
    range_index: int
    rows: int
    size: int
    priority: Priority
    waits_since: int
    attempt: int = 0
    consumer: str | None = None
    leased_until: int = 0
    retries: int = 0
    postponed: int = 0
    retry_at: int = 0


@dataclass(slots=True)
class JobRecord:
    """A job and its data. ``before`` counts the entries submitted to the model before its own."""

    new: NewJob
    created: int
    before: int
    entries: tuple[QueuedEntry, ...]
    state: JobState = JobState.QUEUED
    deadline: int | None = None
    started: int | None = None
    finished: int | None = None
    expires: int | None = None
    attempts: int = 0
    attempts_before: int = 0  # it was redriven
    queued: int = 0  # the moment; created, unless it was redriven
    strikes: int = 0
    node_losses: int = 0
    ranges_left: int = 0
    inputs: list[bytes | None] = field(default_factory=list)
    outputs: list[bytes | None] = field(default_factory=list)
    error: JobError | None = None
    history: list[Mapping[str, Any]] = field(default_factory=list)
    dead: bool = False
    channels: dict[str, None] = field(default_factory=dict)  # a set that keeps its order
    timings: Timings = field(default_factory=Timings)
    version: int | None = None
    digest: str | None = None
    artefact: str | None = None

    @classmethod
    def of(cls, new: NewJob, created: int, before: int, entries: tuple[QueuedEntry, ...]) -> JobRecord:
        return cls(
            new,
            created,
            before,
            entries,
            deadline=None if new.deadline_s is None else created + int(new.deadline_s * 1e6),
            ranges_left=len(entries),
            queued=created,
            inputs=[part.payload for part in new.ranges],
            outputs=[None] * len(entries),
            channels={new.reply_to: None} if new.reply_to else {},
            version=new.version,
            digest=new.digest,
            artefact=new.artefact,
        )

    def overdue(self, now: int) -> bool:
        return self.deadline is not None and now > self.deadline

    def claimed(self, entry: QueuedEntry, now: int) -> Entry:
        """Note one more run of an entry, and tell what its consumer must know."""
        if self.started is None:
            check_transition(self.state, JobState.RUNNING)
            self.state, self.started = JobState.RUNNING, now
        entry.attempt += 1
        attempt = self.attempts_before + entry.attempt
        self.attempts = max(self.attempts, attempt)
        return Entry(
            id=entry.id,
            job_id=self.new.id,
            range_index=entry.range_index,
            rows=entry.rows,
            version=self.new.version,
            pinned=self.new.pinned,
            signature_name=self.new.signature_name,
            outputs=self.new.outputs,
            attempt=attempt,
            queue_ms=(self.started - self.queued) / 1000,
            payload=self.inputs[entry.range_index],
            digest=self.new.digest,
            retries=entry.retries,
            postponed=entry.postponed,
        )

    def came_out(self, outcome: Outcome) -> None:
        """Note what became of one range."""
        if outcome.error is None:
            self.outputs[outcome.entry.range_index] = outcome.payload
        elif self.error is None:
            self.error = outcome.error
        self.ranges_left -= 1
        if self.ranges_left:
            return
        self.timings = outcome.timings
        self.version = self.version if outcome.version is None else outcome.version
        self.digest = self.digest if outcome.digest is None else outcome.digest
        self.artefact = self.artefact if outcome.artefact is None else outcome.artefact

    def lost(self, loss: Loss, alone: bool, now: int) -> None:
        """Count the death of a consumer: of a node, or a strike if it ran one entry alone."""
        if loss is Loss.NODE:
            self.node_losses += 1
        elif alone:
            self.strikes += 1
        self._remember(now, loss=loss.value, alone=alone)

    def failed(self, error: JobError, now: int) -> None:
        """Note an error that is marked retryable."""
        self._remember(now, code=error.code, detail=error.detail)

    def _remember(self, now: int, **told: Any) -> None:
        self.history.append({"attempt": self.attempts, **told, "at": from_micros(now).isoformat()})
        del self.history[:-HISTORY]

    def revived(self, entries: Mapping[int, QueuedEntry], now: int, before: int) -> None:
        """A dead letter is redriven: these entries by range run anew, what else is answered stays."""
        check_transition(self.state, JobState.QUEUED)
        self.entries = tuple(entries.get(index, old) for index, old in enumerate(self.entries))
        self.state, self.queued, self.before, self.dead = JobState.QUEUED, now, before, False
        self.started = self.finished = self.error = self.deadline = None
        self.attempts_before, self.ranges_left, self.strikes, self.node_losses = (
            self.attempts,
            len(entries),
            0,
            0,
        )
        self.timings = Timings()
        self.channels.clear()

    def ended(self, state: JobState, now: int) -> None:
        check_transition(self.state, state)
        self.state, self.finished = state, now

    def end(self, now: int) -> JobEnd:
        """The facts of a job that has run and has just become final."""
        return JobEnd(
            self.state,
            self.started or now,
            now,
            self.attempts,
            self.timings,
            self.error,
            self.version,
            self.digest,
            self.artefact,
        )

    def view(self, entries_gone: int) -> Job:
        """The job as callers see it; ``entries_gone`` counts what has left the model's queue."""
        queued = self.state is JobState.QUEUED
        return Job(
            id=self.new.id,
            model=self.new.model,
            state=self.state,
            owner=self.new.owner,
            version=self.version,
            digest=self.digest,
            artefact=self.artefact,
            signature_name=self.new.signature_name,
            priority=self.new.priority,
            rows=self.new.rows,
            attempts=self.attempts,
            queue_position=max(0, self.before - entries_gone) if queued else None,
            created_at=from_micros(self.created),
            started_at=None if self.started is None else from_micros(self.started),
            finished_at=None if self.finished is None else from_micros(self.finished),
            deadline_at=None if self.deadline is None else from_micros(self.deadline),
            expires_at=None if self.expires is None else from_micros(self.expires),
            timings=self.timings,
            error=self.error if self.state is JobState.FAILED else None,
            metadata=self.new.metadata,
            request_id=self.new.request_id,
            ranges=len(self.entries),
            ranges_done=len(self.entries) - self.ranges_left,
        )
