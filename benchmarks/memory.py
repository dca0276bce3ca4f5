"""What jobs take of Redis' memory, and that they give it back: before, waiting, finished, and after.

    python -m benchmarks.memory -n 100000

Talks to the job store alone, on a Redis of its own.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from predict_worker.core.job import NewJob, RowRange, Timings, new_job_id
from predict_worker.core.ports import Accepted, ClaimLimits, Lane, Outcome
from predict_worker.store.client import connect
from predict_worker.store.config import StoreConfig
from predict_worker.store.redis import RedisJobStore
from proj.embedded_redis import EmbeddedRedis

MODEL, DIGEST = "digits", f"sha256:{'0' * 64}"
CHUNK = 200
RESULT_TTL_S, RECORD_TTL_S = 60, 90
INPUT_BYTES, OUTPUT_BYTES = 320, 120
"""Of one digit, and of ten probabilities, as the store holds them."""


def new_jobs(count: int) -> Iterator[list[NewJob]]:
    for start in range(0, count, CHUNK):
        yield [
            NewJob(
                new_job_id(0),
                MODEL,
                (RowRange(0, 1, b"x" * INPUT_BYTES),),
                owner=f"user:{number % 10}",
                version=1,
                digest=DIGEST,
                artefact="saved_model",
                request_id=f"{number:032x}",
                queue_max_jobs=count,
            )
            for number in range(start, min(start + CHUNK, count))
        ]


@dataclass
class Gauge:
    """Prints a line for each reading; ``count`` jobs take what is more than at the first."""

    client: Any
    count: int
    base_bytes: int = 0
    started: float = field(default_factory=time.monotonic)

    def read(self, what: str) -> int:
        used, keys = self.client.info("memory")["used_memory"], self.client.dbsize()
        self.base_bytes = self.base_bytes or used
        per_job = (used - self.base_bytes) / self.count
        print(
            f"{time.monotonic() - self.started:6.1f} s  {what:<32} {used / 1e6:8.2f} MB  {keys:8d} keys  "
            f"{per_job:7.1f} B a job",
            flush=True,
        )
        return int(keys)


def finish_all(store: RedisJobStore, token: str) -> None:
    lane, done = Lane(MODEL, "bench:1", token), list[Outcome]()
    ran: dict[str, Any] = {"version": 1, "digest": DIGEST, "artefact": "saved_model"}
    while entries := store.step(lane, done, ClaimLimits(CHUNK, 1 << 30), entry_ms=0.1).entries:
        done = [Outcome(e, b"y" * OUTPUT_BYTES, None, Timings(1.2, 0.5, CHUNK), **ran) for e in entries]


def await_fewer_keys(client: Any, keys: int) -> None:
    while client.dbsize() > keys:
        time.sleep(0.2)


def measure(client: Any, count: int) -> None:
    config = StoreConfig(
        result_ttl_s=RESULT_TTL_S, record_ttl_s=RECORD_TTL_S, queue_max_jobs=count, sent_retry_s=600
    )
    store = RedisJobStore(client, config)
    token = ""
    gauge = Gauge(client, count)
    gauge.read("before")
    for jobs in new_jobs(count):
        answers = [answer for answer in store.submit_many(jobs) if isinstance(answer, Accepted)]
        if len(answers) != len(jobs):
            raise SystemExit("a submit was refused")
        token = next((answer.wakeup for answer in answers if answer.wakeup), token)
    gauge.read("all wait")
    finish_all(store, token)
    keys = gauge.read("all finished")
    await_fewer_keys(client, keys - count)
    gauge.read(f"outputs gone ({RESULT_TTL_S} s)")
    await_fewer_keys(client, keys - 2 * count)
    gauge.read(f"records gone ({RECORD_TTL_S} s)")
    time.sleep(5)  # Redis shrinks its tables by and by
    gauge.read("after")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("-n", "--jobs", type=int, default=100_000)
    count = parser.parse_args().jobs
    with tempfile.TemporaryDirectory() as folder, EmbeddedRedis(Path(folder)) as redis:
        measure(connect(redis.url, timeout_s=60), count)


if __name__ == "__main__":
    main()
