"""The services under comparison, each with a Redis of its own, and what their processes use."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from proj.children import spawn, stop
from proj.embedded_redis import EmbeddedRedis

ROOT = Path(__file__).resolve().parents[1]
DEPLOYED = ROOT / "benchmarks" / "deployed"
"""Stands before the development packages that a deployed web has not."""
READY_S = 90.0


@dataclass(frozen=True, slots=True)
class Usage:
    """Of one kind of process: CPU since its start, and memory now, summed over its processes."""

    cpu_s: float
    pss_mb: float
    uss_mb: float
    processes: int


@dataclass(slots=True)
class Service:
    """Running processes by name; the first child of each Redis, web and worker."""

    url: str
    redis: EmbeddedRedis
    processes: Mapping[str, subprocess.Popen[bytes]]

    def usage(self) -> dict[str, Usage]:
        named = {name: psutil.Process(process.pid) for name, process in self.processes.items()}
        return {name: _usage([process, *process.children(recursive=True)]) for name, process in named.items()}

    def children(self, name: str) -> list[psutil.Process]:
        return list(psutil.Process(self.processes[name].pid).children())


def _usage(processes: list[psutil.Process]) -> Usage:
    cpu_s = pss = uss = 0.0
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            times, memory = process.cpu_times(), process.memory_full_info()
            cpu_s += times.user + times.system
            pss, uss = pss + memory.pss / 1e6, uss + memory.uss / 1e6
    return Usage(cpu_s, pss, uss, len(processes))


@contextmanager
def running(
    folder: Path,
    commands: Mapping[str, list[str]],
    environment: Mapping[str, str],
    appendfsync: str,
    ready: str,
) -> Iterator[Service]:
    """Redis and the commands, ``{port}`` in them filled in; ready when ``ready`` (a path) answers 200."""
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    folder.mkdir(parents=True)
    with EmbeddedRedis(folder / "redis", port=_free_port(), appendfsync=appendfsync) as redis:
        env = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "REDIS_URL": redis.url,
            "LOG_LEVEL": "WARNING",
            **environment,
        }
        processes: dict[str, subprocess.Popen[bytes]] = {}
        try:
            for name, command in commands.items():
                filled = [word.replace("{port}", str(port)) for word in command]
                own = {**env, "PYTHONPATH": f"{DEPLOYED}:{ROOT}"} if name == "web" else env
                with (folder / f"{name}.log").open("wb") as log:
                    processes[name] = spawn(filled, env=own, cwd=ROOT, output=log)
            await_true(lambda: _answers(url + ready), READY_S, f"{url}{ready}")
            if redis.process:
                processes["redis"] = redis.process
            yield Service(url, redis, processes)
        finally:
            for name, process in processes.items():
                if name != "redis":
                    stop(process, 15)


def web(application: str, workers: int) -> list[str]:
    """As the Procfile has it."""
    return _granian("asginl", application, workers)


def threaded_web(application: str, workers: int, threads: int) -> list[str]:
    return [*_granian("wsgi", application, workers), "--blocking-threads", str(threads)]


def _granian(interface: str, application: str, workers: int) -> list[str]:
    return [
        *(sys.executable, "-m", "granian", "--interface", interface, "--http", "1", "--no-ws", application),
        *("--host", "127.0.0.1", "--port", "{port}", "--workers", str(workers), "--log-level", "error"),
    ]


def tutorial_web(application: str, workers: int) -> list[str]:
    """As tutorials serve it: gunicorn with its default kind of worker."""
    return [
        *(sys.executable, "-m", "gunicorn", application, "--workers", str(workers)),
        *("--bind", "127.0.0.1:{port}", "--log-level", "error"),
    ]


def worker(app: str, children: int) -> list[str]:
    return [sys.executable, "-m", "celery", "-A", app, "worker", "-c", str(children), "-l", "WARNING"]


def await_true(probe: Callable[[], object], timeout_s: float, what: str) -> float:
    """Seconds that it took."""
    started = time.monotonic()
    while not probe():
        if time.monotonic() - started > timeout_s:
            raise TimeoutError(f"{what}: not within {timeout_s:.0f} s")
        time.sleep(0.005)
    return time.monotonic() - started


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
