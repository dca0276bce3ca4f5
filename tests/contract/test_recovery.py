"""What becomes of work whose consumer is lost."""

from __future__ import annotations

from datetime import datetime

import pytest

from predict_worker.core.job import JobState
from predict_worker.core.ports import ClaimLimits, JobStore, Loss
from predict_worker.store.config import StoreConfig
from tests.contract.backends import Backend
from tests.contract.conftest import Open
from tests.contract.scene import (
    CHILD,
    MODEL,
    OTHER_CHILD,
    answered,
    claim,
    claim_one,
    eventually,
    failed,
    finish,
    ids,
    lane,
    let_pass,
    new_job,
    roomier,
    state,
    step,
    submit,
)

ALL_LOSSES = pytest.mark.parametrize("loss", Loss)
DEATHS = pytest.mark.parametrize("loss", [Loss.CHILD, Loss.TIMEOUT])


def die_alone(store: JobStore, times: int, loss: Loss = Loss.CHILD) -> None:
    """The oldest job's child dies, so often, with nothing else in its hands."""
    for _ in range(times):
        claim_one(store)
        store.recover(MODEL, CHILD, loss)


@ALL_LOSSES
def test_entries_of_a_lost_consumer_run_again_each_alone(store: JobStore, loss: Loss) -> None:
    jobs = [submit(store, payload=b"x" * size) for size in (1, 20_000, 1)]
    claim(store)
    waiting = submit(store)
    assert store.recover(MODEL, CHILD, loss) == 3
    reruns = [claim(store, f"n2:{number}") for number in range(3)]
    assert [ids(entries) for entries in reruns] == [[job_id] for job_id in jobs]
    assert [entries[0].attempt for entries in reruns] == [2, 2, 2]
    assert len(reruns[1][0].payload or b"") == 20_000
    assert ids(claim(store, OTHER_CHILD)) == [waiting]


def test_however_much_a_consumer_held_all_of_it_runs_again(open_store: Open) -> None:
    store = open_store(roomier(queue_max_jobs=20_000))
    submit(store, ranges=(1,) * 10_001, queue_max_jobs=20_000)
    claim(store, limits=ClaimLimits(20_000, 1 << 30))
    assert store.recover(MODEL, CHILD, Loss.CHILD) == 10_001
    assert (store.stats(MODEL).waiting, store.stats(MODEL).running) == (10_001, 0)


def test_rerun_succeeds_and_shows_its_attempts(store: JobStore) -> None:
    job_id = submit(store)
    claim_one(store)
    started_at = store.get(job_id).started_at
    store.recover(MODEL, CHILD, Loss.CHILD)
    assert state(store, job_id) is JobState.RUNNING
    finish(store, answered(claim_one(store)))
    job = store.get(job_id)
    assert (job.state, job.attempts, job.started_at) == (JobState.SUCCEEDED, 2, started_at)


def test_rerun_that_fails_tells_what_happened_before(store: JobStore) -> None:
    job_id = submit(store)
    die_alone(store, 1)
    finish(store, failed(claim_one(store)))
    error = store.get(job_id).error
    assert error is not None
    assert error.code == "broken"
    (before,) = error.attempts
    assert {name: before[name] for name in ("attempt", "loss", "alone")} == {
        "attempt": 1,
        "loss": "child",
        "alone": True,
    }
    assert datetime.fromisoformat(before["at"]).tzinfo is not None


def test_attempts_are_counted_for_each_range(store: JobStore) -> None:
    """A first run is the first, however often another range of the job has died."""
    job_id = submit(store, ranges=(1, 1))
    claim_one(store)
    store.recover(MODEL, CHILD, Loss.CHILD)
    rerun, first_run = claim_one(store), claim_one(store)
    assert (rerun.range_index, rerun.attempt) == (0, 2)
    assert (first_run.range_index, first_run.attempt) == (1, 1)
    assert store.get(job_id).attempts == 2


@ALL_LOSSES
def test_nothing_held_is_nothing_recovered(store: JobStore, loss: Loss) -> None:
    submit(store)
    assert store.recover(MODEL, CHILD, loss) == 0
    entry = claim_one(store)
    assert store.recover(MODEL, OTHER_CHILD, loss) == 0
    assert store.recover("other", CHILD, loss) == 0
    finish(store, answered(entry))
    assert store.recover(MODEL, CHILD, loss) == 0


def test_recovering_twice_touches_nothing_the_second_time(store: JobStore) -> None:
    job_id = submit(store)
    claim_one(store)
    assert store.recover(MODEL, CHILD, Loss.CHILD) == 1
    assert store.recover(MODEL, CHILD, Loss.CHILD) == 0
    assert ids(claim(store)) == [job_id]
    assert claim(store) == ()


