"""Endpoints and deliveries as the API shows them."""

from __future__ import annotations

from typing import Any

from predict_worker.core.hooks import Attempt, Delivery, Endpoint
from predict_worker.job_object import rfc3339


def endpoint_object(endpoint: Endpoint, with_secret: bool = False) -> dict[str, Any]:
    """Of the secrets only the newest is shown, and only where one endpoint is asked for."""
    shown = {
        "id": endpoint.id,
        "url": endpoint.url or None,
        "events": endpoint.events,
        "created_at": rfc3339(endpoint.created_at),
        "disabled": endpoint.disabled or None,
        "signs_until": [rfc3339(secret.until) for secret in endpoint.secrets[1:]],
    }
    return {**shown, "secret": endpoint.secrets[0].text} if with_secret else shown


def delivery_object(delivery: Delivery) -> dict[str, Any]:
    return {
        "id": delivery.id,
        "job": delivery.job_id,
        "type": f"job.{delivery.event}",
        "endpoint": delivery.endpoint_id,
        "url": delivery.url or None,
        "state": delivery.state.value,
        "created_at": rfc3339(delivery.created_at),
        "next_attempt_at": rfc3339(delivery.due_at),
        "attempts": [_attempt(attempt) for attempt in delivery.attempts],
    }


def _attempt(attempt: Attempt) -> dict[str, Any]:
    return {
        "at": rfc3339(attempt.at),
        "status": attempt.status,
        "error": attempt.error or None,
        "took_ms": attempt.took_ms,
    }
