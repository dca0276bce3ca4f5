"""Wake-ups: as many as the work is worth, none lost, none for nothing."""

from __future__ import annotations

import time

import pytest

from predict_worker.core.job import JobState
from predict_worker.core.ports import Accepted, Claim, ClaimLimits, JobStore, Loss, Outcome
from predict_worker.store.config import StoreConfig
from tests.contract.backends import Backend
from tests.contract.scene import (
    CHILD,
    MODEL,
    ONE,
    OTHER_CHILD,
    WIDE,
    answered,
    eventually,
    ids,
    lane,
    let_pass,
    new_job,
    state,
    submit,
)

PATIENT = StoreConfig(sent_retry_s=30)
HASTY = StoreConfig(sent_retry_s=0.05, sent_retry_max_s=0.2)


@pytest.fixture
def store(backend: Backend) -> JobStore:
    """Nothing lapses, no child is known to be ready: one wake-up at a time."""
    return backend.open(PATIENT)


def woken(store: JobStore) -> str:
    """The token of a submit that must wake somebody."""
    token = store.submit(new_job()).wakeup
    assert token
    return token


def come(
    store: JobStore, token: str | None, *done: Outcome, consumer: str = CHILD, one: bool = True
) -> Claim:
    return store.step(lane(consumer, token), done, ONE if one else WIDE)


def test_first_submit_wakes_and_the_next_are_coalesced(store: JobStore) -> None:
    assert store.submit(new_job()).wakeup
    assert store.submit(new_job()).wakeup is None


@pytest.mark.parametrize("entry_ms", [0, 4, 10, 1000])
def test_submits_of_a_group_wake_as_they_would_singly(backend: Backend, entry_ms: float) -> None:
    store = backend.open(PATIENT)
    for model in ("single", "group"):
        backend.set_ready(model, 3)
        store.step(lane(model=model), (), None, entry_ms=entry_ms)
    singly = [store.submit(new_job(model="single", ranges=(1, 1))) for _ in range(6)]
    answers = store.submit_many([new_job(model="group", ranges=(1, 1)) for _ in range(6)])
    together = [answer for answer in answers if isinstance(answer, Accepted)]
    assert [bool(answer.wakeup) for answer in together] == [bool(answer.wakeup) for answer in singly]
    assert together[0].wakeup


def test_models_are_woken_apart(store: JobStore) -> None:
    assert store.submit(new_job(model="a")).wakeup
    assert store.submit(new_job(model="b")).wakeup


def test_replay_wakes_nobody(store: JobStore) -> None:
    first = store.submit(new_job(idempotency_key="k"))
    assert first.wakeup
    store.release_wakeup(MODEL, first.wakeup)
    assert store.submit(new_job(idempotency_key="k")).wakeup is None


def test_running_child_is_enough_for_later_submits(store: JobStore) -> None:
    token = woken(store)
    come(store, token)
    assert store.submit(new_job()).wakeup is None


def test_child_that_finds_nothing_releases_its_wakeup(store: JobStore) -> None:
    token = woken(store)
    entry = come(store, token).entries[0]
    assert come(store, token, answered(entry)) == Claim()
    assert store.submit(new_job()).wakeup


def test_failed_publish_frees_the_wakeup_at_once(store: JobStore) -> None:
    token = woken(store)
    store.release_wakeup(MODEL, token)
    again = store.submit(new_job()).wakeup
    assert again
    assert again != token


def test_freeing_an_unknown_wakeup_does_nothing(store: JobStore) -> None:
    woken(store)
    store.release_wakeup(MODEL, "no-such-token")
    assert store.submit(new_job()).wakeup is None


def test_unanswered_wakeup_is_sent_again_with_a_doubled_interval_up_to_its_bound(backend: Backend) -> None:
    """Only what is early is wrong, but for one of the last: they must not have doubled beyond the bound."""
    store = backend.open(HASTY)
    called_at, intervals = time.monotonic(), []
    woken(store)
    for _ in range(6):
        before, called_at = called_at, resent_at(store)
        intervals.append(time.monotonic() - before)
    first, second, third, *last = intervals
    assert first >= 0.05
    assert second >= 0.1
    assert third >= 0.2
    assert 0.2 <= min(last) < 0.4


