"""The way back from the dead letters."""

from __future__ import annotations

import pytest

from predict_worker.core.errors import InputsGone, JobConflict, JobNotFound, QueueFull
from predict_worker.core.job import JobError, JobState, Timings
from predict_worker.core.ports import Finished, JobStore, Loss, Outcome
from tests.contract.backends import REDIS_SERVERS, RedisBackend
from tests.contract.conftest import Open
from tests.contract.scene import (
    CHILD,
    MODEL,
    OTHER_CHILD,
    UNKNOWN_ID,
    answered,
    claim,
    claim_one,
    eventually,
    failed,
    finish,
    gone,
    ids,
    let_pass,
    listening,
    new_job,
    roomier,
    state,
    step,
    submit,
)

LARGE = b"x" * 20_000
AWAY = JobError("model_error", "Model failed", "the service was away")


def buried(store: JobStore, **fields: object) -> str:
    """A job whose child has died three times."""
    job_id = submit(store, **fields)
    for _ in range(3):
        claim_one(store)
        store.recover(MODEL, CHILD, Loss.CHILD)
    assert store.dead(MODEL).job_ids[0] == job_id
    return job_id


@pytest.mark.parametrize("payload", [b"", b"small", LARGE])
def test_redriven_job_runs_anew_under_its_id(store: JobStore, payload: bytes) -> None:
    job_id = buried(store, payload=payload, metadata={"a": 1})
    accepted = store.redrive(job_id)
    job = accepted.job
    assert (job.id, job.state, job.metadata, job.error) == (job_id, JobState.QUEUED, {"a": 1}, None)
    assert (job.started_at, job.finished_at, job.timings) == (None, None, Timings())
    assert accepted.wakeup
    assert store.dead(MODEL).job_ids == ()
    entry = claim_one(store)
    assert (entry.job_id, entry.payload, entry.attempt, entry.retries) == (job_id, payload, 4, 0)
    finish(store, answered(entry))
    job, outputs = store.result(job_id)
    assert (job.state, job.attempts, outputs) == (JobState.SUCCEEDED, 4, (b"out",))
    assert job.started_at is not None
    assert claim(store) == ()


def test_its_strikes_are_forgiven_and_its_history_is_kept(store: JobStore) -> None:
    job_id = buried(store)
    store.redrive(job_id)
    for _ in range(2):
        claim_one(store)
        store.recover(MODEL, CHILD, Loss.CHILD)
    assert state(store, job_id) is JobState.RUNNING
    claim_one(store)
    store.recover(MODEL, CHILD, Loss.CHILD)
    job = store.get(job_id)
    assert job.error is not None
    assert (job.state, job.attempts) == (JobState.FAILED, 6)
    assert [attempt["attempt"] for attempt in job.error.attempts] == [1, 2, 3, 4, 5, 6]
    assert store.dead(MODEL).job_ids == (job_id,)
    store.redrive(job_id)
    finish(store, answered(claim_one(store)))
    assert store.get(job_id).attempts == 7


def test_losses_of_nodes_are_forgiven_too(open_store: Open) -> None:
    store = open_store(roomier(max_node_losses=2))
    job_id = submit(store)
    for _ in range(2):
        claim_one(store)
        store.recover(MODEL, CHILD, Loss.NODE)
    store.redrive(job_id)
    claim_one(store)
    store.recover(MODEL, CHILD, Loss.NODE)
    assert state(store, job_id) is JobState.RUNNING


def test_retries_begin_anew(store: JobStore) -> None:
    job_id = submit(store)
    (again,) = step(store, Outcome(claim_one(store), error=AWAY, retry_in_s=0.0)).entries
    finish(store, Outcome(again, error=AWAY, given_up=True))
    store.redrive(job_id)
    entry = claim_one(store)
    assert (entry.attempt, entry.retries) == (3, 0)
    (again,) = step(store, Outcome(entry, error=AWAY, retry_in_s=0.0)).entries
    assert (again.attempt, again.retries) == (4, 1)
    finish(store, failed(again))
    error = store.get(job_id).error
    assert error is not None
    assert [attempt["attempt"] for attempt in error.attempts] == [1, 2, 3]


