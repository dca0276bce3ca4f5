"""The prediction service of this process, built from the settings when it is first needed."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import redis

from .catalogue import Catalogue
from .conf import Config, get_config
from .service import Limits, PredictionService
from .store.client import connect
from .store.config import StoreConfig
from .store.redis import RedisJobStore
from .store.redis_catalogue import RedisCatalogue
from .waiting import Waiters
from .wakeup import CeleryWakeups

_building = threading.Lock()
_service: PredictionService | None = None


def service() -> PredictionService:
    """One for all threads; a forked child builds its own. Does not talk to Redis yet."""
    return _service or _build()


def _build() -> PredictionService:
    global _service
    with _building:
        if _service is None:
            _service = build(get_config())
        return _service


def build(config: Config) -> PredictionService:
    """A service on Redis."""
    client = _client(config)
    store = job_store(config, client)
    return PredictionService(
        store,
        Catalogue(catalogue_store(config, client)),
        CeleryWakeups(),
        Waiters(store, config.max_waiters),
        Limits(config.buckets, config.max_body_bytes, config.max_wait_s, config.delivered_ttl_s),
    )


def job_store(config: Config, client: redis.Redis | None = None) -> RedisJobStore:
    """On a connection pool of its own unless given one."""
    settings = StoreConfig(
        result_ttl_s=config.result_ttl_s,
        delivered_ttl_s=config.delivered_ttl_s,
        record_ttl_s=config.record_ttl_s,
        queue_max_jobs=config.queue_max_jobs,
        max_strikes=config.max_strikes,
        lease_s=config.lease_s,
    )
    return RedisJobStore(client or _client(config), settings, config.key_prefix, config.buckets)


def catalogue_store(config: Config, client: redis.Redis | None = None) -> RedisCatalogue:
    """On a connection pool of its own unless given one."""
    return RedisCatalogue(client or _client(config), config.key_prefix, config.buckets)


def _client(config: Config) -> redis.Redis:
    return connect(config.redis_url, config.redis_timeout_s)


@contextmanager
def use(substitute: PredictionService) -> Iterator[None]:
    """Serve from this service meanwhile: for tests and the eager mode."""
    global _service
    before, _service = _service, substitute
    try:
        yield
    finally:
        _service = before


def _forget() -> None:
    """A connection, and the lock of a thread that a fork has not copied, are the parent's."""
    global _service, _building
    _service, _building = None, threading.Lock()


os.register_at_fork(after_in_child=_forget)
