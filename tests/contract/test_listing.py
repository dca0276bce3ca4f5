"""Jobs by their owner, dead letters by their model: pages, newest first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from predict_worker.core.errors import InvalidRequest
from predict_worker.core.job import JobState, new_job_id
from predict_worker.core.ports import JobStore, Listing, Loss
from predict_worker.store.config import StoreConfig
from predict_worker.store.redis import RedisJobStore
from tests.contract.backends import REDIS_SERVERS, RedisBackend
from tests.contract.conftest import Open
from tests.contract.scene import (
    CHILD,
    MODEL,
    answered,
    claim_one,
    eventually,
    failed,
    finish,
    gone,
    let_pass,
    new_job,
    roomier,
    submit,
)


def pages(listed: Callable[..., Listing], **asked: Any) -> list[tuple[str, ...]]:
    """All pages, from the first to the one that says it is the last."""
    found, cursor = [], ""
    while True:
        page = listed(cursor=cursor, **asked)
        found.append(page.job_ids)
        cursor = page.cursor
        if not cursor:
            return found


def buried(store: JobStore, **fields: Any) -> str:
    job_id = submit(store, **fields)
    claim_one(store)
    store.recover(MODEL, CHILD, Loss.CHILD)
    return job_id


@pytest.fixture
def store(open_store: Open) -> JobStore:
    return open_store(roomier(max_strikes=1))


# ---------------------------------------------------------------- jobs


def test_jobs_are_listed_newest_first_whatever_became_of_them(store: JobStore) -> None:
    succeeded, cancelled, dead = submit(store), submit(store), ""
    finish(store, answered(claim_one(store)))
    store.cancel(cancelled)
    dead = buried(store)
    queued = submit(store, model="other")
    assert store.jobs("") == Listing((queued, dead, cancelled, succeeded))


def test_jobs_come_page_by_page(store: JobStore) -> None:
    jobs = [submit(store) for _ in range(5)]
    newest = tuple(reversed(jobs))
    assert pages(store.jobs, owner="", limit=2) == [newest[:2], newest[2:4], newest[4:]]
    assert pages(store.jobs, owner="", limit=5) == [newest]


def test_page_is_as_it_was_though_more_jobs_come(store: JobStore) -> None:
    first, second = submit(store), submit(store)
    cursor = store.jobs("", limit=1).cursor
    submit(store)
    assert store.jobs("", cursor=cursor).job_ids == (first,)
    store.delete(second)  # which the cursor names
    assert store.jobs("", cursor=cursor).job_ids == (first,)


def test_owners_see_their_own_alone_and_nobody_in_particular_all(store: JobStore) -> None:
    ann = [submit(store, owner="ann") for _ in range(2)]
    let_pass(store, 0.002)
    bob = submit(store, owner="bob:*?[a]")
    let_pass(store, 0.002)
    nobody = submit(store)
    assert store.jobs("ann").job_ids == (ann[1], ann[0])
    assert store.jobs("bob:*?[a]").job_ids == (bob,)
    assert store.jobs("").job_ids == (nobody,)
    assert store.jobs("carl") == Listing()
    assert pages(store.jobs, owner=None, limit=2) == [(nobody, bob), (ann[1], ann[0])]


def test_jobs_by_state_and_model(store: JobStore) -> None:
    done, broken = submit(store), submit(store)
    finish(store, answered(claim_one(store)))
    finish(store, failed(claim_one(store)))
    waiting, other = submit(store), submit(store, model="other")
    assert store.jobs("", state=JobState.SUCCEEDED).job_ids == (done,)
    assert store.jobs("", state=JobState.FAILED).job_ids == (broken,)
    assert store.jobs("", model="other").job_ids == (other,)
    assert store.jobs("", state=JobState.QUEUED, model=MODEL).job_ids == (waiting,)
    assert store.jobs("", state=JobState.EXPIRED) == Listing()
    assert pages(store.jobs, owner="", limit=1, model=MODEL) == [(waiting,), (broken,), (done,)]


def test_what_is_deleted_or_gone_is_not_listed(open_store: Open) -> None:
    store = open_store(roomier(record_ttl_s=0.2))
    expiring, deleted = submit(store), submit(store)
    store.delete(deleted)
    assert store.jobs("").job_ids == (expiring,)
    finish(store, answered(claim_one(store)))
    eventually(lambda: gone(store, expiring))
    kept = submit(store)
    assert store.jobs("").job_ids == (kept,)


def test_replayed_and_refused_submits_are_not_listed_again(store: JobStore) -> None:
    first = submit(store, idempotency_key="k", fingerprint="f")
    assert store.submit(new_job(idempotency_key="k", fingerprint="f")).replayed
    answers = store.submit_many([new_job(queue_max_jobs=1)])
    assert isinstance(answers[0], Exception)
    assert store.jobs("").job_ids == (first,)


@pytest.mark.parametrize("cursor", ["x", "1", "1-1", "1.0-abc", "-1.0-" + "0" * 32, "1.0-" + "0" * 33])
def test_cursor_that_no_page_has_given_is_refused(store: JobStore, cursor: str) -> None:
    with pytest.raises(InvalidRequest, match="cursor"):
        store.jobs("", cursor=cursor)
    with pytest.raises(InvalidRequest, match="cursor"):
        store.dead(MODEL, cursor=cursor)


# ---------------------------------------------------------------- dead letters


def test_dead_letters_come_page_by_page(store: JobStore) -> None:
    dead = []
    for _ in range(5):
        dead.append(buried(store))
        let_pass(store, 0.00001)
    newest = tuple(reversed(dead))
    assert pages(store.dead, model=MODEL, limit=2) == [newest[:2], newest[2:4], newest[4:]]
    assert pages(store.dead, model=MODEL, limit=5) == [newest]
    assert store.dead("other") == Listing()


def test_dead_letters_of_one_moment_are_all_found(store: JobStore) -> None:
    """A node that is lost buries many at once."""
    dead = [submit(store) for _ in range(5)]
    for number in range(5):
        claim_one(store, f"n1:{number}")
    store.recover(MODEL, "n1:", Loss.CHILD)
    found = pages(store.dead, model=MODEL, limit=2)
    assert [len(page) for page in found] == [2, 2, 1]
    assert sorted(job_id for page in found for job_id in page) == sorted(dead)


def test_dead_letters_of_an_owner(store: JobStore) -> None:
    ann, bob = buried(store, owner="ann"), buried(store, owner="bob")
    assert store.dead(MODEL, "ann").job_ids == (ann,)
    assert store.dead(MODEL, "") == Listing()
    assert set(store.dead(MODEL).job_ids) == {ann, bob}


# ---------------------------------------------------------------- in Redis

in_redis = pytest.mark.parametrize("redis_client", list(REDIS_SERVERS) or ["redis"], indirect=True)


@in_redis
def test_pages_of_several_buckets_are_one_list(backend: RedisBackend) -> None:
    store = RedisJobStore(backend.client, StoreConfig(max_strikes=1), backend.prefix, buckets=3)
    expected = []
    for number in range(7):
        accepted = store.submit(replace(new_job(owner="ann"), id=new_job_id(number % 3)))
        expected.append(accepted.job.id)
        let_pass(store, 0.002)
    newest = tuple(reversed(expected))
    assert pages(store.jobs, owner="ann", limit=3) == [newest[:3], newest[3:6], newest[6:]]
    assert pages(store.jobs, owner=None, limit=7, model=MODEL) == [newest]


@in_redis
def test_page_says_where_to_go_on_after_much_that_was_not_asked_for(backend: RedisBackend) -> None:
    store = backend.open(StoreConfig())
    wanted = submit(store, model="wanted")
    store.submit_many([new_job() for _ in range(2100)])
    found = pages(store.jobs, owner="", model="wanted")
    assert [page for page in found if page] == [(wanted,)]
    assert len(found) == 3


@in_redis
def test_list_of_an_owner_forgets_what_is_gone(open_store: Open, backend: RedisBackend) -> None:
    store = open_store(roomier(record_ttl_s=1.0))
    for _ in range(500):
        store.delete(submit(store, owner="ann"))
    (key,) = backend.client.scan_iter(f"{backend.prefix}:*:owned:ann")
    assert backend.client.pttl(key) > 0
    let_pass(store, 0.6)
    submit(store, owner="ann")
    let_pass(store, 0.6)

    def forgotten() -> bool:
        """Now and then a submit looks."""
        submit(store, owner="ann")
        return bool(backend.client.xlen(key) < 300)

    eventually(forgotten)
    eventually(lambda: not backend.client.exists(key))
