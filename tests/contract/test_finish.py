"""From an outcome to the one result that is ever seen."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from predict_worker.core.errors import JobConflict
from predict_worker.core.job import JobError, JobState, Timings
from predict_worker.core.ports import JobStore, Loss
from tests.contract.scene import (
    BROKEN,
    CHILD,
    MODEL,
    OTHER_CHILD,
    answered,
    claim,
    claim_one,
    failed,
    finish,
    gone,
    ids,
    new_job,
    ran_for,
    state,
    step,
    submit,
)


def test_answered_job_succeeds(store: JobStore) -> None:
    job_id = submit(store)
    finish(store, answered(claim_one(store), b"answer", timings=ran_for(1.5, 17)))
    job, outputs = store.result(job_id)
    assert outputs == (b"answer",)
    assert (job.state, job.attempts, job.error) == (JobState.SUCCEEDED, 1, None)
    assert job.timings == Timings(queue_ms=0.5, predict_ms=1.5, batch_rows=17)
    assert job.started_at is not None
    assert job.finished_at is not None
    assert job.expires_at is not None
    assert job.created_at <= job.started_at <= job.finished_at < job.expires_at
    assert store.get(job_id) == job


def test_job_shows_how_many_of_its_ranges_are_done(store: JobStore) -> None:
    job_id = submit(store, ranges=(2, 2, 1))
    seen = []
    for entry in claim(store):
        job = store.get(job_id)
        seen.append((job.state, job.ranges_done, job.ranges))
        finish(store, failed(entry) if entry.range_index == 1 else answered(entry))
    assert seen == [(JobState.RUNNING, done, 3) for done in range(3)]
    job = store.get(job_id)
    assert (job.state, job.ranges_done, job.ranges) == (JobState.FAILED, 3, 3)


def test_failed_job_shows_its_error_and_has_no_outputs(store: JobStore) -> None:
    job_id = submit(store)
    finish(store, failed(claim_one(store), timings=ran_for(2.0)))
    job, outputs = store.result(job_id)
    assert (job.state, job.error, outputs) == (JobState.FAILED, BROKEN, None)
    assert job.timings.predict_ms == 2.0
    assert job.expires_at is None


def test_error_text_survives_as_it_is(store: JobStore) -> None:
    odd = JobError("c", "ü\n\"'", "line 1\nline 2\t{}[]\\u0000\0")
    job_id = submit(store)
    finish(store, failed(claim_one(store), odd))
    assert store.get(job_id).error == odd


def test_jobs_of_one_batch_have_their_own_outcomes(store: JobStore) -> None:
    good, bad, other = submit(store), submit(store), submit(store)
    first, second, third = claim(store)
    finish(store, answered(first, b"1"), failed(second), answered(third, b"3"))
    assert store.result(good)[1] == (b"1",)
    assert store.result(bad)[1] is None
    assert store.result(other)[1] == (b"3",)


def test_one_step_publishes_and_claims(store: JobStore) -> None:
    first, second = submit(store), submit(store)
    entry = claim_one(store)
    following = step(store, answered(entry)).entries
    assert state(store, first) is JobState.SUCCEEDED
    assert ids(following) == [second]


def test_giving_way_publishes_and_claims_nothing(store: JobStore) -> None:
    first, second = submit(store), submit(store)
    claimed = step(store, answered(claim_one(store)), limits=None)
    assert claimed.entries == ()
    assert state(store, first) is JobState.SUCCEEDED
    assert state(store, second) is JobState.QUEUED


def test_stale_duplicate_still_publishes_what_it_has(store: JobStore) -> None:
    """The work was done: only the claim is refused."""
    job_id = submit(store)
    entry = claim_one(store)
    step(store, limits=None)
    step(store, answered(entry), consumer="n9:9")
    assert state(store, job_id) is JobState.SUCCEEDED


def test_version_that_ran_is_filled_in(store: JobStore) -> None:
    job_id = submit(store)
    entry = claim_one(store)
    assert entry.version is None
    finish(store, answered(entry, version=3, digest="sha256:d", artefact="keras"))
    job = store.get(job_id)
    assert (job.version, job.digest, job.artefact) == (3, "sha256:d", "keras")


def test_version_that_ran_is_shown_though_submit_resolved_another(store: JobStore) -> None:
    job_id = submit(store, version=2, digest="sha256:a", artefact="saved_model")
    finish(store, answered(claim_one(store), version=3, digest="sha256:d", artefact="keras"))
    job = store.get(job_id)
    assert (job.version, job.digest, job.artefact) == (3, "sha256:d", "keras")


def test_finished_entries_leave_the_queue(store: JobStore) -> None:
    submit(store)
    entry = claim_one(store)
    assert (store.stats(MODEL).waiting, store.stats(MODEL).running) == (0, 1)
    finish(store, answered(entry))
    assert (store.stats(MODEL).waiting, store.stats(MODEL).running) == (0, 0)


# ---------------------------------------------------------------- exactly one result


def test_second_outcome_of_an_entry_is_dropped(store: JobStore) -> None:
    job_id = submit(store)
    entry = claim_one(store)
    finish(store, answered(entry, b"first"))
    before = store.result(job_id)
    finish(store, answered(entry, b"second"))
    finish(store, failed(entry))
    assert store.result(job_id) == before


def test_second_outcome_in_the_same_step_is_dropped(store: JobStore) -> None:
    job_id = submit(store)
    entry = claim_one(store)
    finish(store, answered(entry, b"first"), answered(entry, b"second"))
    assert store.result(job_id)[1] == (b"first",)


@pytest.mark.parametrize("size", [6, 20_000])
def test_zombie_that_comes_first_wins_and_the_rerun_is_dropped(store: JobStore, size: int) -> None:
    job_id = submit(store)
    entry = claim_one(store)
    store.recover(MODEL, CHILD, Loss.NODE)
    rerun = claim_one(store, OTHER_CHILD)
    finish(store, answered(entry, b"z" * size))
    finish(store, answered(rerun, b"r" * size), consumer=OTHER_CHILD)
    assert store.result(job_id)[1] == (b"z" * size,)


@pytest.mark.parametrize("size", [6, 20_000])
def test_zombie_that_comes_late_is_dropped(store: JobStore, size: int) -> None:
    job_id = submit(store)
    entry = claim_one(store)
    store.recover(MODEL, CHILD, Loss.NODE)
    finish(store, answered(claim_one(store, OTHER_CHILD), b"r" * size), consumer=OTHER_CHILD)
    finish(store, answered(entry, b"z" * size))
    assert store.result(job_id)[1] == (b"r" * size,)


def test_zombie_that_comes_before_the_rerun_is_claimed_spares_it(store: JobStore) -> None:
    job_id = submit(store)
    entry = claim_one(store)
    store.recover(MODEL, CHILD, Loss.NODE)
    finish(store, answered(entry))
    assert store.stats(MODEL).waiting == 0
    assert claim(store, OTHER_CHILD) == ()
    assert state(store, job_id) is JobState.SUCCEEDED


def test_zombie_of_a_dead_letter_does_not_revive_it(store: JobStore) -> None:
    job_id = submit(store)
    for _ in range(3):
        entry = claim_one(store)
        store.recover(MODEL, CHILD, Loss.CHILD)
    finish(store, answered(entry))
    assert state(store, job_id) is JobState.FAILED


# ---------------------------------------------------------------- jobs of several ranges


def test_job_finishes_with_its_last_range(store: JobStore) -> None:
    job_id = submit(store, ranges=(1, 1, 1))
    first, second, third = claim(store)
    finish(store, answered(third, b"3"), answered(first, b"1"))
    assert store.result(job_id)[1] is None
    assert state(store, job_id) is JobState.RUNNING
    finish(store, answered(second, b"2", timings=ran_for(9.0)))
    job, outputs = store.result(job_id)
    assert (job.state, outputs, job.timings.predict_ms) == (JobState.SUCCEEDED, (b"1", b"2", b"3"), 9.0)


def test_ranges_may_be_large(store: JobStore) -> None:
    job_id = submit(store, ranges=(1, 1), payload=b"i" * 20_000)
    first, second = claim(store)
    assert (first.payload, second.payload) == (b"i" * 20_000,) * 2
    finish(store, answered(first, b"a" * 20_000), answered(second, b"b" * 30_000))
    assert store.result(job_id)[1] == (b"a" * 20_000, b"b" * 30_000)


def test_one_bad_range_fails_the_job_at_its_end_with_the_first_error(store: JobStore) -> None:
    job_id = submit(store, ranges=(1, 1, 1))
    first, second, third = claim(store)
    finish(store, failed(second))
    assert state(store, job_id) is JobState.RUNNING
    assert store.get(job_id).error is None
    finish(store, failed(first, replace(BROKEN, detail="a later one")), answered(third))
    job, outputs = store.result(job_id)
    assert (job.state, job.error, outputs) == (JobState.FAILED, BROKEN, None)


def test_range_answered_twice_counts_once(store: JobStore) -> None:
    job_id = submit(store, ranges=(1, 1))
    first, _ = claim(store)
    finish(store, answered(first))
    finish(store, answered(first))
    assert state(store, job_id) is JobState.RUNNING


# ---------------------------------------------------------------- cancel and delete


def test_result_of_a_job_cancelled_while_running_is_discarded(store: JobStore) -> None:
    job_id = submit(store)
    entry = claim_one(store)
    job = store.cancel(job_id)
    assert job.state is JobState.CANCELLED
    assert job.finished_at is not None
    finish(store, answered(entry, b"x" * 20_000))
    assert store.result(job_id) == (job, None)
    assert store.stats(MODEL).running == 0


def test_cancelling_twice_is_fine(store: JobStore) -> None:
    job_id = submit(store)
    assert store.cancel(job_id) == store.cancel(job_id)


@pytest.mark.parametrize("outcome", [answered, failed])
def test_finished_job_cannot_be_cancelled(store: JobStore, outcome: type) -> None:
    job_id = submit(store)
    finish(store, outcome(claim_one(store)))
    before = store.result(job_id)
    with pytest.raises(JobConflict):
        store.cancel(job_id)
    assert store.result(job_id) == before


def test_deleted_job_is_gone_whatever_its_state(store: JobStore) -> None:
    queued, running, done = submit(store), submit(store), submit(store)
    store.delete(queued)
    first, second = claim(store)
    assert ids([first, second]) == [running, done]
    finish(store, answered(second))
    store.delete(running)
    store.delete(done)
    finish(store, answered(first))
    assert all(gone(store, job_id) for job_id in (queued, running, done))
    assert (store.stats(MODEL).waiting, store.stats(MODEL).running) == (0, 0)


def test_outcome_of_a_deleted_job_spares_its_neighbours(store: JobStore) -> None:
    left, kept = submit(store), submit(store)
    first, second = claim(store)
    store.delete(left)
    finish(store, answered(first, b"x" * 20_000), answered(second, b"out"))
    assert store.result(kept)[1] == (b"out",)


def test_metadata_and_request_survive_to_the_end(store: JobStore) -> None:
    new = new_job(metadata={"a": {"b": [1.5, "x", None]}}, request_id="r")
    store.submit(new)
    finish(store, answered(claim_one(store)))
    job = store.get(new.id)
    assert (json.dumps(job.metadata), job.request_id) == ('{"a": {"b": [1.5, "x", null]}}', "r")
