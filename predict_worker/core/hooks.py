"""Webhooks: who is told of a job's end, what became of each telling, and the port that keeps both."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from .job import Job, JobState

EVENTS = tuple(state.value for state in JobState if state.final)
"""The ends of a job that may be told."""

DELIVERY_ID = re.compile(r"\d{1,5}-[0-9a-f]{32}-\d{1,9}\Z")
"""A job's id and a number."""

JOBS = "jobs"
"""The endpoint of an owner that has no URL: its secrets sign what goes to the URLs that jobs name."""


@dataclass(frozen=True, slots=True)
class Secret:
    """One of an endpoint's. ``until``: the moment from which it no longer signs; None for the newest."""

    text: str
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A receiver that an owner has registered for the ends of all his jobs, or :data:`JOBS`.

    ``disabled`` says why nothing is sent there; empty while something is.
    """

    id: str
    owner: str
    url: str
    events: tuple[str, ...]
    secrets: tuple[Secret, ...]
    created_at: datetime
    disabled: str = ""


class DeliveryState(StrEnum):
    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Attempt:
    """``status`` is the HTTP status that came back, None where none did; ``error`` is empty on success.
    ``at`` is filled by the store."""

    status: int | None
    error: str
    took_ms: int
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """One end of a job for one receiver: ``event`` is the job's final state, ``url`` empty where it is the
    endpoint's. ``due_at``: of the next attempt, None once it has come to an end."""

    id: str
    job_id: str
    owner: str
    event: str
    endpoint_id: str
    url: str
    state: DeliveryState
    created_at: datetime
    due_at: datetime | None
    attempts: tuple[Attempt, ...] = ()


@dataclass(frozen=True, slots=True)
class Due:
    """A delivery that is claimed for one attempt, the ``number``-th since it was made or replayed.

    ``job`` is as it was at its end; None once ``body`` is settled: each attempt sends the same.
    """

    id: str
    receiver: str
    owner: str
    endpoint_id: str
    url: str
    event: str
    created_at: datetime
    number: int
    job: Job | None = None
    body: bytes | None = None


@dataclass(frozen=True, slots=True)
class Claimed:
    """``more``: others are due, of receivers that are busy, or beyond the limit; ask again soon. Else the
    token is released, unless something was claimed."""

    deliveries: tuple[Due, ...] = ()
    more: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an attempt leads to: the end (``state``), or another attempt in ``retry_in_s``. Its receiver is
    spared for ``hold_s``."""

    state: DeliveryState
    retry_in_s: float = 0.0
    hold_s: float = 0.0


@dataclass(frozen=True, slots=True)
class DeliveryPage:
    """Deliveries, newest first; ``cursor`` leads to those that follow, empty where there are none."""

    deliveries: tuple[Delivery, ...] = ()
    cursor: str = ""


class HookStore(Protocol):
    """Endpoints and deliveries. The end of a job makes its deliveries due in the same transaction.

    Every method is atomic and raises ``StoreUnavailable``. A delivery that is pending stays; one that has
    come to an end is kept for as long as a job's record.
    """

    def endpoints(self) -> tuple[Endpoint, ...]:
        """All that are registered, without :data:`JOBS`."""
        ...

    def endpoint(self, owner: str, endpoint_id: str) -> Endpoint | None: ...

    def change_endpoint(
        self, owner: str, endpoint_id: str, change: Callable[[Endpoint | None], Endpoint | None]
    ) -> Endpoint | None:
        """Replace what is there by what ``change`` makes of it, None being nothing; returns that. ``change``
        may be called more than once."""
        ...

    def claim_deliveries(
        self, token: str, limit: int, width: int, busy: Mapping[str, int], lease_s: float
    ) -> Claimed:
        """Take deliveries that are due, at most ``width`` to one receiver with those that are ``busy``.

        What is not reported to :meth:`attempted` within the lease is due again.
        """
        ...

    def attempted(self, due: Due, attempt: Attempt, verdict: Verdict, body: bytes) -> None:
        """Log an attempt and do as it is judged: unless another has begun meanwhile, or the job is gone."""
        ...

    def due_wakeups(self) -> tuple[str, ...]:
        """Tokens that must be published: something is due, and nobody is at it, or not fast enough."""
        ...

    def replay(self, delivery_id: str) -> str | None:
        """The delivery is due now, with all its attempts before it; returns a token to publish.

        Raises DeliveryNotFound, QueueFull.
        """
        ...

    def delivery(self, delivery_id: str) -> Delivery:
        """Raises DeliveryNotFound."""
        ...

    def deliveries(
        self, owner: str | None, limit: int = 100, cursor: str = "", job_id: str | None = None
    ) -> DeliveryPage:
        """An owner's deliveries, of None everybody's; those of one job."""
        ...

    def outputs(self, job_id: str, ranges: int, max_bytes: int) -> tuple[bytes, ...] | None:
        """A job's outputs by range; None where they are more than that, or not all there."""
        ...