def test_a_node_is_all_its_children_and_no_others(store: JobStore) -> None:
    jobs = [submit(store) for _ in range(4)]
    for consumer in ("n1:1", "n1:2", "n11:1", "xn1:1"):
        claim_one(store, consumer)
    assert store.recover(MODEL, "n1:", Loss.NODE) == 2
    assert sorted(ids([claim_one(store, "n3:1"), claim_one(store, "n3:1")])) == sorted(jobs[:2])
    assert claim(store, "n3:1") == ()


def test_consumer_name_is_no_prefix(store: JobStore) -> None:
    submit(store)
    claim_one(store, "n1:12")
    assert store.recover(MODEL, "n1:1", Loss.CHILD) == 0


def test_stats_count_reruns_as_waiting(store: JobStore) -> None:
    submit(store)
    claim_one(store)
    store.recover(MODEL, CHILD, Loss.CHILD)
    assert (store.stats(MODEL).waiting, store.stats(MODEL).running) == (1, 0)
    claim_one(store)
    assert (store.stats(MODEL).waiting, store.stats(MODEL).running) == (0, 1)


# ---------------------------------------------------------------- strikes


@DEATHS
def test_three_deaths_alone_bury_a_job(store: JobStore, loss: Loss) -> None:
    poison = submit(store)
    die_alone(store, 2, loss)
    assert state(store, poison) is JobState.RUNNING
    assert store.dead(MODEL).job_ids == ()
    die_alone(store, 1, loss)
    job, outputs = store.result(poison)
    assert (job.state, job.attempts, outputs) == (JobState.FAILED, 3, None)
    assert job.finished_at is not None
    assert job.expires_at is None
    assert job.error is not None
    assert job.error.code == ("worker_died" if loss is Loss.CHILD else "timeout")
    assert job.error.title
    assert "3" in job.error.detail
    assert [a["attempt"] for a in job.error.attempts] == [1, 2, 3]
    assert [a["loss"] for a in job.error.attempts] == [loss.value] * 3
    assert store.dead(MODEL).job_ids == (poison,)
    assert claim(store) == ()
    assert (store.stats(MODEL).waiting, store.stats(MODEL).running) == (0, 0)


def test_last_loss_names_the_error(store: JobStore) -> None:
    job_id = submit(store)
    die_alone(store, 2, Loss.CHILD)
    die_alone(store, 1, Loss.TIMEOUT)
    error = store.get(job_id).error
    assert error is not None
    assert error.code == "timeout"


def test_bound_of_strikes_is_a_setting(open_store: Open) -> None:
    store = open_store(roomier(max_strikes=1))
    job_id = submit(store)
    die_alone(store, 1)
    assert state(store, job_id) is JobState.FAILED


@DEATHS
def test_death_in_company_is_no_strike(store: JobStore, loss: Loss) -> None:
    """The guilty one is found by running each alone; the innocent succeed."""
    jobs = [submit(store) for _ in range(3)]
    poison = jobs[1]
    claim(store)
    store.recover(MODEL, CHILD, loss)
    deaths = 0
    while entries := claim(store):
        if entries[0].job_id == poison:
            store.recover(MODEL, CHILD, loss)
            deaths += 1
        else:
            finish(store, answered(entries[0]))
    assert deaths == 3
    assert [state(store, i) for i in jobs] == [JobState.SUCCEEDED, JobState.FAILED, JobState.SUCCEEDED]
    error = store.get(poison).error
    assert error is not None
    assert [a["alone"] for a in error.attempts] == [False, True, True, True]


def test_ranges_of_one_job_are_company_for_each_other(store: JobStore) -> None:
    job_id = submit(store, ranges=(1, 1))
    claim(store)
    store.recover(MODEL, CHILD, Loss.CHILD)
    die_alone(store, 2)
    assert state(store, job_id) is JobState.RUNNING


def test_each_child_of_a_node_is_alone_or_not_by_itself(open_store: Open) -> None:
    store = open_store(roomier(max_strikes=1))
    alone, first, second = submit(store), submit(store), submit(store)
    claim_one(store, "n1:1")
    claim(store, "n1:2", ClaimLimits(2, 1 << 30))
    store.recover(MODEL, "n1:", Loss.CHILD)
    assert [state(store, i) for i in (alone, first, second)] == [
        JobState.FAILED,
        JobState.RUNNING,
        JobState.RUNNING,
    ]


def test_entry_already_answered_is_no_company(open_store: Open) -> None:
    store = open_store(roomier(max_strikes=1))
    submit(store)
    poison = submit(store)
    first, _ = claim(store)
    finish(store, answered(first))
    store.recover(MODEL, CHILD, Loss.CHILD)
    assert state(store, poison) is JobState.FAILED


# ---------------------------------------------------------------- nodes


