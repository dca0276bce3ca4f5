"""What a step claims, how much, and in which order."""

from __future__ import annotations

from itertools import product

import pytest

from predict_worker.core.job import JobState, Priority
from predict_worker.core.ports import Accepted, ClaimLimits, Entry, JobStore, Loss
from predict_worker.store.config import SKIPPED_PER_STEP, StoreConfig
from tests.contract.backends import Backend
from tests.contract.scene import (
    CHILD,
    MODEL,
    ONE,
    OTHER_CHILD,
    WIDE,
    answered,
    claim,
    claim_one,
    finish,
    ids,
    lane,
    let_pass,
    new_job,
    state,
    submit,
)

HIGH, NORMAL, LOW = Priority


def rows(limit: int) -> ClaimLimits:
    return ClaimLimits(max_rows=limit, max_bytes=1 << 30)


def test_entry_tells_the_worker_all_it_needs(store: JobStore) -> None:
    new = new_job(
        payload=b"rows",
        ranges=(2, 3),
        version=7,
        pinned=True,
        signature_name="classify",
        outputs=("scores", "classes"),
    )
    store.submit(new)
    first, second = claim(store)
    started_at = store.get(new.id).started_at
    assert started_at is not None
    queued = started_at - store.get(new.id).created_at
    assert first == Entry(
        id=first.id,
        job_id=new.id,
        range_index=0,
        rows=2,
        version=7,
        pinned=True,
        signature_name="classify",
        outputs=("scores", "classes"),
        attempt=1,
        queue_ms=first.queue_ms,
        payload=b"rows",
    )
    assert first.queue_ms == pytest.approx(queued.total_seconds() * 1000, abs=0.01)
    assert (second.range_index, second.rows, second.attempt) == (1, 3, 1)
    assert second.id != first.id


def test_claimed_job_runs(store: JobStore) -> None:
    job_id = submit(store)
    claim_one(store)
    job = store.get(job_id)
    assert (job.state, job.attempts, job.queue_position) == (JobState.RUNNING, 1, None)
    assert job.started_at is not None
    assert job.started_at >= job.created_at


def test_job_starts_with_its_first_range(store: JobStore) -> None:
    job_id = submit(store, ranges=(1, 1))
    claim_one(store)
    started_at = store.get(job_id).started_at
    claim_one(store)
    assert store.get(job_id).started_at == started_at


def test_nothing_waiting_gives_nothing(store: JobStore) -> None:
    assert claim(store) == ()
    assert claim(store, limits=ONE) == ()


def test_first_come_first_served(store: JobStore) -> None:
    order = [submit(store) for _ in range(5)]
    assert ids(claim(store)) == order


def test_claim_stops_once_it_has_the_rows(store: JobStore) -> None:
    order = [submit(store, ranges=(2,)) for _ in range(4)]
    assert ids(claim(store, limits=rows(3))) == order[:2]
    assert ids(claim(store, limits=rows(2))) == order[2:3]


def test_claim_stops_once_it_has_the_bytes(store: JobStore) -> None:
    order = [submit(store, payload=b"12345678") for _ in range(4)]
    assert ids(claim(store, limits=ClaimLimits(1000, 9))) == order[:2]


def test_large_payloads_count_too(store: JobStore) -> None:
    order = [submit(store, payload=b"x" * 20_000) for _ in range(3)]
    assert ids(claim(store, limits=ClaimLimits(1000, 30_000))) == order[:2]


@pytest.mark.parametrize("limits", [rows(20), ClaimLimits(1000, 100)])
def test_what_a_claim_leaves_is_as_if_it_had_not_been_looked_at(store: JobStore, limits: ClaimLimits) -> None:
    sizes = [1, 1, 1, 1, 30, 1, 1, 1, 1, 1]
    order = [submit(store, payload=b"x" * size * 4, ranges=(size,)) for size in sizes]
    assert ids(claim(store, OTHER_CHILD, limits)) == order[:5]
    assert (store.stats(MODEL).waiting, store.stats(MODEL).running) == (5, 5)
    assert store.submit(new_job(queue_max_jobs=11)).job.queue_position == 5
    assert [state(store, job_id) for job_id in order[5:]] == [JobState.QUEUED] * 5
    assert store.recover(MODEL, OTHER_CHILD, Loss.NODE) == 5
    assert [claim_one(store).job_id for _ in range(5)] == order[:5]
    left = claim(store)
    assert ids(left)[:5] == order[5:]
    assert {entry.attempt for entry in left} == {1}


def test_ranges_that_went_with_their_overdue_job_are_no_longer_ahead(backend: Backend) -> None:
    """Even where the claim stops between them."""
    store = backend.open(StoreConfig(sent_retry_s=30))
    first, *others = [store.submit(new_job()) for _ in range(3)]
    overdue = [new_job(deadline_s=0.02) for _ in range(SKIPPED_PER_STEP - 1)]
    answers = store.submit_many([*overdue, new_job(ranges=(1, 1), deadline_s=0.02)])
    assert all(isinstance(answer, Accepted) for answer in answers)
    let_pass(store, 0.03)
    claimed = store.step(lane(token=first.wakeup), (), WIDE).entries
    assert ids(claimed) == [accepted.job.id for accepted in (first, *others)]
    assert store.stats(MODEL).waiting == 0
    assert store.submit(new_job()).job.queue_position == 0


