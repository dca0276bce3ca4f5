"""A reply channel whose other end vanishes without a word, as behind a router that forgets a connection."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import redis

from predict_worker.core.ports import Finished
from predict_worker.store.replies import RedisSubscription
from tests.contract.backends import REDIS_SERVERS, RedisBackend
from tests.contract.scene import Mailbox, eventually

pytestmark = pytest.mark.parametrize("redis_client", list(REDIS_SERVERS) or ["redis"], indirect=True)


class Router:
    """Passes bytes on between clients and a server; it can forget all connections made so far."""

    def __init__(self, path: Path, server: str) -> None:
        self.path, self._server, self._generation = path, server, 0
        self._ends: list[socket.socket] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def forget(self) -> None:
        self._generation += 1

    def close(self) -> None:
        for end in (self._listener, *self._ends):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        self.path.unlink()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(self._server)
                self._ends += (client, server)
                for ends in ((client, server), (server, client)):
                    threading.Thread(target=self._pass, args=(*ends, self._generation), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, generation: int) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if generation == self._generation:
                    target.sendall(data)


@pytest.fixture
def router(backend: RedisBackend) -> Iterator[Router]:
    server = backend.client.connection_pool.connection_kwargs["path"]
    router = Router(Path(f"{server}.{backend.prefix[:4]}"), server)
    yield router
    router.close()


def test_reply_channel_that_was_forgotten_on_the_way_is_opened_anew(
    router: Router, backend: RedisBackend
) -> None:
    mailbox = Mailbox()
    client = redis.Redis(unix_socket_path=str(router.path), socket_timeout=1)
    subscription = RedisSubscription(client, backend.prefix, mailbox.put, silent_s=0.1)
    try:
        eventually(lambda: subscribers(backend) == 1)
        router.forget()
        eventually(lambda: said(backend, mailbox))
    finally:
        subscription.close()


def test_quiet_reply_channel_stays_open(router: Router, backend: RedisBackend) -> None:
    client = redis.Redis(unix_socket_path=str(router.path), socket_timeout=1)
    subscription = RedisSubscription(client, backend.prefix, Mailbox().put, silent_s=0.3)
    try:
        eventually(lambda: subscribers(backend) == len(channel_clients(backend)) == 1)
        (before,) = channel_clients(backend)
        eventually(lambda: channel_clients(backend)[0]["cmd"] == "ping")
        eventually(lambda: int(channel_clients(backend)[0]["age"]) >= 1)
        assert [c["id"] for c in channel_clients(backend)] == [before["id"]]
    finally:
        subscription.close()


def subscribers(backend: RedisBackend) -> int:
    ((_, count),) = backend.client.pubsub_numsub(backend.prefix)
    return int(count)


def channel_clients(backend: RedisBackend) -> list[dict[str, str]]:
    return list(backend.client.client_list(_type="pubsub"))


def said(backend: RedisBackend, mailbox: Mailbox) -> bool:
    """Whether a message has come through."""
    job_id = f"0-{'0' * 32}".encode()
    backend.client.publish(backend.prefix, len(job_id).to_bytes(4, "big") + b"\xff" * 4 + job_id)
    return [Finished(job_id.decode())] in mailbox.messages
