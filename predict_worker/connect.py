"""The prediction service of this process, built from the settings when it is first needed."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import redis

from .catalogue import Catalogue
from .conf import Config, get_config
from .service import Limits, PredictionService
from .store.client import connect
from .store.config import StoreConfig
from .store.redis import RedisJobStore
from .store.redis_catalogue import RedisCatalogue
from .store.server import ServerFacts, server_facts
from .waiting import Waiters
from .wakeup import CeleryWakeups

Build = Callable[[Config], PredictionService]


def service() -> PredictionService:
    """One for all threads, built anew when the settings are overridden; a forked child builds its own.
    Does not talk to Redis yet."""
    config = get_config()
    known = _built
    return known[1] if known and known[0] is config else _build(config)


def _build(config: Config) -> PredictionService:
    global _built
    with _building:
        if _built is None or _built[0] is not config:
            _built = config, _builder(config)
        return _built[1]


def build(config: Config) -> PredictionService:
    """A service on Redis."""
    client = _client(config)
    store = job_store(config, client)
    return PredictionService(
        store,
        Catalogue(catalogue_store(config, client)),
        CeleryWakeups(),
        Waiters(store, config.max_waiters),
        limits(config),
    )


def limits(config: Config) -> Limits:
    delivered_ttl_s = min(config.delivered_ttl_s, config.result_ttl_s)
    return Limits(
        config.buckets,
        config.max_body_bytes,
        config.max_wait_s,
        delivered_ttl_s,
        config.max_streams,
        config.webhook_allow,
    )


def store_config(config: Config) -> StoreConfig:
    return StoreConfig(
        result_ttl_s=config.result_ttl_s,
        delivered_ttl_s=config.delivered_ttl_s,
        record_ttl_s=config.record_ttl_s,
        queue_max_jobs=config.queue_max_jobs,
        max_strikes=config.max_strikes,
        lease_s=config.lease_s,
        max_deliveries=config.webhook_max_pending,
        # As long as one may be pending, and what has come to an end is kept.
        deliveries_ttl_s=1.5 * sum(config.webhook_retries_s) + 86400 + config.record_ttl_s,
    )


def job_store(config: Config, client: redis.Redis | None = None) -> RedisJobStore:
    """On a connection pool of its own unless given one."""
    return RedisJobStore(client or _client(config), store_config(config), config.key_prefix, config.buckets)


def catalogue_store(config: Config, client: redis.Redis | None = None) -> RedisCatalogue:
    """On a connection pool of its own unless given one."""
    return RedisCatalogue(client or _client(config), config.key_prefix, config.buckets)


def server(config: Config) -> ServerFacts:
    """Raises StoreUnavailable."""
    return server_facts(_client(config))


def _client(config: Config) -> redis.Redis:
    return connect(config.redis_url, config.redis_timeout_s)


_building = threading.Lock()
_builder: Build = build
_built: tuple[Config, PredictionService] | None = None


@contextmanager
def build_by(builder: Build) -> Iterator[None]:
    """Meanwhile the service is what this makes of the settings: for tests and the eager mode."""
    global _builder, _built
    before = _builder, _built
    _builder, _built = builder, None
    try:
        yield
    finally:
        _builder, _built = before


@contextmanager
def use(substitute: PredictionService) -> Iterator[None]:
    """Serve from this service meanwhile, whatever the settings."""
    with build_by(lambda _: substitute):
        yield


def _forget() -> None:
    """A connection, and the lock of a thread that a fork has not copied, are the parent's."""
    global _built, _building
    _built, _building = None, threading.Lock()


os.register_at_fork(after_in_child=_forget)
