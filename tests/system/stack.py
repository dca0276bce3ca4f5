"""A whole service for a test: a real Redis, granian, and Celery prefork workers, each a process."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psutil

from proj.embedded_redis import EmbeddedRedis

ROOT = Path(__file__).resolve().parents[2]
Value = TypeVar("Value")


def until(probe: Callable[[], Value], timeout_s: float = 30.0, what: str = "condition") -> Value:
    """The first truthy answer; fails after the timeout with the last one."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = probe()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} not met within {timeout_s} s, last: {value!r}")
        time.sleep(0.01)


class Stack:
    """Started piece by piece; ``close`` ends every process it has started.

    ``project`` names the package of settings, Celery app and WSGI application, in the folder ``home``.
    """

    project = "proj"
    home = ROOT
    python = sys.executable
    interface = "asginl"
    """Of the web: ASGI without its lifespan, or ``wsgi``."""

    def __init__(self, folder: Path, models: Path, **environment: str) -> None:
        self.folder = folder
        self.redis = EmbeddedRedis(folder / "redis", appendfsync="everysec")
        self.port = _free_port()
        self._environment = {
            **os.environ,
            "PYTHONPATH": str(self.home),
            "DJANGO_SETTINGS_MODULE": f"{self.project}.settings",
            "MODEL_REPOSITORY": str(models),
            "DATABASE_URL": f"sqlite:///{folder / 'db.sqlite3'}",
            "SECRET_KEY": "system-tests",
            "PREDICT_WORKER_ALLOW_ANONYMOUS": "1",
            "TF_CPP_MIN_LOG_LEVEL": "2",
            **environment,
        }
        self._processes: list[subprocess.Popen[bytes]] = []
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=40, trust_env=False)

    @property
    def environment(self) -> dict[str, str]:
        """What the processes get."""
        return {**self._environment, "REDIS_URL": self.redis.url}

    def start(self, *, children: int = 1, queues: str = "") -> Stack:
        self.redis.start()
        self.web()
        self.worker(children=children, queues=queues)
        self.await_ready()
        return self

    def web(self, interface: str = "") -> subprocess.Popen[bytes]:
        interface = interface or self.interface
        application = f"{self.project}.{interface.removesuffix('nl')}:application"
        command = ["granian", "--interface", interface, application, "--host", "127.0.0.1"]
        options = [
            "--port",
            str(self.port),
            "--workers",
            "1",
            "--backpressure",
            "256",
            *(["--blocking-threads", "32"] if interface == "wsgi" else []),
        ]
        return self._spawn("web", [self.python, "-m", *command, *options])

    def worker(
        self,
        *,
        children: int = 1,
        queues: str = "",
        app: str = "",
        pool: str = "prefork",
        name: str = "worker",
    ) -> subprocess.Popen[bytes]:
        """``name`` is the log's; without ``queues`` it serves every model."""
        command = [
            "celery",
            "-A",
            app or self.project,
            "worker",
            "-l",
            "INFO",
            "-c",
            str(children),
            "-P",
            pool,
        ]
        return self._spawn(name, [self.python, "-m", *command, *(["-Q", queues] if queues else [])])

    def await_ready(self, timeout_s: float = 60.0) -> None:
        until(lambda: self.ready().status_code == 200, timeout_s, "readiness")

    def ready(self) -> httpx.Response:
        try:
            return self.http.get("/readyz")
        except httpx.TransportError as error:
            return httpx.Response(503, text=str(error))

    def predict(self, model: str, inputs: Any, *, wait_s: float = 0, **fields: Any) -> httpx.Response:
        headers = {"Prefer": f"wait={wait_s}"} if wait_s else {}
        return self.http.post("/api/jobs", json={"model": model, "inputs": inputs, **fields}, headers=headers)

    def job(self, job_id: str) -> dict[str, Any]:
        return dict(self.http.get(f"/api/jobs/{job_id}").json())

    def final(self, job_id: str, timeout_s: float = 30.0) -> dict[str, Any]:
        def probe() -> dict[str, Any] | None:
            job = self.job(job_id)
            return job if job["state"] not in ("queued", "running") else None

        return until(probe, timeout_s, f"end of {job_id}") or {}

    def workers(self) -> list[dict[str, Any]]:
        return list(self.http.get("/api/workers").json()["workers"])

    def children(self, worker: subprocess.Popen[bytes]) -> list[psutil.Process]:
        """The pool's processes of a worker."""
        return psutil.Process(worker.pid).children()

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def end(
        self, process: subprocess.Popen[bytes], sig: signal.Signals = signal.SIGTERM, timeout_s: float = 30
    ) -> int:
        process.send_signal(sig)
        return process.wait(timeout_s)

    def close(self) -> None:
        self.http.close()
        for process in reversed(self._processes):
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(15)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        self.redis.stop()

    def _spawn(self, name: str, command: list[str]) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                command, cwd=self.home, env=self.environment, stdout=log, stderr=subprocess.STDOUT
            )
        self._processes.append(process)
        return process


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def lines(response: httpx.Response) -> str:
    """A response as a failing test shows it."""
    return f"{response.status_code} {json.dumps(response.json(), indent=1)}"
