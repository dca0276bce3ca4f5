"""Between Redis' bytes and what the core knows of endpoints and deliveries."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from ..core.hooks import Attempt, Delivery, DeliveryState, Due, Endpoint, Secret
from ..core.job import from_micros
from .records import dump, job_from_fields


def endpoint_json(endpoint: Endpoint) -> str:
    return dump(
        {
            "id": endpoint.id,
            "owner": endpoint.owner,
            "url": endpoint.url,
            "events": endpoint.events,
            "secrets": [[s.text, None if s.until is None else s.until.isoformat()] for s in endpoint.secrets],
            "created_at": endpoint.created_at.isoformat(),
            "disabled": endpoint.disabled,
        }
    )


def endpoint(raw: bytes) -> Endpoint:
    told = json.loads(raw)
    secrets = tuple(
        Secret(text, None if until is None else datetime.fromisoformat(until))
        for text, until in told["secrets"]
    )
    created = datetime.fromisoformat(told["created_at"])
    return Endpoint(
        told["id"], told["owner"], told["url"], tuple(told["events"]), secrets, created, told["disabled"]
    )


def attempt_json(attempt: Attempt) -> str:
    """Less its moment and the brackets: the script adds them."""
    return dump([attempt.status, attempt.error, attempt.took_ms])[1:-1]


def due(delivery_id: str, number: int, raw: Mapping[bytes, bytes]) -> Due:
    body, job = raw.get(b"body"), None
    if body is None:
        facts = [text.encode() for text in json.loads(raw[b"facts"])]
        job = job_from_fields(raw[b"job"].decode(), facts)
    return Due(
        id=delivery_id,
        receiver=raw[b"receiver"].decode(),
        owner=raw[b"owner"].decode(),
        endpoint_id=raw[b"endpoint"].decode(),
        url=raw[b"url"].decode(),
        event=raw[b"event"].decode(),
        created_at=_moment(raw[b"created"]),
        number=number,
        job=job,
        body=body,
    )


def delivery(delivery_id: str, raw: Mapping[bytes, bytes], due_us: float | None) -> Delivery:
    state = DeliveryState(raw[b"state"].decode())
    pending = state is DeliveryState.PENDING and due_us is not None
    return Delivery(
        id=delivery_id,
        job_id=raw[b"job"].decode(),
        owner=raw[b"owner"].decode(),
        event=raw[b"event"].decode(),
        endpoint_id=raw[b"endpoint"].decode(),
        url=raw[b"url"].decode(),
        state=state,
        created_at=_moment(raw[b"created"]),
        due_at=from_micros(int(due_us)) if pending and due_us is not None else None,
        attempts=tuple(_attempt(json.loads(line)) for line in raw.get(b"log", b"").splitlines()),
    )


def _attempt(told: Sequence[Any]) -> Attempt:
    at_us, status, error, took_ms = told
    return Attempt(status, error, took_ms, from_micros(at_us))


def _moment(raw: bytes) -> datetime:
    return from_micros(int(raw))
