"""A whole service in memory, with a worker that a test drives by hand."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from predict_worker.catalogue import Catalogue
from predict_worker.codec import pack, unpack
from predict_worker.core.errors import StoreUnavailable
from predict_worker.core.job import JobError, Timings
from predict_worker.core.ports import (
    CatalogueView,
    ClaimLimits,
    Entry,
    Heartbeat,
    Lane,
    Loss,
    ModelEntry,
    Outcome,
    VersionStatus,
)
from predict_worker.core.spec import BatchPolicy, ModelSpec, Signature, TensorSpec
from predict_worker.service import Limits, PredictionService
from predict_worker.store.config import StoreConfig
from predict_worker.store.memory import MemoryJobStore
from predict_worker.store.memory_catalogue import MemoryCatalogue, MemoryWakeups
from predict_worker.waiting import Waiters

WIDE = ClaimLimits(max_rows=1000, max_bytes=1 << 30)
DIGIT = [[[[0.0]] * 8] * 8]
"""One row that the digits model takes."""

DIGITS = Signature(
    "serving_default",
    (TensorSpec("x", "float32", (-1, 8, 8, 1)),),
    (TensorSpec("probabilities", "float32", (-1, 10)),),
)
PAIR = Signature(
    "serving_default",
    (TensorSpec("a", "float32", (-1, 2)), TensorSpec("b", "int64", (-1,))),
    (TensorSpec("sum", "float32", (-1, 2)), TensorSpec("product", "float32", (-1, 2))),
)


def spec(name: str, version: int = 1, signature: Signature = DIGITS, **fields: Any) -> ModelSpec:
    digest = f"sha256:{version:064x}"
    return ModelSpec(name, version, "saved_model", digest, {signature.name: signature}, **fields)


def worker(*available: tuple[str, int], consumer: str = "n1:1", state: str = "ready") -> Heartbeat:
    statuses = tuple(VersionStatus(model, version, "AVAILABLE", load_ms=12.5) for model, version in available)
    return Heartbeat(consumer, "host", 1, state, started_us=1_700_000_000_000_000, models=statuses, loads=1)


class Store(MemoryJobStore):
    """Notes its calls; fails, loses messages and runs what is set to run ``after`` a call on demand."""

    def __init__(self, config: StoreConfig) -> None:
        super().__init__(config)
        self.calls: list[str] = []
        self.away: set[str] = set()
        self.after: dict[str, Callable[[], object]] = {}
        self.loses_messages = False

    def subscribe(self, channel: str, deliver: Callable[[Sequence[Any]], None]) -> Any:
        return super().subscribe(channel, lambda messages: None if self.loses_messages else deliver(messages))


def _watched(name: str) -> Any:
    method = getattr(MemoryJobStore, name)

    def call(self: Store, *args: Any, **kwargs: Any) -> Any:
        self.calls.append(name)
        if name in self.away or "*" in self.away:
            raise StoreUnavailable("the store is away")
        answer = method(self, *args, **kwargs)
        if name in self.after:
            self.after.pop(name)()
        return answer

    return call


for _name in (
    *("submit", "get", "get_many", "result", "cancel", "delete", "watch", "delivered"),
    *("stats", "set_mode", "purge", "release_wakeup", "ping", "jobs", "dead", "redrive", "take"),
):
    setattr(Store, _name, _watched(_name))


class CatalogueAtHand(MemoryCatalogue):
    """Counts readings and fails on demand."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = 0
        self.away = False

    def read(self) -> CatalogueView:
        self.reads += 1
        if self.away:
            raise StoreUnavailable("the catalogue is away")
        return super().read()


class Wakeups(MemoryWakeups):
    """Tells a waiting thread."""

    def __init__(self) -> None:
        super().__init__()
        self.came = threading.Semaphore(0)

    def send(self, model: str, token: str) -> None:
        super().send(model, token)
        self.came.release()


class World:
    """``digits`` and ``pair`` (two inputs, two outputs) are ready, ``fresh`` is loaded by nobody."""

    def __init__(self, waiters: int = 4, config: StoreConfig | None = None, **limits: Any) -> None:
        self.store = Store(config or StoreConfig())
        self.catalogue_store = CatalogueAtHand()
        self.catalogue_store.publish_models(
            [
                ModelEntry("digits", (1,), (("stable", 1),)),
                ModelEntry("fresh", (3,)),
                ModelEntry("pair", (1,)),
            ]
        )
        batch = BatchPolicy(max_rows=2)
        self.catalogue_store.publish_specs([spec("digits", batch=batch), spec("pair", signature=PAIR)])
        self.catalogue_store.beat(worker(("digits", 1), ("pair", 1)), ttl_s=60)
        self.wakeups = Wakeups()
        self.waiters = Waiters(self.store, waiters, recheck_s=60)
        self.catalogue = Catalogue(self.catalogue_store)
        self.service = PredictionService(
            self.store, self.catalogue, self.wakeups, self.waiters, Limits(**limits)
        )

    def claim(self, model: str = "digits") -> tuple[Entry, ...]:
        """What waits, claimed by the next wake-up."""
        return self.store.step(self.lane(model), (), WIDE).entries

    def lane(self, model: str = "digits") -> Lane:
        """A child with the newest wake-up."""
        token = next((token for name, token in reversed(self.wakeups.sent) if name == model), "")
        return Lane(model, "n1:1", token)

    def finish(self, *done: Outcome, model: str = "digits") -> None:
        self.store.step(Lane(model, "n1:1", ""), done, None)

    def run(self, model: str = "digits", error: JobError | None = None) -> int:
        """Claim all that waits and answer it; returns how many entries."""
        entries = self.claim(model)
        self.finish(*(self.outcome(entry, model, error) for entry in entries), model=model)
        return len(entries)

    def outcome(self, entry: Entry, model: str, error: JobError | None = None) -> Outcome:
        timings = Timings(entry.queue_ms, 0.5, entry.rows)
        if error is not None:
            return Outcome(entry, error=error, timings=timings)
        assert entry.payload is not None
        return Outcome(entry, payload=pack(self.answer(model, entry)), timings=timings)

    @staticmethod
    def answer(model: str, entry: Entry) -> dict[str, Any]:
        assert entry.payload is not None
        if model == "pair":
            inputs = unpack(entry.payload)
            a, b = inputs["a"], inputs["b"][:, None].astype(np.float32)
            return {"sum": a + b, "product": a * b}
        return {"probabilities": np.full((entry.rows, 10), 0.1, np.float32)}

    def bury(self, model: str = "digits") -> None:
        """The children of all that waits die, each so often that its job is given up."""
        while self.store.stats(model).waiting:
            self.store.step(self.lane(model), (), ClaimLimits(1, 1 << 30))
            self.store.recover(model, "n1:1", Loss.CHILD)

    @contextmanager
    def working(self, model: str = "digits", error: JobError | None = None) -> Iterator[None]:
        """Meanwhile a thread answers the first work that it is woken for."""

        def work() -> None:
            if self.wakeups.came.acquire(timeout=10):
                self.run(model, error)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        yield
        thread.join(10)
        assert not thread.is_alive()

    @contextmanager
    def answering(self, *models: str) -> Iterator[None]:
        """Meanwhile a thread answers all that comes."""
        over = threading.Event()

        def work() -> None:
            while not over.is_set():
                if self.wakeups.came.acquire(timeout=0.05):
                    for model in models:
                        self.run(model)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        yield
        over.set()
        thread.join(10)

    def close(self) -> None:
        self.waiters.close()
        self.service.watchers.close()
