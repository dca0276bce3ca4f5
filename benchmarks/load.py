"""A load client: one asyncio process with its own small HTTP/1.1 client, every answer checked.

    python -m benchmarks.load --url http://127.0.0.1:8000 -c 64 -s 10

Sends held-out digits one a request and waits for each result. Prints one line of JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import resource
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import orjson

TOLERANCE = 2e-3
Image = np.ndarray[Any, Any]


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


Exchange = Callable[[Connection], Awaitable[bool]]
"""One prediction, from the request to the result; whether it was right."""


def post(path: str, body: bytes, *headers: str, content_type: str = "application/json") -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Type: {content_type}", *headers]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


async def run(url: str, exchanges: Sequence[Exchange], concurrency: int, seconds: float) -> dict[str, Any]:
    """Each connection sends the next request as soon as it has its answer."""
    parts = urlsplit(url)
    tally, numbers = Tally([], []), iter(range(10**9))
    started = time.perf_counter()
    cpu_before = _cpu_s()

    async def one() -> None:
        connection = Connection(parts.hostname or "127.0.0.1", parts.port or 80)
        while time.perf_counter() < started + seconds:
            exchange = exchanges[next(numbers) % len(exchanges)]
            before = time.perf_counter()
            try:
                right = await asyncio.wait_for(exchange(connection), 60)
            except (OSError, asyncio.IncompleteReadError, TimeoutError, ValueError) as error:
                tally.errors.append(repr(error))
                connection.close()
                await asyncio.sleep(0.01)
                continue
            tally.latencies_s.append(time.perf_counter() - before)
            tally.wrong += not right
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


def digits(repository: Path, limit: int = 64) -> list[tuple[Image, Image]]:
    """Held-out digits, each with what the model itself answers (asked in a process of its own)."""
    script = (
        "import sys, numpy as np, tensorflow as tf; sys.path.insert(0, 'examples/digits'); import train;"
        f"x = train.split()[1][:{limit}]; m = tf.saved_model.load('{repository / 'digits' / '1'}');"
        "y = m.signatures['serving_default'](x=tf.constant(x))['probabilities'].numpy();"
        "np.savez(sys.stdout.buffer, x=x, y=y)"
    )
    answer = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True).stdout
    with np.load(io.BytesIO(answer)) as arrays:
        return list(zip(arrays["x"], arrays["y"], strict=True))


def _right(got: Any, expected: Image) -> bool:
    array = np.asarray(got)
    return array.shape == expected.shape and bool(np.abs(array - expected).max() <= TOLERANCE)


def jobs_api(pairs: Sequence[tuple[Image, Image]]) -> list[Exchange]:
    """``POST /api/jobs`` of this service, waiting for the result."""

    def exchange(image: Image, answer: Image) -> Exchange:
        body = json.dumps({"model": "digits", "inputs": [image.tolist()]}).encode()
        raw = post("/api/jobs", body, "Prefer: wait=30")

        async def run(connection: Connection) -> bool:
            status, reply = await connection.send(raw)
            if status != 200:
                raise ValueError(f"{status} {reply[:200]!r}")
            return _right(orjson.loads(reply)["outputs"]["probabilities"][0], answer)

        return run

    return [exchange(*pair) for pair in pairs]


def submit_and_poll(pairs: Sequence[tuple[Image, Image]], first_s: float, longest_s: float) -> list[Exchange]:
    """The naive service: submit, then poll, less and less often."""

    def exchange(image: Image, answer: Image) -> Exchange:
        raw = post("/predict", json.dumps({"x": image.tolist()}).encode())

        async def run(connection: Connection) -> bool:
            status, reply = await connection.send(raw)
            if status != 202:
                raise ValueError(f"{status} {reply[:200]!r}")
            poll = f"GET /predict/{orjson.loads(reply)['id']} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
            pause_s = first_s
            while True:
                await asyncio.sleep(pause_s)
                pause_s = min(1.5 * pause_s, longest_s)
                result = orjson.loads((await connection.send(poll))[1])
                if result["state"] == "SUCCESS":
                    return _right(result["y"], answer)
                if result["state"] == "FAILURE":
                    raise ValueError("FAILURE")

        return run

    return [exchange(*pair) for pair in pairs]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("-c", "--concurrency", type=int, default=64)
    parser.add_argument("-s", "--seconds", type=float, default=10)
    given = parser.parse_args()
    exchanges = jobs_api(digits(given.models))
    print(json.dumps(asyncio.run(run(given.url, exchanges, given.concurrency, given.seconds))))


if __name__ == "__main__":
    main()