def test_failed_publish_does_not_double_the_interval(backend: Backend) -> None:
    store = backend.open(StoreConfig(sent_retry_s=1.0))
    store.release_wakeup(MODEL, woken(store))
    at = time.monotonic()
    woken(store)
    resent(store)
    assert 1.0 <= time.monotonic() - at < 2.0


def test_sweep_sends_a_lost_wakeup_again(backend: Backend) -> None:
    store = backend.open(HASTY)
    at = time.monotonic()
    lost = woken(store)
    assert resent(store) != lost
    assert time.monotonic() - at >= 0.05


def resent(store: JobStore) -> str:
    """The token of the first sweep that issues one."""
    return _first_to_resend(store)[0]


def resent_at(store: JobStore) -> float:
    """When, at the earliest, that sweep took place (monotonic)."""
    return _first_to_resend(store)[1]


def _first_to_resend(store: JobStore) -> tuple[str, float]:
    tokens: tuple[str, ...] = ()
    called_at = 0.0

    def swept() -> bool:
        nonlocal tokens, called_at
        called_at = time.monotonic()
        tokens = store.sweep(MODEL).wakeups
        return bool(tokens)

    eventually(swept)
    (token,) = tokens
    return token, called_at


def test_sweep_wakes_nobody_where_nothing_waits(backend: Backend) -> None:
    store = backend.open(HASTY)
    assert store.sweep(MODEL).wakeups == ()
    come(store, woken(store))
    let_pass(store, 0.06)
    assert store.sweep(MODEL).wakeups == ()


def test_lapsed_wakeup_that_nobody_replaced_still_works(backend: Backend) -> None:
    store = backend.open(HASTY)
    token = woken(store)
    let_pass(store, 0.06)
    assert len(come(store, token).entries) == 1


def test_lapsed_wakeup_that_was_replaced_is_a_duplicate(store: JobStore) -> None:
    token = woken(store)
    store.recover(MODEL, CHILD, Loss.CHILD)  # who may have received it: it lapses at once
    resent(store)
    assert come(store, token) == Claim()


def test_replaced_wakeup_is_a_duplicate_while_another_child_runs(store: JobStore) -> None:
    token = woken(store)
    waiting = submit(store)
    come(store, token)
    stale = come(store, "0-99-1", consumer=OTHER_CHILD)
    assert stale == Claim()
    assert state(store, waiting) is JobState.QUEUED


def test_token_that_a_child_runs_on_admits_no_second_child(store: JobStore) -> None:
    """Brokers deliver a message twice now and then."""
    token = woken(store)
    submit(store)
    assert come(store, token).entries
    assert come(store, token, consumer=OTHER_CHILD) == Claim()


def test_stale_token_takes_a_free_place(store: JobStore) -> None:
    token = woken(store)
    store.release_wakeup(MODEL, token)
    assert come(store, token).entries
    assert store.submit(new_job()).wakeup is None


def test_stale_token_that_finds_nothing_leaves_no_place_taken(store: JobStore) -> None:
    assert come(store, "0-99-1") == Claim()
    assert store.submit(new_job()).wakeup


def test_child_that_asks_for_more_than_it_holds_keeps_its_place(store: JobStore) -> None:
    token = woken(store)
    come(store, token)
    assert store.step(lane(token=token), (), ClaimLimits(1, 1, holding=True)) == Claim()
    assert store.submit(new_job()).wakeup is None


def test_child_goes_on_with_its_token_step_after_step(store: JobStore) -> None:
    token = woken(store)
    jobs = [submit(store) for _ in range(3)]
    entry = come(store, token).entries[0]
    for job_id in jobs:
        claimed = come(store, token, answered(entry))
        assert ids(claimed.entries) == [job_id]
        assert claimed.wakeup is None
        (entry,) = claimed.entries


# ---------------------------------------------------------------- giving way