def test_deaths_of_nodes_are_no_strikes_and_have_their_own_bound(open_store: Open) -> None:
    store = open_store(roomier(max_node_losses=5))
    job_id = submit(store)
    die_alone(store, 4, Loss.NODE)
    assert state(store, job_id) is JobState.RUNNING
    die_alone(store, 2, Loss.CHILD)
    assert state(store, job_id) is JobState.RUNNING
    die_alone(store, 1, Loss.NODE)
    error = store.get(job_id).error
    assert error is not None
    assert error.code == "worker_died"
    assert "5" in error.detail
    assert store.dead(MODEL).job_ids == (job_id,)


def test_node_that_held_many_ranges_is_one_loss_of_the_job(open_store: Open) -> None:
    store = open_store(roomier(max_node_losses=2))
    job_id = submit(store, ranges=(1,) * 6)
    for number in range(3):
        claim(store, f"n1:{number}", ClaimLimits(2, 1 << 30))
    assert store.recover(MODEL, "n1:", Loss.NODE) == 6
    assert state(store, job_id) is JobState.RUNNING
    claim_one(store)
    store.recover(MODEL, CHILD, Loss.NODE)
    assert state(store, job_id) is JobState.FAILED
    assert claim(store) == ()


def test_handback_counts_nothing(open_store: Open) -> None:
    store = open_store(roomier(max_strikes=1, max_node_losses=1))
    job_id = submit(store)
    die_alone(store, 5, Loss.HANDBACK)
    finish(store, failed(claim_one(store)))
    job = store.get(job_id)
    assert job.error is not None
    assert (job.error.code, job.error.attempts) == ("broken", ())


# ---------------------------------------------------------------- dead letters


def test_dead_letters_are_newest_first_and_limited(store: JobStore) -> None:
    jobs = []
    for _ in range(3):
        jobs.append(submit(store))
        die_alone(store, 3)
        let_pass(store, 0.00001)
    assert store.dead(MODEL).job_ids == tuple(reversed(jobs))
    assert store.dead(MODEL, limit=2).job_ids == (jobs[2], jobs[1])
    assert store.dead("other").job_ids == ()


def test_deleted_job_leaves_the_dead_letters(store: JobStore) -> None:
    job_id = submit(store)
    die_alone(store, 3)
    store.delete(job_id)
    assert store.dead(MODEL).job_ids == ()


def test_ordinary_failure_is_no_dead_letter(store: JobStore) -> None:
    submit(store)
    finish(store, failed(claim_one(store)))
    assert store.dead(MODEL).job_ids == ()


def test_buried_job_takes_its_other_ranges_along(store: JobStore) -> None:
    job_id = submit(store, ranges=(1, 1, 1))
    running = claim_one(store, OTHER_CHILD)
    die_alone(store, 3)
    assert state(store, job_id) is JobState.FAILED
    assert claim(store) == ()
    finish(store, answered(running), consumer=OTHER_CHILD)
    assert state(store, job_id) is JobState.FAILED
    assert (store.stats(MODEL).waiting, store.stats(MODEL).running) == (0, 0)
    assert store.submit(new_job()).job.queue_position == 0


# ---------------------------------------------------------------- abandoned meanwhile


@pytest.mark.parametrize("leave", ["cancel", "delete"])
@pytest.mark.parametrize("when", ["before the loss", "after the loss"])
def test_abandoned_job_never_runs_again(store: JobStore, leave: str, when: str) -> None:
    left, kept = submit(store), submit(store)
    claim(store)
    if when == "before the loss":
        getattr(store, leave)(left)
    store.recover(MODEL, CHILD, Loss.NODE)
    if when == "after the loss":
        getattr(store, leave)(left)
    assert (store.stats(MODEL).waiting, store.stats(MODEL).running) == (1, 0)
    assert ids(claim(store)) == [kept]
    assert claim(store) == ()


def test_cancelled_job_is_not_buried(store: JobStore) -> None:
    job_id = submit(store)
    die_alone(store, 2)
    claim_one(store)
    store.cancel(job_id)
    store.recover(MODEL, CHILD, Loss.CHILD)
    assert state(store, job_id) is JobState.CANCELLED
    assert store.dead(MODEL).job_ids == ()


# ---------------------------------------------------------------- leases


def test_lapsed_entries_are_recovered_by_the_sweep(open_store: Open) -> None:
    store = open_store(roomier(lease_s=0.05, sent_retry_s=0.02))
    job_id = submit(store, ranges=(1, 1))
    claim(store)
    let_pass(store, 0.06)
    swept = store.sweep(MODEL)
    assert swept.reclaimed == 2
    assert len(swept.wakeups) == 1
    assert store.sweep(MODEL).reclaimed == 0
    assert [claim_one(store, OTHER_CHILD).attempt for _ in range(2)] == [2, 2]
    assert state(store, job_id) is JobState.RUNNING