def test_at_least_one_entry_is_claimed_however_large(store: JobStore) -> None:
    job_id = submit(store, ranges=(50,))
    submit(store)
    assert ids(claim(store, limits=ClaimLimits(1, 1))) == [job_id]


def test_rows_are_counted_over_all_priorities(store: JobStore) -> None:
    high, normal = submit(store, priority=HIGH), submit(store, priority=NORMAL)
    submit(store, priority=LOW)
    assert ids(claim(store, limits=rows(2))) == [high, normal]


def test_no_entry_is_claimed_twice(store: JobStore) -> None:
    order = [submit(store) for _ in range(6)]
    seen = []
    for consumer in (CHILD, OTHER_CHILD) * 3:
        seen += ids(claim(store, consumer, ONE))
    assert seen == order
    assert claim(store) == ()


def test_ranges_of_one_job_spread_over_children(store: JobStore) -> None:
    submit(store, ranges=(4, 4))
    assert claim_one(store).range_index == 0
    assert claim_one(store, OTHER_CHILD).range_index == 1


def test_models_are_apart(store: JobStore) -> None:
    submit(store, model="other")
    assert claim(store) == ()


def test_more_urgent_jobs_come_first(store: JobStore) -> None:
    low, normal, high = (submit(store, priority=p) for p in (LOW, NORMAL, HIGH))
    assert ids(claim(store)) == [high, normal, low]


def test_every_priority_leads_in_its_turn(store: JobStore) -> None:
    """Of 16 claims the last goes to low, every other fourth to normal, the rest to high."""
    priorities = {submit(store, priority=p): p for _, p in product(range(32), Priority)}
    led = [priorities[claim_one(store).job_id] for _ in range(32)]
    one_round = [HIGH, HIGH, HIGH, NORMAL] * 3 + [HIGH, HIGH, HIGH, LOW]
    assert led == one_round * 2


def test_priorities_that_do_not_lead_follow_in_their_order(store: JobStore) -> None:
    claims = []
    for _ in range(16):
        jobs = {submit(store, priority=p): p for p in Priority}
        claims.append([jobs[i] for i in ids(claim(store))])
    assert claims[0] == [HIGH, NORMAL, LOW]
    assert claims[3] == [NORMAL, HIGH, LOW]
    assert claims[15] == [LOW, NORMAL, HIGH]


def test_low_priority_is_not_starved_by_a_flood(store: JobStore) -> None:
    low = submit(store, priority=LOW)
    for _ in range(16):
        submit(store, priority=HIGH)
        entry = claim_one(store)
        finish(store, answered(entry))
        if entry.job_id == low:
            return
    pytest.fail("16 claims passed it over")


@pytest.mark.parametrize("leave", ["cancel", "delete"])
@pytest.mark.parametrize("size", [1, 20_000])
def test_abandoned_job_is_never_claimed(store: JobStore, leave: str, size: int) -> None:
    left, kept = submit(store, payload=b"x" * size, ranges=(1, 1)), submit(store)
    getattr(store, leave)(left)
    assert ids(claim(store)) == [kept]


@pytest.mark.parametrize("leave", ["cancel", "delete"])
def test_ranges_left_of_an_abandoned_running_job_are_never_claimed(store: JobStore, leave: str) -> None:
    left, kept = submit(store, ranges=(1, 1, 1)), submit(store)
    claim_one(store)
    getattr(store, leave)(left)
    assert ids(claim(store)) == [kept]


def test_one_step_passes_over_a_bounded_number_of_dead_entries(backend: Backend) -> None:
    """What is left is not forgotten: the step says who goes on."""
    store = backend.open(StoreConfig(sent_retry_s=30))
    first = store.submit(new_job(deadline_s=0.001))
    overdue = [first.job.id, *(submit(store, deadline_s=0.001) for _ in range(SKIPPED_PER_STEP))]
    last = submit(store)
    let_pass(store, 0.002)
    passed = store.step(lane(token=first.wakeup), [], WIDE)
    assert passed.entries == ()
    assert store.stats(MODEL).waiting == 2
    assert ids(store.step(lane(token=passed.wakeup), [], WIDE).entries) == [last]
    assert {state(store, job_id) for job_id in overdue} == {JobState.EXPIRED}
    assert store.stats(MODEL).waiting == 0


def test_child_may_claim_more_before_it_publishes(store: JobStore) -> None:
    first = submit(store)
    early = claim(store)
    assert claim(store) == ()  # which frees its place: another may be woken meanwhile
    second = submit(store)
    late = claim(store)
    assert ids(early + late) == [first, second]
    finish(store, *map(answered, early + late))
    assert [state(store, job_id) for job_id in (first, second)] == [JobState.SUCCEEDED] * 2
