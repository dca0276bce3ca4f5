"""The connection to Redis, where one is not enough."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from predict_worker.store.client import connect


def test_as_many_may_ask_at_once_as_there_are_threads() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=200) as silent:
        client = connect(f"redis://127.0.0.1:{silent.getsockname()[1]}", 1.0)

        def ask(_: int) -> None:
            with pytest.raises(redis.exceptions.TimeoutError):
                client.ping()

        with ThreadPoolExecutor(150) as threads:
            list(threads.map(ask, range(150)))
        client.close()
