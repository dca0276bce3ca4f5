"""A job: one requested prediction and its life."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from .errors import IllegalTransition

JOB_ID = re.compile(r"\d{1,5}-[0-9a-f]{32}\Z")


class JobState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"

    @property
    def final(self) -> bool:
        return self in FINAL


_S = JobState
FINAL = frozenset({_S.SUCCEEDED, _S.FAILED, _S.CANCELLED, _S.EXPIRED})
TRANSITIONS: Mapping[JobState, frozenset[JobState]] = {
    _S.QUEUED: frozenset({_S.RUNNING, _S.FAILED, _S.CANCELLED, _S.EXPIRED}),
    # A rerun, after a crash or a retryable error, is a new attempt of the same running job: it never goes
    # back to queued.
    _S.RUNNING: frozenset({_S.SUCCEEDED, _S.FAILED, _S.CANCELLED, _S.EXPIRED}),
    _S.SUCCEEDED: frozenset(),
    _S.FAILED: frozenset({_S.QUEUED}),  # a dead letter that is redriven
    _S.CANCELLED: frozenset(),
    _S.EXPIRED: frozenset(),
}


def check_transition(old: JobState, new: JobState) -> None:
    """Raises :class:`IllegalTransition` unless the table holds the move."""
    if new not in TRANSITIONS[old]:
        raise IllegalTransition(f"{old} -> {new}")


class Priority(StrEnum):
    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


@dataclass(frozen=True, slots=True)
class JobError:
    """Why a job failed. ``attempts`` lists what happened before, oldest first."""

    code: str
    title: str
    detail: str
    attempts: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Timings:
    """``queue_ms`` from acceptance to first claim, ``predict_ms`` of the runtime's call,
    ``batch_rows`` of the call that held the job's (last) rows."""

    queue_ms: float | None = None
    predict_ms: float | None = None
    batch_rows: int | None = None


@dataclass(frozen=True, slots=True)
class RowRange:
    """Rows ``start`` up to, not including, ``stop``; ``payload`` holds exactly these rows."""

    start: int
    stop: int
    payload: bytes

    @property
    def rows(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True, slots=True)
class Hook:
    """A receiver that is told of a job's end, if that is one of ``events``: an endpoint of the owner's, or of
    the one without a URL the ``url`` that the job names. ``receiver``: owner and host; receivers are bounded
    each by itself."""

    endpoint_id: str
    url: str
    receiver: str
    events: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NewJob:
    """All that a submit stores. ``version`` None means: the worker resolves (model not loaded yet)."""

    id: str
    model: str
    ranges: tuple[RowRange, ...]
    owner: str = ""
    version: int | None = None
    pinned: bool = False  # the caller named the version: never resolved again
    digest: str | None = None
    artefact: str | None = None
    signature_name: str = "serving_default"
    outputs: tuple[str, ...] = ()  # names asked for; empty: all
    priority: Priority = Priority.NORMAL
    deadline_s: float | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    request_id: str = ""
    idempotency_key: str | None = None
    fingerprint: str = ""
    reply_to: str | None = None  # reply channel of the web process that waits
    queue_max_jobs: int = 10_000
    hooks: tuple[Hook, ...] = ()

    @property
    def rows(self) -> int:
        return self.ranges[-1].stop if self.ranges else 0


@dataclass(frozen=True, slots=True)
class Job:
    """A job as the store knows it; what is not known yet is None. ``ranges_done`` of its row ``ranges`` have
    an outcome."""

    id: str
    model: str
    state: JobState
    owner: str
    version: int | None
    digest: str | None
    artefact: str | None
    signature_name: str
    priority: Priority
    rows: int
    attempts: int
    queue_position: int | None
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    deadline_at: datetime | None = None
    expires_at: datetime | None = None
    timings: Timings = field(default_factory=Timings)
    error: JobError | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    request_id: str = ""
    ranges: int = 1
    ranges_done: int = 0


def new_job_id(bucket: int) -> str:
    """``<bucket>-<uuid7 hex>``: RFC 9562 version 7, 48 bits of Unix milliseconds, then random."""
    value = int.from_bytes(os.urandom(16), "big")
    value = (value & ~(0xFFFFFFFFFFFF << 80)) | (time.time_ns() // 1_000_000 << 80)
    value = (value & ~(0xF << 76)) | (0x7 << 76)
    value = (value & ~(0x3 << 62)) | (0x2 << 62)
    return f"{bucket}-{value:032x}"


def bucket_of(job_id: str) -> int:
    return int(job_id.split("-", 1)[0])


def from_micros(micros: int) -> datetime:
    """A moment of the store's clock (Unix time in microseconds) in UTC."""
    return datetime.fromtimestamp(micros / 1e6, UTC)