def test_giving_way_hands_the_rest_to_a_new_wakeup(store: JobStore) -> None:
    token = woken(store)
    waiting = submit(store)
    entry = come(store, token).entries[0]
    handed = store.step(lane(token=token), [answered(entry)], None)
    assert handed.entries == ()
    assert handed.wakeup
    assert handed.wakeup != token
    assert ids(come(store, handed.wakeup, consumer=OTHER_CHILD).entries) == [waiting]


def test_giving_way_with_nothing_left_wakes_nobody(store: JobStore) -> None:
    token = woken(store)
    entry = come(store, token).entries[0]
    assert store.step(lane(token=token), [answered(entry)], None) == Claim()
    assert store.submit(new_job()).wakeup


def test_giving_way_before_the_first_claim_passes_the_wakeup_on(store: JobStore) -> None:
    token = woken(store)
    handed = store.step(lane(token=token), [], None)
    assert handed.wakeup
    assert handed.wakeup != token


def test_giving_way_wakes_for_a_rerun_too(store: JobStore) -> None:
    token = woken(store)
    submit(store)
    come(store, token, one=False)
    store.recover(MODEL, CHILD, Loss.NODE)
    assert store.step(lane(OTHER_CHILD, "0-99-1"), [], None).wakeup


# ---------------------------------------------------------------- as many as the work is worth


def primed(backend: Backend, children: int, entry_ms: float) -> JobStore:
    """A store that has measured how long an entry takes."""
    store = backend.open(PATIENT)
    backend.set_ready(MODEL, children)
    store.step(lane(), [], None, entry_ms=entry_ms)
    return store


def wakeups(store: JobStore, submits: int) -> list[bool]:
    return [store.submit(new_job()).wakeup is not None for _ in range(submits)]


def test_one_more_child_is_woken_for_each_spread_of_work(backend: Backend) -> None:
    """spread_ms is 10: entries of 4 ms make two children worth while from the third entry on."""
    store = primed(backend, children=9, entry_ms=4)
    assert wakeups(store, 6) == [True, False, True, False, False, True]


def test_no_more_wakeups_than_ready_children(backend: Backend) -> None:
    assert wakeups(primed(backend, children=2, entry_ms=1000), 4) == [True, True, False, False]


def test_one_wakeup_where_no_child_is_ready(backend: Backend) -> None:
    """The model may be scaled to zero: whoever comes first loads it."""
    assert wakeups(primed(backend, children=0, entry_ms=1000), 3) == [True, False, False]


def test_unmeasured_work_wakes_one(backend: Backend) -> None:
    store = backend.open(PATIENT)
    backend.set_ready(MODEL, 9)
    assert wakeups(store, 3) == [True, False, False]


def test_step_wakes_one_more_child_while_entries_wait(backend: Backend) -> None:
    store = primed(backend, children=2, entry_ms=0)
    token = woken(store)
    second, third = submit(store), submit(store)
    claimed = store.step(lane(token=token), [], ONE, entry_ms=100)
    assert claimed.wakeup
    helped = come(store, claimed.wakeup, consumer=OTHER_CHILD)
    assert ids(helped.entries) == [second]
    assert helped.wakeup is None
    assert state(store, third) is JobState.QUEUED


def test_step_that_leaves_nothing_wakes_nobody(backend: Backend) -> None:
    store = primed(backend, children=9, entry_ms=0)
    token = woken(store)
    submit(store)
    claimed = store.step(lane(token=token), [], WIDE, entry_ms=100)
    assert (len(claimed.entries), claimed.wakeup) == (2, None)


def test_rerun_wakes_another_child_for_what_waits_behind_it(backend: Backend) -> None:
    store = primed(backend, children=9, entry_ms=0)
    token = woken(store)
    submit(store)
    come(store, token, one=False)
    store.recover(MODEL, CHILD, Loss.NODE)
    token = resent(store)
    claimed = store.step(lane(token=token), [], WIDE, entry_ms=100)
    assert len(claimed.entries) == 1
    assert claimed.wakeup


def late_work(backend: Backend, children: int) -> tuple[JobStore, str]:
    """A store where one child is at work, and a job that has waited behind it."""
    store = backend.open(StoreConfig(sent_retry_s=0.05))
    backend.set_ready(MODEL, children)
    come(store, woken(store))
    waiting = submit(store)
    let_pass(store, 0.06)
    return store, waiting


