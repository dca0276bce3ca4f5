"""What a Redis says of itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import redis

from ..core.errors import StoreUnavailable
from .scripts import guarded


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """``eviction``: what it does when it is full, as ``maxmemory-policy`` has it."""

    eviction: str
    appends: bool  # to its append-only file


def server_facts(client: redis.Redis) -> ServerFacts:
    """By INFO, which hosted servers allow too, other than CONFIG. Raises StoreUnavailable."""
    asked: Any = client
    try:
        said = guarded(lambda: {**asked.info("memory"), **asked.info("persistence")})
    except redis.exceptions.RedisError as error:  # not permitted to this user, or no Redis at all
        raise StoreUnavailable(f"Redis refused: {error}") from error
    return ServerFacts(str(said.get("maxmemory_policy", "")), bool(said.get("aof_enabled")))
