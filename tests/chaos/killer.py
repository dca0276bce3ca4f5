"""Kills by kind, and what brings the killed back."""

from __future__ import annotations

import random
import signal
import subprocess
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

import psutil

from tests.system.stack import Stack

KINDS = ("child", "worker", "web", "redis", "frozen child", "stopped worker")


class Killer:
    """Two workers of two children, one web, one Redis. One kill at a time; whole workers and Redis are
    started again at once, as a process manager would."""

    def __init__(self, stack: Stack, rng: random.Random) -> None:
        self._stack, self._rng = stack, rng
        self.kills: Counter[str] = Counter()
        self._frozen: list[psutil.Process] = []
        self._workers: list[subprocess.Popen[bytes]] = []
        self._number = 0
        stack.redis.start()
        self._web = stack.web()
        for _ in range(2):
            self._start_worker()
        stack.await_ready()

    def strike(self) -> None:
        for process in self._frozen:  # those that froze last time come back as zombies
            self._signal(process, signal.SIGCONT)
        self._frozen.clear()
        kind = self._rng.choice(KINDS)
        actions: dict[str, Callable[[], None]] = {
            "child": lambda: self._signal(self._child(), signal.SIGKILL),
            "worker": self._kill_worker,
            "web": self._kill_web,
            "redis": self._kill_redis,
            "frozen child": self._freeze_child,
            "stopped worker": self._stop_worker,
        }
        actions[kind]()
        self.kills[kind] += 1

    def rest(self) -> None:
        """Nobody is killed any more, and nobody is frozen."""
        for process in self._frozen:
            self._signal(process, signal.SIGCONT)
        self._stack.await_ready()

    def _start_worker(self) -> None:
        self._number += 1
        self._workers.append(self._stack.worker(children=2, name=f"worker{self._number}"))

    def _a_worker(self) -> subprocess.Popen[bytes]:
        return self._workers.pop(self._rng.randrange(len(self._workers)))

    def _kill_worker(self) -> None:
        worker = self._a_worker()
        worker.kill()
        worker.wait()
        self._start_worker()

    def _stop_worker(self) -> None:
        worker = self._a_worker()
        worker.terminate()
        self._start_worker()
        worker.wait(60)

    def _kill_web(self) -> None:
        # Of granian's own process alone the children would live on, and keep the port.
        family = [psutil.Process(self._web.pid), *psutil.Process(self._web.pid).children(recursive=True)]
        for process in family:
            self._signal(process, signal.SIGKILL)
        self._web.wait()
        self._web = self._stack.web()

    def _kill_redis(self) -> None:
        self._stack.redis.kill()
        self._stack.redis.start()

    def _freeze_child(self) -> None:
        child = self._child()
        if child is not None:
            self._signal(child, signal.SIGSTOP)
            self._frozen.append(child)

    def _child(self) -> psutil.Process | None:
        children = self._stack.children(self._rng.choice(self._workers))
        return self._rng.choice(children) if children else None

    @staticmethod
    def _signal(process: psutil.Process | None, number: signal.Signals) -> None:
        if process is not None:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)
