"""What jobs leave in Redis goes by itself: nothing piles up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from predict_worker.core.job import NewJob
from predict_worker.core.ports import Accepted, JobStore, Loss
from predict_worker.store.config import StoreConfig
from tests.contract.backends import REDIS_SERVERS, RedisBackend
from tests.contract.scene import CHILD, MODEL, WIDE, answered, eventually, failed, lane, new_job

pytestmark = pytest.mark.parametrize("redis_client", list(REDIS_SERVERS) or ["redis"], indirect=True)
LIVES = StoreConfig(result_ttl_s=1.5, delivered_ttl_s=0.5, record_ttl_s=3.0, max_strikes=1, spread_ms=0.001)


def various(count: int) -> list[NewJob]:
    """Large and small, of several ranges, owners and priorities, with keys and deadlines."""
    return [
        new_job(
            b"x" * (20_000 if number % 20 == 0 else 300),
            ranges=(1, 1) if number % 10 == 1 else (1,),
            owner=f"user:{number % 7}",
            idempotency_key=str(number) if number % 5 == 0 else None,
            deadline_s=60.0 if number % 3 == 0 else None,
            metadata={"of": "interest" * 20} if number % 11 == 0 else {},
        )
        for number in range(count)
    ]


def live_and_end(store: JobStore, jobs: Sequence[NewJob]) -> None:
    """Some are cancelled, some fail, some die and are redriven once; most are answered."""
    for some in (jobs[at : at + 100] for at in range(0, len(jobs), 100)):
        for answer in store.submit_many(some):
            assert isinstance(answer, Accepted)
            if answer.wakeup:
                store.release_wakeup(MODEL, answer.wakeup)  # there is nobody to send it to
        for new in some[::9]:
            store.cancel(new.id)
        work(store)
        for dead in store.dead(MODEL, limit=3).job_ids:
            store.redrive(dead)
        work(store)
        store.delivered([new.id for new in some[::2]])


def work(store: JobStore) -> None:
    """Each time the child dies with some entries in its hands, and again with each of them alone."""
    while entries := store.step(lane(), (), WIDE).entries:
        if entries[0].attempt == 1:
            outcomes = [failed(entries[0]), *(answered(e, b"y" * 20_000) for e in entries[8:])]
            store.step(lane(), outcomes, None)
        elif entries[0].attempt == 3:
            store.step(lane(), [answered(entries[0])], None)
        store.recover(MODEL, CHILD, Loss.CHILD)


def test_keys_and_memory_return_to_what_they_were(backend: RedisBackend) -> None:
    store = backend.open(LIVES)
    backend.set_ready(MODEL, 100)
    store.step(lane(), (), None, entry_ms=1)
    live_and_end(store, various(300))  # what stays for ever is there now, and scripts are loaded
    assert store.dead(MODEL).job_ids
    stays = settled(store, backend)
    before = backend.client.info("memory")["used_memory"]
    live_and_end(store, various(2000))
    assert len(kinds(backend)) > len(stays) + 300
    assert backend.client.info("memory")["used_memory"] > before + 3_000_000
    assert settled(store, backend) == stays
    eventually(lambda: backend.client.info("memory")["used_memory"] < before + 300_000)


def kinds(backend: RedisBackend) -> list[bytes]:
    """Of all keys of this store, sorted."""
    names = backend.client.scan_iter(f"{backend.prefix}:*", count=1000)
    return sorted(name.split(b":")[3] for name in names)


def settled(store: JobStore, backend: RedisBackend) -> list[bytes]:
    """The kinds of keys once no job is left."""

    def over() -> bool:
        store.dead(MODEL)  # forgets the dead that are gone
        return {b"job", b"in", b"out", b"once", b"owned", b"dead"}.isdisjoint(kinds(backend))

    eventually(over, timeout_s=15)
    return kinds(backend)


def test_idempotency_keys_go_with_their_jobs(backend: RedisBackend) -> None:
    store = backend.open(LIVES)
    new = new_job(idempotency_key="k", fingerprint="f")
    store.submit(new)
    store.cancel(new.id)
    eventually(lambda: not any(backend.client.scan_iter(f"{backend.prefix}:*:once:*")))
    assert not store.submit(replace(new, id=new_job().id)).replayed
