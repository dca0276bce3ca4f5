"""Any sequence of calls: the store in Redis does what the one in memory does."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from predict_worker.core.errors import PredictionError
from predict_worker.core.hooks import EVENTS
from predict_worker.core.job import Hook, Job, Priority
from predict_worker.core.ports import Claim, ClaimLimits, Entry, JobStore, Loss, Outcome
from predict_worker.store.config import StoreConfig
from tests.contract.backends import REDIS_SERVERS, MemoryBackend, RedisBackend
from tests.contract.scene import answered, failed, lane, new_job

MODELS = ("digits", "words")
CONSUMERS = ("n1:1", "n1:2", "n2:1")
CONFIG = StoreConfig(
    queue_max_jobs=40, max_strikes=2, max_node_losses=3, lease_s=600, sent_retry_s=600, sent_retry_max_s=600
)
HOOKS = (Hook("jobs", "https://a.test/", "a", EVENTS), Hook("ep_1", "", "b", ("succeeded", "expired")))
Pair = tuple[Any, Any]

models = st.sampled_from(MODELS)
consumers = st.sampled_from(CONSUMERS)
limits = st.one_of(
    st.none(), st.builds(ClaimLimits, st.integers(1, 6), st.sampled_from([1, 40_000, 1 << 30]))
)
sizes = st.sampled_from([0, 3, 20_000])
ends = st.sampled_from(["answered", "answered", "answered", "failed", "given up", "retried"])


@dataclass(frozen=True)
class Claimed:
    """The same entry as each store gave it."""

    model: str
    pair: tuple[Entry, Entry]


@dataclass(frozen=True)
class Done:
    claimed: Claimed
    end: str
    size: int

    def outcome(self, side: int) -> Outcome:
        entry = self.claimed.pair[side]
        if self.end == "answered":
            return answered(entry, b"o" * self.size, version=5)
        if self.end == "retried":
            return replace(failed(entry), retry_in_s=600.0)
        return replace(failed(entry), given_up=self.end == "given up")


class Stores(RuleBasedStateMachine):
    """Each pair holds the value of the store in memory and of the one in Redis."""

    client: redis.Redis

    jobs = Bundle("jobs")
    entries = Bundle("entries")

    def __init__(self) -> None:
        super().__init__()
        backends = (MemoryBackend(), RedisBackend(self.client))
        self.redis = backends[1]
        self.stores: tuple[JobStore, JobStore] = (backends[0].open(CONFIG), backends[1].open(CONFIG))
        for backend in backends:
            backend.set_ready(MODELS[0], 2)
        self.tokens: dict[tuple[str, str], Pair] = {}
        self.held: dict[tuple[str, str], list[Claimed]] = {}
        self.submitted: list[str] = []
        self.moved = False  # since the last rule that may come to nothing
        self.sent: dict[str, list[Pair]] = {model: [] for model in MODELS}

    def both(self, call: Callable[[JobStore, int], Any]) -> Pair:
        """What each store answers; both refuse, or neither."""
        memory, in_redis = (_answer(call, store, side) for side, store in enumerate(self.stores))
        assert type(memory) is type(in_redis), (memory, in_redis)
        return memory, in_redis

    def issued(self, model: str, tokens: Pair) -> None:
        assert (tokens[0] is None) == (tokens[1] is None), tokens
        if tokens[0] is not None:
            self.sent[model].append(tokens)

    # ------------------------------------------------------------ callers

    @rule(
        target=jobs,
        model=models,
        priority=st.sampled_from(Priority),
        ranges=st.lists(st.integers(1, 4), min_size=1, max_size=3),
        size=sizes,
        key=st.sampled_from([None, None, None, None, "a"]),
        fingerprint=st.sampled_from(["f", "g"]),
        bound=st.sampled_from([6, 100, 100]),
        hooks=st.sampled_from([(), (), HOOKS]),
    )
    def submit(
        self,
        model: str,
        priority: Priority,
        ranges: list[int],
        size: int,
        key: str | None,
        fingerprint: str,
        bound: int,
        hooks: tuple[Hook, ...],
    ) -> Any:
        new = new_job(
            b"i" * size,
            ranges,
            model,
            priority=priority,
            idempotency_key=key,
            fingerprint=fingerprint,
            queue_max_jobs=bound,
            hooks=hooks,
        )
        accepted = self.both(lambda store, _: store.submit(new))
        if isinstance(accepted[0], PredictionError):
            return multiple()
        memory, in_redis = accepted
        assert _facts(memory.job) == _facts(in_redis.job)
        assert memory.replayed == in_redis.replayed
        self.issued(model, (memory.wakeup, in_redis.wakeup))
        self.moved = True
        self.submitted.append(memory.job.id)
        return memory.job.id

    @precondition(lambda self: self.moved)
    @rule(job_id=jobs, leave=st.sampled_from(["cancel", "cancel", "delete"]))
    def abandon(self, job_id: str, leave: str) -> None:
        self.moved = False
        self.both(lambda store, _: getattr(store, leave)(job_id))

    @precondition(lambda self: self.moved)
    @rule(model=models, bound=st.sampled_from([6, 100]), data=st.data())
    def redrive(self, model: str, bound: int, data: st.DataObject) -> None:
        dead = self.stores[0].dead(model).job_ids
        if dead:
            job_id = data.draw(st.sampled_from(dead))
            redriven = self.both(lambda store, _: store.redrive(job_id, bound))
            if not isinstance(redriven[0], PredictionError):
                self.issued(model, (redriven[0].wakeup, redriven[1].wakeup))

    # ------------------------------------------------------------ workers

    @precondition(lambda self: self.moved)
    @rule(model=models, data=st.data())
    def lose_wakeup(self, model: str, data: st.DataObject) -> None:
        """A publish fails, the sweep makes up for it."""
        self.moved = False
        if self.sent[model]:
            tokens = data.draw(st.sampled_from(self.sent[model]))
            self.both(lambda store, side: store.release_wakeup(model, tokens[side]))
        memory, in_redis = self.both(lambda store, _: store.sweep(model))
        assert (memory.expired, memory.reclaimed) == (in_redis.expired, in_redis.reclaimed) == (0, 0)
        assert len(memory.wakeups) == len(in_redis.wakeups)
        for issued in zip(memory.wakeups, in_redis.wakeups, strict=True):
            self.issued(model, issued)

    @precondition(lambda self: any(self.sent.values()))
    @rule(
        target=entries,
        model=models,
        consumer=consumers,
        limits=limits,
        end=ends,
        size=sizes,
        switch=st.booleans(),
    )
    def work(
        self, model: str, consumer: str, limits: ClaimLimits | None, end: str, size: int, switch: bool
    ) -> Any:
        """What a child does: answer the newest wake-up, publish all that it holds, claim the next."""
        busy = [c for c in CONSUMERS if self.held.get((model, c))]
        consumer = consumer if switch or not busy else busy[0]
        if self.sent[model]:
            self.tokens.setdefault((model, consumer), self.sent[model][-1])
        held = self.held.get((model, consumer), [])
        claimed = self.step(model, consumer, [Done(each, end, size) for each in held], limits)
        self.held[model, consumer] = claimed
        if not claimed:
            self.tokens.pop((model, consumer), None)
        return multiple(*claimed)

    @precondition(lambda self: self.moved)
    @rule(
        target=entries,
        model=models,
        consumer=consumers,
        limits=limits,
        entry_ms=st.sampled_from([0.0, 4.0, 50.0]),
        data=st.data(),
    )
    def work_on_any_wakeup(
        self, model: str, consumer: str, limits: ClaimLimits | None, entry_ms: float, data: st.DataObject
    ) -> Any:
        """A broker may deliver late and twice; what the child held is lost sight of."""
        self.moved = False
        if self.sent[model]:
            self.tokens[model, consumer] = data.draw(st.sampled_from(self.sent[model]))
        self.held[model, consumer] = self.step(model, consumer, [], limits, entry_ms)
        return multiple(*self.held[model, consumer])

    @rule(
        target=entries,
        done=st.lists(st.builds(Done, entries, ends, sizes), min_size=1, max_size=4),
        consumer=consumers,
        limits=limits,
    )
    def finish_anything(self, done: list[Done], consumer: str, limits: ClaimLimits | None) -> Any:
        """Any entries that were ever claimed, by whom they may: zombies too."""
        model = done[0].claimed.model
        done = [each for each in done if each.claimed.model == model]
        return multiple(*self.step(model, consumer, done, limits))

    def step(
        self,
        model: str,
        consumer: str,
        done: list[Done],
        limits: ClaimLimits | None,
        entry_ms: float = 0.0,
    ) -> list[Claimed]:
        tokens = self.tokens.get((model, consumer), ("", ""))

        def call(store: JobStore, side: int) -> Claim:
            outcomes = [each.outcome(side) for each in done]
            return store.step(lane(consumer, tokens[side], model), outcomes, limits, entry_ms)

        memory, in_redis = self.both(call)
        self.issued(model, (memory.wakeup, in_redis.wakeup))
        self.moved = self.moved or bool(memory.entries)
        assert [_comparable(e) for e in memory.entries] == [_comparable(e) for e in in_redis.entries]
        return [Claimed(model, pair) for pair in zip(memory.entries, in_redis.entries, strict=True)]

    @precondition(lambda self: any(self.held.values()))
    @rule(which=st.integers(0, 3), loss=st.sampled_from([Loss.CHILD, Loss.CHILD, Loss.TIMEOUT, Loss.NODE]))
    def die_at_work(self, which: int, loss: Loss) -> None:
        busy = sorted(key for key, held in self.held.items() if held)
        model, consumer = busy[which % len(busy)]
        del self.held[model, consumer]
        self.recover(model, consumer, loss)

    @precondition(lambda self: any(self.held.values()))
    @rule(model=models, lost=st.sampled_from([*CONSUMERS, "n1:", "n2:"]), loss=st.sampled_from(Loss))
    def recover(self, model: str, lost: str, loss: Loss) -> None:
        memory, in_redis = self.both(lambda store, _: store.recover(model, lost, loss))
        assert memory == in_redis

    @rule(entry=entries, consumer=consumers)
    def renew(self, entry: Claimed, consumer: str) -> None:
        tokens = self.tokens.get((entry.model, consumer), ("", ""))

        def call(store: JobStore, side: int) -> None:
            store.renew(lane(consumer, tokens[side], entry.model), [entry.pair[side]])

        self.both(call)

    # ------------------------------------------------------------ always

    @precondition(lambda self: self.moved)
    @rule(job_id=jobs)
    def read(self, job_id: str) -> None:
        self.moved = False
        self.compare(job_id)

    def compare(self, job_id: str) -> None:
        memory, in_redis = self.both(lambda store, _: store.result(job_id))
        if not isinstance(memory, PredictionError):
            assert _facts(memory[0]) == _facts(in_redis[0])
            assert memory[1] == in_redis[1]

    @invariant()
    def queues_and_dead_letters_agree(self) -> None:
        for model in MODELS:
            memory, in_redis = (store.stats(model) for store in self.stores)
            assert memory.entry_ms == pytest.approx(in_redis.entry_ms, abs=0.01)
            assert (memory.waiting, memory.running, memory.ready_children) == (
                in_redis.waiting,
                in_redis.running,
                in_redis.ready_children,
            )
            dead = [store.dead(model).job_ids for store in self.stores]
            assert sorted(dead[0]) == sorted(dead[1])

    @invariant()
    def what_is_told_of_jobs_agrees(self) -> None:
        memory, in_redis = (
            {
                (told.id, told.event, told.endpoint_id, told.state)
                for told in store.deliveries(None, 1000).deliveries
            }
            for store in self.stores
        )
        assert memory == in_redis

    def teardown(self) -> None:
        for job_id in self.submitted:
            self.compare(job_id)
        keys = list(self.client.scan_iter(f"{self.redis.prefix}:*"))
        if keys:
            self.client.delete(*keys)


def _answer(call: Callable[[JobStore, int], Any], store: JobStore, side: int) -> Any:
    try:
        return call(store, side)
    except PredictionError as error:
        return error


def _comparable(entry: Entry) -> tuple[object, ...]:
    at = entry.job_id, entry.range_index
    return *at, entry.rows, entry.attempt, entry.retries, entry.payload, entry.version


def _facts(job: Job) -> tuple[object, ...]:
    """All that does not tell the time."""
    error = job.error and (job.error.code, job.error.title, job.error.detail, len(job.error.attempts))
    moments = (job.started_at, job.finished_at, job.expires_at)
    return (
        (job.id, job.model, job.state, job.priority, job.rows, job.attempts, job.queue_position, job.version),
        [moment is None for moment in moments],
        error,
    )


EXAMPLES = int(os.environ.get("STORE_MACHINE_EXAMPLES", "0"))
"""0: the same few sequences each time. More: so many random ones, to search."""


@pytest.mark.parametrize("redis_client", list(REDIS_SERVERS) or ["redis"], indirect=True)
@pytest.mark.timeout(0 if EXAMPLES else 120)
def test_memory_and_redis_agree(redis_client: redis.Redis) -> None:
    class OnThisServer(Stores):
        client = redis_client

    run_state_machine_as_test(
        OnThisServer,
        settings=settings(
            max_examples=EXAMPLES or 25,
            stateful_step_count=40,
            deadline=None,
            derandomize=not EXAMPLES,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