def test_entry_whose_lease_has_not_lapsed_is_left_alone(store: JobStore) -> None:
    submit(store)
    claim_one(store)
    assert store.sweep(MODEL).reclaimed == 0


def test_lapsed_entry_is_found_behind_any_number_of_waiting_reruns(open_store: Open) -> None:
    store = open_store(roomier(lease_s=0.05))
    submit(store, ranges=(1,) * 301)
    claim(store)
    submit(store)
    claim(store, OTHER_CHILD)
    store.recover(MODEL, CHILD, Loss.HANDBACK)
    let_pass(store, 0.06)
    assert store.sweep(MODEL).reclaimed == 1


def test_lapsed_lease_counts_as_a_lost_node(open_store: Open) -> None:
    store = open_store(roomier(lease_s=0.02, max_node_losses=2, max_strikes=1))
    job_id = submit(store, ranges=(1, 1))
    for expected in (JobState.RUNNING, JobState.FAILED):
        claim_one(store)
        claim_one(store)
        let_pass(store, 0.03)
        assert store.sweep(MODEL).reclaimed == 2
        assert state(store, job_id) is expected
    assert store.dead(MODEL).job_ids == (job_id,)
    assert claim(store) == ()
    assert (store.stats(MODEL).waiting, store.stats(MODEL).running) == (0, 0)


def test_reruns_that_wait_never_lapse(open_store: Open) -> None:
    store = open_store(roomier(lease_s=0.02, max_node_losses=1, max_strikes=9))
    job_id = submit(store)
    claim_one(store)
    store.recover(MODEL, CHILD, Loss.CHILD)
    let_pass(store, 0.03)
    assert store.sweep(MODEL).reclaimed == 0
    assert ids(claim(store)) == [job_id]


def test_waiting_rerun_survives_sweeps_and_is_claimed_once(open_store: Open) -> None:
    store = open_store(roomier(lease_s=0.02))
    submit(store)
    claim_one(store)
    store.recover(MODEL, CHILD, Loss.CHILD)
    for _ in range(3):
        let_pass(store, 0.03)
        store.sweep(MODEL)
    assert store.stats(MODEL).waiting == 1
    claim_one(store)
    assert claim(store) == ()


def test_rerun_gets_a_lease_of_its_own(open_store: Open) -> None:
    store = open_store(roomier(lease_s=0.6))
    submit(store)
    claim_one(store)
    store.recover(MODEL, CHILD, Loss.CHILD)
    let_pass(store, 0.7)
    claim_one(store)
    assert store.sweep(MODEL).reclaimed == 0


def test_renewed_lease_lasts(open_store: Open) -> None:
    store = open_store(roomier(lease_s=1.0))
    kept, lost = submit(store), submit(store)
    first, _ = claim(store)
    for _ in range(3):
        let_pass(store, 0.4)
        store.renew(lane(), [first])
    assert store.sweep(MODEL).reclaimed == 1
    assert state(store, kept) is JobState.RUNNING
    assert ids(claim(store)) == [lost]


def test_renewing_is_no_attempt(store: JobStore) -> None:
    job_id = submit(store)
    entry = claim_one(store)
    for _ in range(3):
        store.renew(lane(), [entry])
    assert store.get(job_id).attempts == 1
    store.recover(MODEL, CHILD, Loss.CHILD)
    assert claim_one(store).attempt == 2


def test_only_the_owner_renews(open_store: Open) -> None:
    store = open_store(roomier(lease_s=0.2))
    submit(store)
    entry = claim_one(store)
    for _ in range(3):
        let_pass(store, 0.1)
        store.renew(lane(OTHER_CHILD), [entry])
    assert store.sweep(MODEL).reclaimed == 1


def test_zombie_cannot_renew_what_was_taken_from_it(store: JobStore) -> None:
    job_id = submit(store)
    entry = claim_one(store)
    store.recover(MODEL, CHILD, Loss.NODE)
    store.renew(lane(), [entry])
    assert ids(claim(store, OTHER_CHILD)) == [job_id]
    store.renew(lane(), [entry])
    assert store.recover(MODEL, CHILD, Loss.NODE) == 0
    assert store.recover(MODEL, OTHER_CHILD, Loss.NODE) == 1


def test_renewing_a_finished_entry_does_nothing(store: JobStore) -> None:
    submit(store)
    entry = claim_one(store)
    finish(store, answered(entry))
    store.renew(lane(), [entry])
    assert store.stats(MODEL).running == 0


def test_lost_child_under_a_real_bound_frees_its_wakeup(backend: Backend) -> None:
    store = backend.open(StoreConfig(lease_s=0.05, sent_retry_s=30))
    job = store.submit(new_job())
    store.step(lane(token=job.wakeup), [], ClaimLimits(1, 1))
    eventually(lambda: bool(store.sweep(MODEL).wakeups))
    assert step(store).entries == ()
