"""The connection to Redis, with every wait bounded."""

from __future__ import annotations

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry


def connect(url: str, timeout_s: float) -> redis.Redis:
    """A client for threads of one process. It never retries by itself: whether a call may be
    repeated is decided where it is made (:meth:`predict_worker.store.scripts.Scripts.call`)."""
    return redis.Redis.from_url(
        url,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=Retry(NoBackoff(), 0),
        max_connections=10_000,  # its threads are the bound: beyond the library's hundred calls fail at once
        protocol=2,
    )
