"""An error that is marked retryable: the entry runs again after its time, and is given up in the end."""

from __future__ import annotations

import time

import pytest

from predict_worker.core.job import JobError, JobState
from predict_worker.core.ports import Entry, JobStore, Loss, Outcome
from tests.contract.conftest import Open
from tests.contract.scene import (
    BROKEN,
    CHILD,
    MODEL,
    ONE,
    OTHER_CHILD,
    answered,
    claim,
    claim_one,
    claimed_and_overdue,
    eventually,
    failed,
    finish,
    ids,
    let_pass,
    new_job,
    roomier,
    state,
    step,
    submit,
)

SOON = 0.1
DEADLINE_S = 1.0
AWAY = JobError("model_error", "Model failed", 'the service was away: "é\n"')


def retried(entry: Entry, in_s: float = 0.0) -> Outcome:
    return Outcome(entry, error=AWAY, retry_in_s=in_s)


def given_up(entry: Entry) -> Outcome:
    return Outcome(entry, error=AWAY, given_up=True)


def claimed_in_time(store: JobStore) -> Entry:
    """The first entry there is to claim, as soon as there is one."""
    entries: tuple[Entry, ...] = ()

    def there() -> bool:
        nonlocal entries
        entries = claim(store, limits=ONE)
        return bool(entries)

    eventually(there)
    return entries[0]


def test_retry_waits_for_its_time_and_then_runs(store: JobStore) -> None:
    job_id = submit(store, payload=b"x" * 20_000)
    entry, told = claim_one(store), time.monotonic()
    finish(store, retried(entry, SOON))
    assert (store.stats(MODEL).waiting, store.stats(MODEL).running) == (1, 0)
    entry = claimed_in_time(store)
    assert time.monotonic() - told >= SOON
    assert (entry.attempt, entry.retries, entry.payload) == (2, 1, b"x" * 20_000)
    finish(store, answered(entry))
    job, outputs = store.result(job_id)
    assert (job.state, job.attempts, job.error, outputs) == (JobState.SUCCEEDED, 2, None, (b"out",))


def test_what_was_postponed_is_no_retry(store: JobStore) -> None:
    job_id = submit(store)
    for times in range(3):
        entry = claim_one(store)
        assert (entry.attempt, entry.retries, entry.postponed) == (times + 1, 0, times)
        finish(store, Outcome(entry, error=AWAY, retry_in_s=0.0, postponed=True))
    finish(store, retried(claim_one(store)))
    entry = claim_one(store)
    assert (entry.retries, entry.postponed) == (1, 3)
    finish(store, given_up(entry))
    error = store.get(job_id).error
    assert error is not None
    assert [attempt["attempt"] for attempt in error.attempts] == [4, 5]


def test_job_that_waits_for_its_retry_is_running(store: JobStore) -> None:
    job_id = submit(store)
    finish(store, retried(claim_one(store), 60))
    job = store.get(job_id)
    assert (job.state, job.attempts, job.error, job.queue_position) == (JobState.RUNNING, 1, None, None)


def test_retry_that_is_due_at_once_is_claimed_by_the_same_step(store: JobStore) -> None:
    submit(store)
    (again,) = step(store, retried(claim_one(store))).entries
    assert (again.attempt, again.retries) == (2, 1)


def test_retries_share_a_batch_with_each_other_and_with_what_waits(store: JobStore) -> None:
    jobs = [submit(store) for _ in range(3)]
    finish(store, *(retried(entry, SOON / 10 * n) for n, entry in enumerate(claim(store))))
    jobs.append(submit(store))
    let_pass(store, SOON)
    assert ids(claim(store)) == jobs


def test_retries_obey_the_limits_of_a_claim(store: JobStore) -> None:
    jobs = [submit(store) for _ in range(3)]
    finish(store, *(retried(entry, SOON / 10 * n) for n, entry in enumerate(claim(store))))
    let_pass(store, SOON)
    assert [ids(claim(store, limits=ONE)) for _ in range(3)] == [[job_id] for job_id in jobs]


def test_suspect_still_comes_alone(store: JobStore) -> None:
    first, second = submit(store), submit(store)
    finish(store, retried(claim_one(store)))
    claim_one(store, OTHER_CHILD)
    store.recover(MODEL, OTHER_CHILD, Loss.CHILD)
    assert ids(claim(store)) in ([first], [second])
    assert len(claim(store)) == 1


def test_neighbours_in_the_batch_are_published(store: JobStore) -> None:
    left, middle, right = submit(store), submit(store), submit(store)
    first, second, third = claim(store)
    finish(store, answered(first, b"1"), retried(second, 60), failed(third))
    assert store.result(left)[1] == (b"1",)
    assert state(store, middle) is JobState.RUNNING
    assert store.get(right).error == BROKEN


