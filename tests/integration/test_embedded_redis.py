"""The embedded server: its folder, its lock, its data, its end."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
import redis
from celery import Celery

from predict_worker.celery_config import CELERY_DEFAULTS, broker_url
from proj.embedded_redis import EmbeddedRedis, RedisNotStarted


def test_it_listens_on_a_socket_that_only_the_owner_reaches(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path / "redis") as server:
        assert stat.S_IMODE((tmp_path / "redis").stat().st_mode) == 0o700
        assert server.url.startswith("unix:///")
        assert server.client().config_get("port") == {"port": "0"}


def test_data_survives_stop_and_kill(tmp_path: Path) -> None:
    server = EmbeddedRedis(tmp_path, appendfsync="always")
    for key, end in (("a", server.stop), ("b", server.kill)):
        server.start()
        server.client().set(key, "kept")
        end()
    with server:
        assert server.client().mget("a", "b") == [b"kept", b"kept"]


def test_a_folder_serves_one_server_at_a_time(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path), pytest.raises(RedisNotStarted, match="another Redis"):
        EmbeddedRedis(tmp_path).start()
    with EmbeddedRedis(tmp_path) as server:
        assert server.client().ping()


def test_a_folder_too_deep_for_a_socket_still_works(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    with EmbeddedRedis(deep) as server:
        assert server.client().set("key", "value")
        assert (deep / "appendonly.aof").exists() or (deep / "appendonlydir").exists()
        path = Path(str(server.client().connection_pool.connection_kwargs["path"]))
    assert not path.parent.exists()


def test_a_full_server_refuses_writes(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path, maxmemory="1kb") as server, pytest.raises(redis.OutOfMemoryError):
        server.client().set("key", b"value")


def test_a_port_that_is_taken_is_an_error_with_the_servers_last_words(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path / "first", port=_free_port()) as first:
        second = EmbeddedRedis(tmp_path / "second", port=first.port)
        with pytest.raises(RedisNotStarted, match=r"(?i)address already in use"):
            second.start()


def test_celery_publishes_over_the_same_socket(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path / "with a space") as server:
        app = Celery("socket", broker=broker_url(server.url), set_as_current=False)
        app.add_defaults(lambda: dict(CELERY_DEFAULTS))
        app.send_task("any", queue="model.digits")
        assert server.client().llen("model.digits") == 1
        app.close()


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux's")
def test_it_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from proj.embedded_redis import EmbeddedRedis\n"
        f"print(EmbeddedRedis(Path({str(tmp_path)!r})).start().pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        pid = int(parent.stdout.readline())
        parent.kill()
    deadline = time.monotonic() + 10
    while _alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not _alive(pid)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, signal.SIG_DFL)
    except ProcessLookupError:
        return False
    return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
