"""Endpoints and deliveries in memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from ..core.errors import DeliveryNotFound
from ..core.hooks import (
    DELIVERY_ID,
    JOBS,
    Attempt,
    Claimed,
    Delivery,
    DeliveryPage,
    DeliveryState,
    Due,
    Endpoint,
    Verdict,
)
from ..core.job import Hook, Job, from_micros
from .config import StoreConfig
from .listing import paged
from .memory_rates import US, MemoryRates

MAX_DELIVERERS = 8
SENT_US = 60 * US
LOG = 50
PENDING = DeliveryState.PENDING


@dataclass(slots=True)
class DeliveryRecord:
    """Moments in Unix microseconds; ``due`` is the end of the lease while it is claimed."""

    id: str
    hook: Hook
    job: Job
    created: int
    due: int
    state: DeliveryState = PENDING
    tries: int = 0
    ended: int | None = None
    body: bytes | None = None
    attempts: list[Attempt] = field(default_factory=list)


class MemoryHooks(MemoryRates):
    """Implements :class:`predict_worker.core.hooks.HookStore` in one process."""

    def __init__(self, config: StoreConfig, now: Callable[[], int]) -> None:
        super().__init__(now)
        self._hook_config = config
        self._telling = threading.RLock()
        self._endpoints: dict[tuple[str, str], Endpoint] = {}
        self._told: dict[str, DeliveryRecord] = {}
        self._numbers: dict[str, int] = {}  # of a job's last delivery
        self._holds: dict[str, int] = {}
        self._deliverers: dict[str, int] = {}
        self.announced = 0
        """Deliveries made so far."""

    # ------------------------------------------------------------ endpoints

    def endpoints(self) -> tuple[Endpoint, ...]:
        with self._telling:
            found = [endpoint for (_, name), endpoint in self._endpoints.items() if name != JOBS]
            return tuple(sorted(found, key=lambda endpoint: endpoint.created_at))

    def endpoint(self, owner: str, endpoint_id: str) -> Endpoint | None:
        with self._telling:
            return self._endpoints.get((owner, endpoint_id))

    def change_endpoint(
        self, owner: str, endpoint_id: str, change: Callable[[Endpoint | None], Endpoint | None]
    ) -> Endpoint | None:
        with self._telling:
            changed = change(self._endpoints.pop((owner, endpoint_id), None))
            if changed is not None:
                self._endpoints[owner, endpoint_id] = changed
            return changed

    # ------------------------------------------------------------ what transitions do

    def announce(self, job: Job, hooks: Iterable[Hook], now: int) -> None:
        """A job has come to this end."""
        with self._telling:
            for hook in hooks:
                if job.state.value in hook.events:
                    number = self._numbers[job.id] = self._numbers.get(job.id, 0) + 1
                    made = DeliveryRecord(f"{job.id}-{number}", hook, job, now, now)
                    self._told[made.id] = made
                    self.announced += 1

    def forget_deliveries(self, job_id: str) -> None:
        with self._telling:
            self._told = {i: record for i, record in self._told.items() if record.job.id != job_id}
            self._numbers.pop(job_id, None)

    def hooks_full(self) -> bool:
        with self._telling:
            return len(self._pending()) >= self._hook_config.max_deliveries

    # ------------------------------------------------------------ deliveries

    def claim_deliveries(
        self, token: str, limit: int, width: int, busy: Mapping[str, int], lease_s: float
    ) -> Claimed:
        with self._telling:
            now, lease = self._now(), int(lease_s * US)
            taken: list[Due] = []
            used, more = dict(busy), False
            self._deliverers.pop(token, None)
            for record in self._due(now):
                receiver = record.hook.receiver
                if len(taken) >= limit or used.get(receiver, 0) >= width:
                    more = True
                    continue
                used[receiver] = used.get(receiver, 0) + 1
                record.due, record.tries = now + lease, record.tries + 1
                taken.append(self._claimed(record))
            if more or taken:
                self._deliverers[token] = now + lease
            return Claimed(tuple(taken), more)

    def attempted(self, due: Due, attempt: Attempt, verdict: Verdict, body: bytes) -> None:
        with self._telling:
            now, record = self._now(), self._find(due.id)
            if record is None:
                return
            logged = Attempt(attempt.status, attempt.error, attempt.took_ms, from_micros(now))
            record.attempts = [*record.attempts, logged][-LOG:]
            record.body = body or record.body
            if verdict.hold_s > 0:
                self._holds[due.receiver] = now + int(verdict.hold_s * US)
            overtaken = record.tries != due.number and verdict.state is not DeliveryState.DELIVERED
            if record.state is not PENDING or overtaken:
                return
            record.state = verdict.state
            if verdict.state is PENDING:
                record.due = now + int(verdict.retry_in_s * US)
            else:
                record.ended = now

    def due_wakeups(self) -> tuple[str, ...]:
        with self._telling:
            now = self._now()
            due = self._due(now)
            token = self.wake_deliverer(now, late=due[0].due < now - US) if due else None
            return (token,) if token else ()

    def wake_deliverer(self, now: int, late: bool = False) -> str | None:
        """A token to publish, or None if enough workers are at the deliveries."""
        with self._telling:
            self._deliverers = {token: end for token, end in self._deliverers.items() if end > now}
            alive = len(self._deliverers)
            if alive and not (late and alive < MAX_DELIVERERS):
                return None
            token = f"0-{now}-{alive}"
            self._deliverers[token] = now + SENT_US
            return token

    def replay(self, delivery_id: str) -> str | None:
        with self._telling:
            now, record = self._now(), self._find(delivery_id)
            if record is None:
                raise DeliveryNotFound(delivery_id)
            record.state, record.tries, record.due, record.ended = PENDING, 0, now, None
            return self.wake_deliverer(now)

    def delivery(self, delivery_id: str) -> Delivery:
        with self._telling:
            record = self._find(delivery_id)
            if record is None:
                raise DeliveryNotFound(delivery_id)
            return _view(record)

    def deliveries(
        self, owner: str | None, limit: int = 100, cursor: str = "", job_id: str | None = None
    ) -> DeliveryPage:
        with self._telling:
            made = {
                record.id: record.created
                for record in map(self._find, list(self._told))
                if record is not None
                and owner in (None, record.job.owner)
                and job_id in (None, record.job.id)
            }
            page = paged(made, limit, cursor, DELIVERY_ID)
            return DeliveryPage(tuple(_view(self._told[i]) for i in page.job_ids), page.cursor)

    def _find(self, delivery_id: str) -> DeliveryRecord | None:
        """Less what has outlived its time."""
        record = self._told.get(delivery_id)
        ttl_us = self._hook_config.record_ttl_s * US
        if record and record.ended is not None and self._now() >= record.ended + ttl_us:
            del self._told[delivery_id]
            return None
        return record

    def _pending(self) -> list[DeliveryRecord]:
        return [record for record in self._told.values() if record.state is PENDING]

    def _due(self, now: int) -> list[DeliveryRecord]:
        """Those whose receivers are not spared, by their moment."""
        due = [r for r in self._pending() if r.due <= now and self._holds.get(r.hook.receiver, 0) <= now]
        return sorted(due, key=lambda record: record.due)

    def _claimed(self, record: DeliveryRecord) -> Due:
        return Due(
            id=record.id,
            receiver=record.hook.receiver,
            owner=record.job.owner,
            endpoint_id=record.hook.endpoint_id,
            url=record.hook.url,
            event=record.job.state.value,
            created_at=from_micros(record.created),
            number=record.tries,
            job=record.job if record.body is None else None,
            body=record.body,
        )


def _view(record: DeliveryRecord) -> Delivery:
    return Delivery(
        id=record.id,
        job_id=record.job.id,
        owner=record.job.owner,
        event=record.job.state.value,
        endpoint_id=record.hook.endpoint_id,
        url=record.hook.url,
        state=record.state,
        created_at=from_micros(record.created),
        due_at=from_micros(record.due) if record.state is PENDING else None,
        attempts=tuple(record.attempts),
    )