def test_failure_after_retries_tells_what_happened_before(store: JobStore) -> None:
    job_id = submit(store)
    finish(store, retried(claim_one(store)))
    finish(store, retried(claim_one(store)))
    finish(store, failed(claim_one(store)))
    job = store.get(job_id)
    assert job.error is not None
    assert (job.error.code, job.attempts) == ("broken", 3)
    told = [{**attempt, "at": bool(attempt["at"])} for attempt in job.error.attempts]
    assert told == [{"attempt": n, "code": AWAY.code, "detail": AWAY.detail, "at": True} for n in (1, 2)]
    assert store.dead(MODEL).job_ids == ()


def test_job_that_is_given_up_is_a_dead_letter(store: JobStore) -> None:
    job_id = submit(store)
    finish(store, retried(claim_one(store)))
    finish(store, given_up(claim_one(store)))
    job = store.get(job_id)
    assert job.error is not None
    assert (job.state, job.error.code, job.error.detail) == (JobState.FAILED, AWAY.code, AWAY.detail)
    assert [attempt["attempt"] for attempt in job.error.attempts] == [1, 2]
    assert store.dead(MODEL).job_ids == (job_id,)
    assert (store.stats(MODEL).waiting, store.stats(MODEL).running) == (0, 0)


def test_losses_and_errors_are_one_history(store: JobStore) -> None:
    job_id = submit(store)
    finish(store, retried(claim_one(store)))
    claim_one(store)
    store.recover(MODEL, CHILD, Loss.CHILD)
    entry = claim_one(store)
    assert (entry.attempt, entry.retries) == (3, 1)
    finish(store, failed(entry))
    error = store.get(job_id).error
    assert error is not None
    assert [attempt.get("loss", attempt.get("code")) for attempt in error.attempts] == [
        "model_error",
        "child",
    ]


def test_history_keeps_the_newest(store: JobStore) -> None:
    job_id = submit(store)
    for _ in range(55):
        finish(store, retried(claim_one(store)))
    finish(store, failed(claim_one(store)))
    error = store.get(job_id).error
    assert error is not None
    assert [error.attempts[0]["attempt"], error.attempts[-1]["attempt"]] == [6, 55]


# ---------------------------------------------------------------- several ranges


def test_ranges_are_retried_apart(store: JobStore) -> None:
    job_id = submit(store, ranges=(1, 1))
    first, second = claim(store)
    finish(store, answered(first, b"1"), retried(second))
    again = claim_one(store)
    assert (again.range_index, again.retries) == (1, 1)
    finish(store, answered(again, b"2"))
    assert store.result(job_id)[1] == (b"1", b"2")


def test_each_range_counts_its_own_retries(store: JobStore) -> None:
    submit(store, ranges=(1, 1))
    first = claim_one(store)
    finish(store, retried(first))
    finish(store, retried(claim_one(store), 60))
    assert [entry.retries for entry in claim(store)] == [0]


def test_job_of_which_a_range_has_failed_is_not_retried(store: JobStore) -> None:
    job_id = submit(store, ranges=(1, 1))
    first, second = claim(store)
    finish(store, failed(first))
    finish(store, retried(second))
    assert store.get(job_id).error == BROKEN
    assert claim(store) == ()


def test_given_up_range_takes_the_others_along(store: JobStore) -> None:
    job_id = submit(store, ranges=(1, 1, 1))
    first, second = claim_one(store), claim_one(store)
    finish(store, retried(first, 60))
    finish(store, given_up(second))
    assert state(store, job_id) is JobState.FAILED
    assert claim(store) == ()
    assert (store.stats(MODEL).waiting, store.stats(MODEL).running) == (0, 0)


# ---------------------------------------------------------------- meanwhile


@pytest.mark.parametrize("leave", ["cancel", "delete"])
def test_job_that_is_abandoned_while_it_waits_never_runs_again(store: JobStore, leave: str) -> None:
    job_id = submit(store)
    finish(store, retried(claim_one(store), SOON))
    getattr(store, leave)(job_id)
    assert store.stats(MODEL).waiting == 0
    let_pass(store, SOON)
    assert store.sweep(MODEL).wakeups == ()
    assert claim(store) == ()
    submit(store, queue_max_jobs=1)


def test_job_expires_while_it_waits_for_its_retry(store: JobStore) -> None:
    job_id = submit(store, deadline_s=DEADLINE_S)
    finish(store, retried(claim_one(store), SOON))
    let_pass(store, DEADLINE_S)
    assert store.sweep(MODEL).expired == 1
    assert state(store, job_id) is JobState.EXPIRED
    assert claim(store) == ()


