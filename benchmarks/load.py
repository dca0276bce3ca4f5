"""A load client: one asyncio process with its own small HTTP/1.1 client, every answer checked.

    python -m benchmarks.load --url http://127.0.0.1:8000 -c 64 -s 10

Sends held-out digits one a request and waits for each result. Prints one line of JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

TOLERANCE = 2e-3


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request as bytes, and how to tell whether the answer is right."""

    raw: bytes
    check: Callable[[int, bytes], bool]


@dataclass(slots=True)
class Tally:
    latencies_s: list[float]
    errors: list[str]
    wrong: int = 0


class Connection:
    """Keep-alive; opened again when the server closes it."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def send(self, raw: bytes) -> tuple[int, bytes]:
        """Status and body."""
        if self._writer is None:
            self._reader, self._writer = await asyncio.open_connection(self._host, self._port, limit=1 << 22)
        assert self._reader is not None
        self._writer.write(raw)
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        at = head.find(b"content-length:") + len(b"content-length:")
        length = int(head[at : head.index(b"\r\n", at)])
        body = await self._reader.readexactly(length)
        if b"connection: close" in head:
            self.close()
        return int(head[9:12]), body

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None


def post(path: str, body: bytes, *headers: str, content_type: str = "application/json") -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Type: {content_type}", *headers]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


async def run(url: str, requests: Sequence[Request], concurrency: int, seconds: float) -> dict[str, Any]:
    """Each connection sends the next request as soon as it has its answer."""
    parts = urlsplit(url)
    tally, numbers = Tally([], []), iter(range(10**9))
    started = time.perf_counter()
    cpu_before = _cpu_s()

    async def one() -> None:
        connection = Connection(parts.hostname or "127.0.0.1", parts.port or 80)
        while time.perf_counter() < started + seconds:
            request = requests[next(numbers) % len(requests)]
            before = time.perf_counter()
            try:
                status, body = await asyncio.wait_for(connection.send(request.raw), 60)
            except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
                tally.errors.append(repr(error))
                connection.close()
                await asyncio.sleep(0.01)
                continue
            tally.latencies_s.append(time.perf_counter() - before)
            if not request.check(status, body):
                tally.wrong += 1
                tally.errors.append(f"{status} {body[:200]!r}")
        connection.close()

    await asyncio.gather(*(one() for _ in range(concurrency)))
    elapsed = time.perf_counter() - started
    return _summary(tally, concurrency, elapsed, _cpu_s() - cpu_before)


def _summary(tally: Tally, concurrency: int, elapsed_s: float, cpu_s: float) -> dict[str, Any]:
    milliseconds = np.array(tally.latencies_s or [float("nan")]) * 1000
    p50, p95, p99 = (round(float(v), 2) for v in np.percentile(milliseconds, [50, 95, 99]))
    jobs = len(tally.latencies_s)
    return {
        "concurrency": concurrency,
        "jobs": jobs,
        "jobs_per_s": round(jobs / elapsed_s, 1),
        "p50_ms": p50,
        "p95_ms": p95,
        "p99_ms": p99,
        "wrong": tally.wrong,
        "errors": len(tally.errors),
        "error_samples": sorted(set(tally.errors))[:3],
        "client_cpu_ms_per_job": round(cpu_s * 1000 / max(jobs, 1), 3),
    }


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def digits(repository: Path, limit: int = 64) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Held-out digits and what the model itself answers (asked once, in a process of its own)."""
    import subprocess
    import sys

    script = (
        "import sys, numpy as np, tensorflow as tf; sys.path.insert(0, 'examples/digits'); import train;"
        f"x = train.split()[1][:{limit}]; m = tf.saved_model.load('{repository / 'digits' / '1'}');"
        "y = m.signatures['serving_default'](x=tf.constant(x))['probabilities'].numpy();"
        "np.savez(sys.stdout.buffer, x=x, y=y)"
    )
    import io

    answer = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True).stdout
    with np.load(io.BytesIO(answer)) as arrays:
        return arrays["x"], arrays["y"]


def jobs_api(repository: Path) -> list[Request]:
    """``POST /api/jobs`` of this service, waiting for the result."""
    images, answers = digits(repository)

    def request(image: np.ndarray[Any, Any], answer: np.ndarray[Any, Any]) -> Request:
        def check(status: int, body: bytes) -> bool:
            if status != 200:
                return False
            outputs = json.loads(body)["outputs"]
            got = np.asarray(outputs["probabilities"][0]) if outputs else np.zeros(0)
            return got.shape == answer.shape and bool(np.abs(got - answer).max() <= TOLERANCE)

        body = json.dumps({"model": "digits", "inputs": [image.tolist()]}).encode()
        return Request(post("/api/jobs", body, "Prefer: wait=30"), check)

    return [request(*pair) for pair in zip(images, answers, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("-c", "--concurrency", type=int, default=64)
    parser.add_argument("-s", "--seconds", type=float, default=10)
    given = parser.parse_args()
    requests = jobs_api(given.models)
    print(json.dumps(asyncio.run(run(given.url, requests, given.concurrency, given.seconds))))


if __name__ == "__main__":
    main()