def test_sweep_wakes_nobody_for_work_that_is_not_late_yet(backend: Backend) -> None:
    store = backend.open(PATIENT)
    backend.set_ready(MODEL, 3)
    come(store, woken(store))
    submit(store)
    assert store.sweep(MODEL).wakeups == ()


def test_sweep_wakes_one_more_child_for_work_that_is_late(backend: Backend) -> None:
    """Nobody knows how long the batch before it takes: the measured time may be of others, or none."""
    store, waiting = late_work(backend, children=3)
    (token,) = store.sweep(MODEL).wakeups
    assert ids(come(store, token, consumer=OTHER_CHILD).entries) == [waiting]
    assert store.sweep(MODEL).wakeups == ()


def test_late_work_wakes_no_more_children_than_are_ready(backend: Backend) -> None:
    store, _ = late_work(backend, children=1)
    assert store.sweep(MODEL).wakeups == ()


def test_late_rerun_wakes_one_more_child(backend: Backend) -> None:
    store, _ = late_work(backend, children=3)
    (token,) = store.sweep(MODEL).wakeups
    come(store, token, consumer=OTHER_CHILD)
    at = time.monotonic()
    store.recover(MODEL, OTHER_CHILD, Loss.HANDBACK)
    resent(store)
    assert time.monotonic() - at >= 0.05


def test_measured_time_is_an_average_that_follows(backend: Backend) -> None:
    store = backend.open(PATIENT)
    assert store.stats(MODEL).entry_ms == 0
    seen = []
    for entry_ms in (10.0, 20.0, 0.0):
        store.step(lane(), [], None, entry_ms=entry_ms)
        seen.append(store.stats(MODEL).entry_ms)
    assert seen == pytest.approx([10, 12, 12])


def test_claim_measures_too(backend: Backend) -> None:
    store = backend.open(PATIENT)
    store.step(lane(), [], WIDE, entry_ms=3.5)
    assert store.stats(MODEL).entry_ms == pytest.approx(3.5)


def test_stats_of_an_unknown_model_are_zero(store: JobStore) -> None:
    stats = store.stats("never-seen")
    assert (stats.waiting, stats.running, stats.entry_ms, stats.ready_children) == (0, 0, 0, 0)


def test_stats_count_ready_children(backend: Backend) -> None:
    assert primed(backend, children=3, entry_ms=1).stats(MODEL).ready_children == 3


# ---------------------------------------------------------------- leases of running wake-ups


def test_running_wakeup_of_a_silent_child_lapses(backend: Backend) -> None:
    store = backend.open(StoreConfig(lease_s=0.05))
    come(store, woken(store))
    eventually(lambda: store.submit(new_job()).wakeup is not None)


def test_renewed_running_wakeup_lasts(backend: Backend) -> None:
    store = backend.open(StoreConfig(lease_s=1.0, sent_retry_s=30))
    token = woken(store)
    entries = come(store, token).entries
    for _ in range(3):
        let_pass(store, 0.4)
        store.renew(lane(token=token), entries)
        assert store.submit(new_job()).wakeup is None


def test_wakeup_of_a_lost_child_is_freed(store: JobStore) -> None:
    token = woken(store)
    submit(store)
    come(store, token)
    store.recover(MODEL, CHILD, Loss.CHILD)
    assert store.submit(new_job()).wakeup


@pytest.mark.parametrize("loss", Loss)
def test_wakeup_that_the_dead_may_have_received_is_sent_again(store: JobStore, loss: Loss) -> None:
    """It may have lapsed so often before that its own time would be long."""
    woken(store)
    store.recover(MODEL, CHILD, loss)
    assert bool(store.sweep(MODEL).wakeups) is (loss is not Loss.HANDBACK)


def test_renewing_does_not_revive_a_released_wakeup(store: JobStore) -> None:
    token = woken(store)
    entry = come(store, token).entries[0]
    come(store, token, answered(entry))
    store.renew(lane(token=token), [entry])
    assert store.submit(new_job()).wakeup