def test_what_was_done_before_stays_done(store: JobStore) -> None:
    job_id = submit(store, ranges=(1, 1, 1))
    first, second, third = claim(store)
    finish(store, answered(first))
    finish(store, Outcome(second, error=AWAY, given_up=True), answered(third))
    job = store.redrive(job_id).job
    assert (job.state, job.attempts, job.ranges_done, job.ranges) == (JobState.QUEUED, 1, 1, 3)


def test_time_in_the_queue_counts_from_the_redrive(store: JobStore) -> None:
    job_id = buried(store)
    let_pass(store, 1.0)
    created_at = store.get(job_id).created_at
    store.redrive(job_id)
    assert claim_one(store).queue_ms < 1000
    assert store.get(job_id).created_at == created_at


def test_a_deadline_no_longer_counts(store: JobStore) -> None:
    job_id = buried(store, deadline_s=1.0)
    let_pass(store, 1.0)
    assert store.redrive(job_id).job.deadline_at is None
    assert store.sweep(MODEL).expired == 0
    finish(store, answered(claim_one(store)))
    assert state(store, job_id) is JobState.SUCCEEDED


def test_redriven_job_does_not_expire_as_the_dead_letter_would_have(open_store: Open) -> None:
    store = open_store(roomier(record_ttl_s=1.0, max_strikes=1))
    job_id = submit(store, payload=LARGE, idempotency_key="k", fingerprint="f")
    claim_one(store)
    store.recover(MODEL, CHILD, Loss.CHILD)
    store.redrive(job_id)
    let_pass(store, 1.1)
    assert claim_one(store).payload == LARGE
    assert store.submit(new_job(idempotency_key="k", fingerprint="f")).job.id == job_id
    store.recover(MODEL, CHILD, Loss.CHILD)
    eventually(lambda: gone(store, job_id))


def test_its_new_end_is_told_to_those_alone_who_wait_for_it(store: JobStore) -> None:
    with listening(store, "web") as before, listening(store, "events") as mailbox:
        job_id = buried(store, reply_to="web")
        before.wait()
        store.redrive(job_id)
        assert store.watch(job_id, "events").state is JobState.QUEUED
        finish(store, answered(claim_one(store), b"answer"))
        ((finished,),) = mailbox.wait()
        assert finished.job_id == job_id
        last = submit(store, reply_to="web")
        store.cancel(last)
        assert before.wait(2)[1] == [Finished(last)]


def test_zombie_of_the_dead_letter_answers_nothing(store: JobStore) -> None:
    job_id = submit(store)
    for _ in range(3):
        zombie = claim_one(store)
        store.recover(MODEL, CHILD, Loss.CHILD)
    store.redrive(job_id)
    finish(store, answered(zombie, b"late"))
    assert state(store, job_id) is JobState.QUEUED
    finish(store, answered(claim_one(store), b"new"))
    assert store.result(job_id)[1] == (b"new",)


# ---------------------------------------------------------------- several ranges


@pytest.mark.parametrize("payload", [b"small", LARGE])
def test_ranges_that_are_answered_do_not_run_again(store: JobStore, payload: bytes) -> None:
    job_id = submit(store, ranges=(1, 2, 1), payload=payload)
    finish(store, answered(claim_one(store), b"1" + payload))
    for _ in range(3):
        claim_one(store)
        store.recover(MODEL, CHILD, Loss.CHILD)
    assert store.result(job_id)[1] is None
    assert store.redrive(job_id).job.state is JobState.QUEUED
    second, third = claim(store)
    assert [(e.range_index, e.rows, e.payload) for e in (second, third)] == [(1, 2, payload), (2, 1, payload)]
    finish(store, answered(second, b"2"), answered(third, b"3"))
    assert store.result(job_id)[1] == (b"1" + payload, b"2", b"3")


def test_job_of_which_a_range_has_failed_for_good_is_no_dead_letter(store: JobStore) -> None:
    job_id = submit(store, ranges=(1, 1))
    finish(store, failed(claim_one(store)))
    for _ in range(3):
        claim_one(store)
        store.recover(MODEL, CHILD, Loss.CHILD)
    error = store.get(job_id).error
    assert error is not None
    assert (error.code, len(error.attempts)) == ("broken", 3)
    assert store.dead(MODEL).job_ids == ()
    assert (store.stats(MODEL).waiting, store.stats(MODEL).running) == (0, 0)