def test_overdue_job_is_not_retried(store: JobStore) -> None:
    jobs = [submit(store, deadline_s=DEADLINE_S, ranges=(1, 1)) for _ in range(2)]
    finish(store, *(retried(entry, SOON / 10) for entry in claim(store)))
    let_pass(store, DEADLINE_S)
    assert claim(store) == ()
    assert {state(store, job_id) for job_id in jobs} == {JobState.EXPIRED}


def test_retry_that_would_come_after_the_deadline_is_none(store: JobStore) -> None:
    job_id = submit(store, deadline_s=5.0)
    finish(store, retried(claim_one(store), 60))
    job = store.get(job_id)
    assert (job.state, job.error) == (JobState.FAILED, AWAY)
    assert store.dead(MODEL).job_ids == ()


def test_overdue_job_that_is_given_up_has_expired(store: JobStore) -> None:
    (entry,) = claimed_and_overdue(store)
    finish(store, given_up(entry))
    assert state(store, entry.job_id) is JobState.EXPIRED
    assert store.dead(MODEL).job_ids == ()


@pytest.mark.parametrize("outcome", [retried, given_up])
def test_zombie_decides_nothing_about_an_entry_that_runs_elsewhere(store: JobStore, outcome: type) -> None:
    job_id = submit(store)
    zombie = claim_one(store)
    store.recover(MODEL, CHILD, Loss.NODE)
    rerun = claim_one(store, OTHER_CHILD)
    finish(store, outcome(zombie))
    assert (state(store, job_id), store.stats(MODEL).running) == (JobState.RUNNING, 1)
    finish(store, answered(rerun), consumer=OTHER_CHILD)
    assert state(store, job_id) is JobState.SUCCEEDED


def test_outcome_published_twice_is_one_retry(store: JobStore) -> None:
    submit(store)
    entry = claim_one(store)
    finish(store, retried(entry, SOON))
    finish(store, retried(entry, SOON))
    assert store.stats(MODEL).waiting == 1
    let_pass(store, SOON)
    assert claim_one(store).retries == 1
    assert claim(store) == ()


def test_late_answer_spares_the_retry(store: JobStore) -> None:
    job_id = submit(store)
    zombie = claim_one(store)
    store.recover(MODEL, CHILD, Loss.NODE)
    finish(store, retried(claim_one(store, OTHER_CHILD), SOON), consumer=OTHER_CHILD)
    finish(store, answered(zombie))
    assert state(store, job_id) is JobState.SUCCEEDED
    assert store.stats(MODEL).waiting == 0
    let_pass(store, SOON)
    assert claim(store) == ()


def test_child_that_dies_on_a_retry_loses_nothing(store: JobStore) -> None:
    job_id = submit(store)
    finish(store, retried(claim_one(store), SOON))
    assert store.recover(MODEL, CHILD, Loss.CHILD) == 0
    let_pass(store, SOON)
    claim_one(store)
    assert store.recover(MODEL, CHILD, Loss.CHILD) == 1
    finish(store, answered(claim_one(store)))
    assert store.get(job_id).attempts == 3


def test_waiting_retry_outlasts_leases_and_counts_no_loss(open_store: Open) -> None:
    store = open_store(roomier(lease_s=0.02, max_node_losses=1))
    job_id = submit(store)
    finish(store, retried(claim_one(store), SOON))
    for _ in range(4):
        let_pass(store, SOON / 3)
        assert store.sweep(MODEL).reclaimed == 0
    assert ids(claim(store)) == [job_id]


# ---------------------------------------------------------------- wake-ups and bounds


def test_sweep_wakes_for_a_retry_once_it_is_due(store: JobStore) -> None:
    submit(store)
    entry, told = claim_one(store), time.monotonic()
    finish(store, retried(entry, SOON))
    eventually(lambda: bool(store.sweep(MODEL).wakeups))
    assert time.monotonic() - told >= SOON


def test_retries_of_a_busy_child_wake_another_when_they_are_late(open_store: Open) -> None:
    store = open_store(roomier(sent_retry_s=0.05))
    submit(store)
    finish(store, retried(claim_one(store)))
    submit(store)
    claim(store, OTHER_CHILD, ONE)
    let_pass(store, 0.06)
    assert store.sweep(MODEL).wakeups


def test_waiting_retry_holds_its_place_in_the_queue(store: JobStore) -> None:
    submit(store, queue_max_jobs=1)
    finish(store, retried(claim_one(store), 60))
    assert store.submit(new_job(queue_max_jobs=2)).job.queue_position == 0
