"""What the in-memory job store remembers of one job and of one entry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..core.job import Job, JobError, JobState, NewJob, Priority, Timings, check_transition, from_micros
from ..core.ports import Entry, JobEnd, Loss, Outcome


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


@dataclass(slots=True)
class JobRecord:
    """A job and its data. ``before`` counts the entries submitted to the model before its own."""

    new: NewJob
    created: int
    before: int
    entries: tuple[QueuedEntry, ...]
    state: JobState = JobState.QUEUED
    started: int | None = None
    finished: int | None = None
    expires: int | None = None
    attempts: int = 0
    strikes: int = 0
    node_losses: int = 0
    ranges_left: int = 0
    inputs: list[bytes | None] = field(default_factory=list)
    outputs: list[bytes | None] = field(default_factory=list)
    error: JobError | None = None
    history: list[Mapping[str, Any]] = field(default_factory=list)
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
            ranges_left=len(entries),
            inputs=[part.payload for part in new.ranges],
            outputs=[None] * len(entries),
            channels={new.reply_to: None} if new.reply_to else {},
            version=new.version,
            digest=new.digest,
            artefact=new.artefact,
        )

    @property
    def deadline(self) -> int | None:
        return None if self.new.deadline_s is None else self.created + int(self.new.deadline_s * 1e6)

    def overdue(self, now: int) -> bool:
        return self.deadline is not None and now > self.deadline

    def claimed(self, entry: QueuedEntry, now: int) -> Entry:
        """Note one more run of an entry, and tell what its consumer must know."""
        if self.started is None:
            check_transition(self.state, JobState.RUNNING)
            self.state, self.started = JobState.RUNNING, now
        entry.attempt += 1
        self.attempts = max(self.attempts, entry.attempt)
        return Entry(
            id=entry.id,
            job_id=self.new.id,
            range_index=entry.range_index,
            rows=entry.rows,
            version=self.new.version,
            pinned=self.new.pinned,
            signature_name=self.new.signature_name,
            outputs=self.new.outputs,
            attempt=entry.attempt,
            queue_ms=(self.started - self.created) / 1000,
            payload=self.inputs[entry.range_index],
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

    def lost(self, attempt: int, loss: Loss, alone: bool, now: int) -> None:
        """Count the death of a consumer: of a node, or a strike if it ran one entry alone."""
        if loss is Loss.NODE:
            self.node_losses += 1
        elif alone:
            self.strikes += 1
        at = from_micros(now).isoformat()
        self.history.append({"attempt": attempt, "loss": loss.value, "alone": alone, "at": at})

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
        )
