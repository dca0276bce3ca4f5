"""The stores under contract: each test runs against every implementation."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest
import redis

from predict_worker.core.ports import JobStore
from predict_worker.store.config import StoreConfig
from tests.contract.backends import REDIS_SERVERS, Backend, MemoryBackend, RedisBackend, running_redis
from tests.contract.scene import MODEL, ROOMY, lane

Open = Callable[[StoreConfig], JobStore]


@pytest.fixture(scope="session", params=["memory", *(REDIS_SERVERS or ["redis"])])
def redis_client(request: pytest.FixtureRequest) -> Iterator[redis.Redis | None]:
    """None where jobs are kept in memory."""
    if request.param == "memory":
        yield None
        return
    if request.param not in REDIS_SERVERS:
        if os.environ.get("CI"):
            pytest.fail("no redis-server found")
        pytest.skip("no redis-server found")
    with running_redis(REDIS_SERVERS[request.param]) as client:
        yield client


@pytest.fixture
def backend(redis_client: redis.Redis | None) -> Backend:
    if redis_client is None:
        return MemoryBackend()
    return RedisBackend(redis_client)


@pytest.fixture
def open_store(backend: Backend) -> Open:
    """Opens the store so that any number of children may claim, whatever token they hold."""

    def open_store(config: StoreConfig) -> JobStore:
        store = backend.open(config)
        backend.set_ready(MODEL, 100)
        store.step(lane(), (), None, entry_ms=1000)
        return store

    return open_store


@pytest.fixture
def store(open_store: Open) -> JobStore:
    return open_store(ROOMY)
