"""Outputs go first, then the record; inputs are not kept for jobs that are over."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from predict_worker.core.job import JobState
from predict_worker.core.ports import JobStore, Loss
from tests.contract.conftest import Open
from tests.contract.scene import (
    CHILD,
    MODEL,
    answered,
    claim,
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

LARGE = b"x" * 20_000


def succeeded(store: JobStore, payload: bytes = b"out", **fields: object) -> str:
    job_id = submit(store, **fields)
    finish(store, *(answered(entry, payload) for entry in claim(store)))
    return job_id


@pytest.mark.parametrize("payload", [b"out", LARGE])
def test_outputs_expire_before_the_record(open_store: Open, payload: bytes) -> None:
    store = open_store(roomier(result_ttl_s=1.0))
    job_id = succeeded(store, payload, ranges=(1, 1))
    job, outputs = store.result(job_id)
    assert outputs == (payload, payload)
    assert job.finished_at is not None
    assert job.expires_at == job.finished_at + timedelta(seconds=1)
    eventually(lambda: store.result(job_id)[1] is None)
    assert store.result(job_id)[0] == job


@pytest.mark.parametrize("payload", [b"out", LARGE])
def test_outputs_of_the_first_ranges_wait_for_the_last(open_store: Open, payload: bytes) -> None:
    """Lifetimes count from the end of the job."""
    store = open_store(roomier(result_ttl_s=1.0))
    job_id = submit(store, ranges=(1, 1))
    first, last = claim(store)
    finish(store, answered(first, payload))
    let_pass(store, 1.1)
    finish(store, answered(last, payload))
    assert store.result(job_id)[1] == (payload, payload)
    eventually(lambda: store.result(job_id)[1] is None)


def test_record_expires(open_store: Open) -> None:
    store = open_store(roomier(result_ttl_s=0.05, record_ttl_s=0.1))
    jobs = [succeeded(store)]
    jobs.append(submit(store))
    finish(store, failed(claim_one(store)))
    jobs.append(submit(store))
    store.cancel(jobs[-1])
    eventually(lambda: all(gone(store, job_id) for job_id in jobs))


def test_jobs_that_are_not_over_do_not_expire(open_store: Open) -> None:
    store = open_store(roomier(result_ttl_s=0.02, record_ttl_s=0.02))
    running, waiting = submit(store, payload=LARGE), submit(store, payload=LARGE)
    claim_one(store)
    let_pass(store, 0.05)
    assert store.get(running).state is JobState.RUNNING
    assert store.get(waiting).state is JobState.QUEUED
    assert claim_one(store).payload == LARGE


def test_idempotency_key_lives_as_long_as_the_job(open_store: Open) -> None:
    store = open_store(roomier(record_ttl_s=1.0))
    new = new_job(idempotency_key="k", fingerprint="f")
    store.submit(new)
    finish(store, answered(claim_one(store)))
    assert store.submit(replace(new, id=new_job().id)).replayed
    eventually(lambda: gone(store, new.id))
    assert not store.submit(new_job(idempotency_key="k", fingerprint="g")).replayed


def test_idempotency_key_of_a_long_job_lasts(open_store: Open) -> None:
    """However long it waits: else its retry would run twice."""
    store = open_store(roomier(record_ttl_s=0.05))
    new = new_job(idempotency_key="k", fingerprint="f")
    store.submit(new)
    let_pass(store, 0.1)
    assert store.submit(replace(new, id=new_job().id)).replayed


@pytest.mark.parametrize("payload", [b"out", LARGE])
def test_delivered_outputs_expire_sooner(open_store: Open, payload: bytes) -> None:
    store = open_store(roomier(delivered_ttl_s=0.05))
    told, untold = succeeded(store, payload, ranges=(1, 1)), succeeded(store, payload)
    store.delivered([told])
    job = store.get(told)
    assert job.expires_at is not None
    assert job.finished_at is not None
    assert job.expires_at - job.finished_at < timedelta(seconds=10)
    eventually(lambda: store.result(told)[1] is None)
    assert store.get(told).state is JobState.SUCCEEDED
    assert store.result(untold)[1] == (payload,)


def test_delivery_never_prolongs(open_store: Open) -> None:
    store = open_store(roomier(result_ttl_s=0.1, delivered_ttl_s=60))
    job_id = succeeded(store)
    expires_at = store.get(job_id).expires_at
    store.delivered([job_id])
    assert store.get(job_id).expires_at == expires_at
    eventually(lambda: store.result(job_id)[1] is None)


def test_delivery_of_what_has_no_outputs_does_nothing(store: JobStore) -> None:
    waiting = submit(store)
    store.delivered([waiting, new_job().id])
    assert store.get(waiting).expires_at is None
    store.delivered([])


def test_dead_letters_go_with_their_record(open_store: Open) -> None:
    store = open_store(roomier(record_ttl_s=1.0, max_strikes=1))
    submit(store)
    claim_one(store)
    store.recover(MODEL, CHILD, Loss.CHILD)
    assert len(store.dead(MODEL).job_ids) == 1
    eventually(lambda: store.dead(MODEL).job_ids == ())
