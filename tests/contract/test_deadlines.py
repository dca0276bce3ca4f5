"""A job past its deadline expires: waiting, at its claim, or when its result comes."""

from __future__ import annotations

import pytest

from predict_worker.core.errors import JobConflict
from predict_worker.core.job import JobState
from predict_worker.core.ports import ClaimLimits, Finished, JobStore, Loss
from tests.contract.scene import (
    CHILD,
    MODEL,
    answered,
    claim,
    claim_one,
    claimed_and_overdue,
    eventually,
    failed,
    finish,
    ids,
    let_pass,
    listening,
    new_job,
    state,
    submit,
)

SOON = 0.03


def overdue(store: JobStore, **fields: object) -> str:
    job_id = submit(store, deadline_s=SOON, **fields)
    let_pass(store, SOON * 1.2)
    return job_id


def test_reading_expires_a_waiting_job(store: JobStore) -> None:
    job_id = overdue(store)
    assert store.stats(MODEL).waiting == 1
    job = store.get(job_id)
    assert (job.state, job.queue_position, job.started_at) == (JobState.EXPIRED, None, None)
    assert job.finished_at is not None
    assert job.deadline_at is not None
    assert job.finished_at > job.deadline_at
    assert store.result(job_id) == (job, None)
    assert store.stats(MODEL).waiting == 0


def test_asking_for_its_result_expires_a_waiting_job(store: JobStore) -> None:
    job, outputs = store.result(overdue(store))
    assert (job.state, outputs) == (JobState.EXPIRED, None)


def test_job_before_its_deadline_is_left_alone(store: JobStore) -> None:
    job_id = submit(store, deadline_s=60.0)
    assert store.sweep(MODEL).expired == 0
    assert state(store, job_id) is JobState.QUEUED
    finish(store, answered(claim_one(store)))
    assert state(store, job_id) is JobState.SUCCEEDED


def test_overdue_job_is_never_claimed(store: JobStore) -> None:
    late = [overdue(store), overdue(store, payload=b"x" * 20_000)]
    kept = submit(store)
    assert ids(claim(store)) == [kept]
    assert store.stats(MODEL).waiting == 0
    assert {state(store, job_id) for job_id in late} == {JobState.EXPIRED}


def test_sweep_expires_waiting_jobs(store: JobStore) -> None:
    late = [submit(store, deadline_s=SOON, ranges=(1, 1)), overdue(store)]
    kept = submit(store)
    swept = store.sweep(MODEL)
    assert (swept.expired, swept.reclaimed) == (2, 0)
    assert store.stats(MODEL).waiting == 1
    assert store.sweep(MODEL).expired == 0
    assert {state(store, job_id) for job_id in late} == {JobState.EXPIRED}
    assert ids(claim(store)) == [kept]


def test_sweep_of_another_model_expires_nothing(store: JobStore) -> None:
    overdue(store)
    assert store.sweep("other").expired == 0
    assert store.stats(MODEL).waiting == 1


@pytest.mark.parametrize("outcome", [answered, failed])
@pytest.mark.parametrize("size", [1, 20_000])
@pytest.mark.parametrize("noticed_by", ["its result", "a sweep", "a reader"])
def test_result_after_the_deadline_is_discarded(
    store: JobStore, outcome: type, size: int, noticed_by: str
) -> None:
    (entry,) = claimed_and_overdue(store, payload=b"x" * 20_000)
    job_id = entry.job_id
    if noticed_by == "a sweep":
        assert store.sweep(MODEL).expired == 1
    if noticed_by == "a reader":
        assert state(store, job_id) is JobState.EXPIRED
    assert store.stats(MODEL).running == (noticed_by == "its result")
    finish(store, answered(entry, b"x" * size) if outcome is answered else failed(entry))
    job, outputs = store.result(job_id)
    assert (job.state, outputs, job.error) == (JobState.EXPIRED, None, None)
    assert job.started_at is not None
    assert store.stats(MODEL).running == 0


def test_waiter_is_told_of_a_running_job_that_expires(store: JobStore) -> None:
    with listening(store, "web") as mailbox:
        (entry,) = claimed_and_overdue(store, reply_to="web")
        store.sweep(MODEL)
        eventually(lambda: [Finished(entry.job_id)] in mailbox.messages)


def test_expired_running_job_frees_its_place_and_is_not_lost_with_its_child(store: JobStore) -> None:
    (entry,) = claimed_and_overdue(store, queue_max_jobs=1)
    store.sweep(MODEL)
    submit(store, queue_max_jobs=1)
    assert store.recover(MODEL, CHILD, Loss.CHILD) == 0
    assert state(store, entry.job_id) is JobState.EXPIRED


def test_other_ranges_of_an_expired_job_leave_the_queue(store: JobStore) -> None:
    two = ClaimLimits(max_rows=2, max_bytes=1 << 30)
    first, second = claimed_and_overdue(store, two, ranges=(1, 1, 1), payload=b"x" * 20_000)
    job_id = first.job_id
    finish(store, answered(first))
    assert state(store, job_id) is JobState.EXPIRED
    finish(store, answered(second))
    assert claim(store) == ()
    assert (store.stats(MODEL).waiting, store.stats(MODEL).running) == (0, 0)
    assert state(store, job_id) is JobState.EXPIRED
    assert store.submit(new_job()).job.queue_position == 0


def test_overdue_job_is_not_run_again(store: JobStore) -> None:
    job_id = submit(store, deadline_s=1.0)
    claim_one(store)
    store.recover(MODEL, CHILD, Loss.CHILD)
    let_pass(store, 1.1)
    assert claim(store) == ()
    assert state(store, job_id) is JobState.EXPIRED


def test_expired_job_cannot_be_cancelled(store: JobStore) -> None:
    job_id = overdue(store)
    store.get(job_id)
    with pytest.raises(JobConflict):
        store.cancel(job_id)


def test_expired_jobs_free_their_place(store: JobStore) -> None:
    job_id = overdue(store, ranges=(1, 1))
    store.get(job_id)
    assert store.submit(new_job(queue_max_jobs=1)).job.queue_position == 0


def test_overdue_job_may_be_deleted(store: JobStore) -> None:
    store.delete(overdue(store))
    assert store.stats(MODEL).waiting == 0
    assert store.sweep(MODEL).expired == 0