def test_job_that_dies_in_halves_is_redriven_in_halves(store: JobStore) -> None:
    job_id = submit(store, ranges=(1, 1))
    for answer in (b"1", b"2"):
        for _ in range(3):
            claim_one(store)
            store.recover(MODEL, CHILD, Loss.CHILD)
        store.redrive(job_id)
        finish(store, answered(claim_one(store), answer))
    assert store.result(job_id)[1] == (b"1", b"2")


# ---------------------------------------------------------------- refused


def test_only_dead_letters_are_redriven(store: JobStore) -> None:
    queued = submit(store)
    with pytest.raises(JobConflict):
        store.redrive(queued)
    entry = claim_one(store)
    with pytest.raises(JobConflict):
        store.redrive(queued)
    finish(store, failed(entry))
    with pytest.raises(JobConflict):
        store.redrive(queued)
    assert claim(store) == ()
    for unknown in (UNKNOWN_ID, "nonsense"):
        with pytest.raises(JobNotFound):
            store.redrive(unknown)


def test_redriving_twice_runs_once(store: JobStore) -> None:
    job_id = buried(store)
    store.redrive(job_id)
    with pytest.raises(JobConflict):
        store.redrive(job_id)
    assert ids(claim(store)) == [job_id]


def test_full_queue_takes_no_dead_letter(store: JobStore) -> None:
    job_id = buried(store)
    waiting = submit(store)
    with pytest.raises(QueueFull):
        store.redrive(job_id, queue_max_jobs=1)
    assert store.dead(MODEL).job_ids == (job_id,)
    store.cancel(waiting)
    assert store.redrive(job_id, queue_max_jobs=1).job.queue_position == 0
    with pytest.raises(QueueFull):
        submit(store, queue_max_jobs=1)


def test_bound_of_all_models_holds_for_dead_letters_too(open_store: Open) -> None:
    store = open_store(roomier(queue_max_jobs=1))
    job_id = buried(store)
    waiting = submit(store, model="other")
    with pytest.raises(QueueFull):
        store.redrive(job_id)
    store.cancel(waiting)
    store.redrive(job_id)
    with pytest.raises(QueueFull):
        submit(store, model="other")


def test_deleted_dead_letter_is_gone(store: JobStore) -> None:
    job_id = buried(store)
    store.delete(job_id)
    with pytest.raises(JobNotFound):
        store.redrive(job_id)


def test_redriven_job_may_be_cancelled_and_deleted(store: JobStore) -> None:
    cancelled, deleted = buried(store), buried(store)
    for job_id in (cancelled, deleted):
        store.redrive(job_id)
    assert store.cancel(cancelled).state is JobState.CANCELLED
    store.delete(deleted)
    assert claim(store, OTHER_CHILD) == ()
    assert store.stats(MODEL).waiting == 0
    with pytest.raises(JobConflict):
        store.redrive(cancelled)


@pytest.mark.parametrize("redis_client", list(REDIS_SERVERS) or ["redis"], indirect=True)
@pytest.mark.parametrize("kind", ["in", "out"])
def test_dead_letter_without_its_data_is_refused(store: JobStore, backend: RedisBackend, kind: str) -> None:
    job_id = submit(store, ranges=(1, 1))
    finish(store, answered(claim_one(store)))
    for _ in range(3):
        claim_one(store)
        store.recover(MODEL, CHILD, Loss.CHILD)
    (key,) = backend.client.scan_iter(f"{backend.prefix}:*:{kind}:*")
    backend.client.delete(key)
    with pytest.raises(InputsGone):
        store.redrive(job_id)
    assert store.dead(MODEL).job_ids == (job_id,)


@pytest.mark.parametrize("redis_client", list(REDIS_SERVERS) or ["redis"], indirect=True)
def test_redriven_job_leaves_nothing_behind(store: JobStore, backend: RedisBackend) -> None:
    """But what any job leaves: its record and its outputs."""
    job_id = buried(store, payload=LARGE, ranges=(1, 1))
    store.redrive(job_id)
    finish(store, *(answered(entry) for entry in claim(store)))
    left = list(backend.client.scan_iter(f"{backend.prefix}:*{job_id}*"))
    assert {key.decode().split(":")[3] for key in left} == {"job", "out"}
    assert all(backend.client.ttl(key) > 0 for key in left)
