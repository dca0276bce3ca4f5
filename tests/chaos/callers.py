"""Callers that never tire: each sends a job, waits or polls for it, and repeats what was refused."""

from __future__ import annotations

import random
import threading
import time
import uuid

import httpx

from .ledger import Ledger

PATIENCE_S = 60.0
"""How long a request is repeated before it is given up: as far as its caller knows it was not accepted."""


class Callers:
    """Threads that ask for ``half``, one time in four with a wait."""

    def __init__(self, url: str, ledger: Ledger, threads: int, seed: int) -> None:
        self._url, self._ledger = url, ledger
        self._stopped = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(random.Random(seed * 1000 + n),), daemon=True)
            for n in range(threads)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join(PATIENCE_S + 40)

    def _run(self, rng: random.Random) -> None:
        with httpx.Client(base_url=self._url, timeout=20, trust_env=False) as http:
            while not self._stopped.is_set():
                self._ask(http, rng)
                self._stopped.wait(rng.uniform(0, 0.05))

    def _ask(self, http: httpx.Client, rng: random.Random) -> None:
        key, number = uuid.UUID(int=rng.getrandbits(128)).hex, float(rng.randrange(10_000))
        self._ledger.asked(key, number)
        headers = {"Idempotency-Key": key}
        if rng.random() < 0.25:
            headers["Prefer"] = "wait=10"
        body = {"model": "half", "inputs": [[number, 0.0]]}
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            try:
                response = http.post("/api/jobs", json=body, headers=headers)
            except httpx.TransportError:
                response = None
            if response is not None and response.status_code in (200, 202):
                self._ledger.saw(key, response.json())
                return
            if response is not None and response.status_code != 503:
                raise AssertionError(f"{response.status_code} {response.text}")
            self._ledger.refuse()
            time.sleep(rng.uniform(0.05, 0.3))


def settle(url: str, ledger: Ledger, timeout_s: float) -> None:
    """Read every accepted job until it is final, or time is up; then each once more."""
    until = time.monotonic() + timeout_s
    with httpx.Client(base_url=url, timeout=20, trust_env=False) as http:
        left = ledger.accepted()
        while left and time.monotonic() < until:
            left = {key: job_id for key, job_id in left.items() if not _final(http, ledger, key, job_id)}
            time.sleep(0.2 if left else 0)
        for key, job_id in ledger.accepted().items():
            _final(http, ledger, key, job_id)


def _final(http: httpx.Client, ledger: Ledger, key: str, job_id: str) -> bool:
    try:
        response = http.get(f"/api/jobs/{job_id}")
    except httpx.TransportError as error:
        ledger.missed(key, repr(error))
        return False
    if response.status_code != 200:
        ledger.missed(key, response.text)
        return False
    return ledger.saw(key, response.json())
