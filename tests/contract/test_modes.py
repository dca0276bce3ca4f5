"""What operators ask of a model's queue: paused, drained, purged, resumed."""

from __future__ import annotations

import pytest

from predict_worker.core.errors import ModelDraining
from predict_worker.core.job import JobState
from predict_worker.core.ports import ClaimLimits, JobStore, Loss, Mode
from predict_worker.store.config import StoreConfig
from tests.contract.backends import Backend
from tests.contract.conftest import Open
from tests.contract.scene import (
    CHILD,
    MODEL,
    ONE,
    WIDE,
    answered,
    claim,
    claim_one,
    eventually,
    finish,
    gone,
    ids,
    lane,
    listening,
    new_job,
    roomier,
    state,
    step,
    submit,
)
from tests.contract.test_retries import given_up, retried

HASTY = StoreConfig(sent_retry_s=0.01, sent_retry_max_s=0.02)


def mode(store: JobStore) -> Mode:
    return store.stats(MODEL).mode


@pytest.fixture
def single(backend: Backend) -> JobStore:
    """One child is ready, and wake-ups lapse at once."""
    store = backend.open(HASTY)
    backend.set_ready(MODEL, 1)
    return store


@pytest.mark.parametrize("wanted", list(Mode))
def test_mode_is_told_and_is_the_models_own(store: JobStore, wanted: Mode) -> None:
    assert mode(store) is Mode.SERVING
    store.set_mode(MODEL, wanted)
    store.set_mode(MODEL, wanted)
    assert mode(store) is wanted
    assert store.stats("other").mode is Mode.SERVING
    store.set_mode(MODEL, Mode.SERVING)
    assert mode(store) is Mode.SERVING


# ---------------------------------------------------------------- paused


def test_paused_model_accepts_and_runs_nothing(store: JobStore) -> None:
    store.set_mode(MODEL, Mode.PAUSED)
    job_id = submit(store)
    assert claim(store) == ()
    assert state(store, job_id) is JobState.QUEUED
    store.set_mode(MODEL, Mode.SERVING)
    assert ids(claim(store)) == [job_id]


def test_paused_model_sends_no_wakeup_and_resuming_sends_one(single: JobStore) -> None:
    assert single.set_mode(MODEL, Mode.PAUSED) == ()
    assert single.submit(new_job()).wakeup is None
    assert single.sweep(MODEL).wakeups == ()
    assert single.step(lane(), (), None).wakeup is None
    (token,) = single.set_mode(MODEL, Mode.SERVING)
    assert len(single.step(lane(token=token), (), WIDE).entries) == 1


def test_resuming_an_empty_model_wakes_nobody(single: JobStore) -> None:
    single.set_mode(MODEL, Mode.PAUSED)
    assert single.set_mode(MODEL, Mode.SERVING) == ()


def test_wakeup_that_was_sent_before_the_pause_is_answered_by_nothing(single: JobStore) -> None:
    token = single.submit(new_job()).wakeup
    single.set_mode(MODEL, Mode.PAUSED)
    assert single.step(lane(token=token), (), WIDE).entries == ()
    assert single.set_mode(MODEL, Mode.SERVING) != ()


def test_what_waits_late_is_swept_again_once_resumed(single: JobStore) -> None:
    single.submit(new_job())
    single.set_mode(MODEL, Mode.PAUSED)
    single.set_mode(MODEL, Mode.SERVING)  # whose wake-up is lost
    eventually(lambda: single.sweep(MODEL).wakeups != ())


def test_batch_under_way_is_published_in_a_pause_and_frees_its_slot(single: JobStore) -> None:
    running, waiting = new_job(), new_job()
    token = single.submit(running).wakeup
    (entry,) = single.step(lane(token=token), (), ONE).entries
    single.set_mode(MODEL, Mode.PAUSED)
    single.submit(waiting)
    assert single.step(lane(token=token), [answered(entry)], WIDE).entries == ()
    assert state(single, running.id) is JobState.SUCCEEDED
    assert state(single, waiting.id) is JobState.QUEUED
    assert single.set_mode(MODEL, Mode.SERVING) != (), "no slot is left that would answer"


def test_a_batch_that_lingers_gets_no_more_in_a_pause(store: JobStore) -> None:
    entry = claim_one(store) if submit(store) else None
    store.set_mode(MODEL, Mode.PAUSED)
    submit(store)
    assert entry is not None
    assert step(store, limits=ClaimLimits(10, 1000, holding=True)).entries == ()
    finish(store, answered(entry))
    assert state(store, entry.job_id) is JobState.SUCCEEDED


def test_reruns_and_retries_wait_too(open_store: Open) -> None:
    store = open_store(roomier())
    lost, failed = submit(store), submit(store)
    first, second = claim(store)
    finish(store, retried(second))
    store.recover(MODEL, CHILD, Loss.CHILD)
    store.set_mode(MODEL, Mode.PAUSED)
    assert claim(store) == ()
    assert store.sweep(MODEL).wakeups == ()
    store.set_mode(MODEL, Mode.SERVING)
    assert {*ids(claim(store)), *ids(claim(store))} == {lost, failed}
    assert (first.job_id, second.job_id) == (lost, failed)


def test_deadlines_pass_in_a_pause(store: JobStore) -> None:
    store.set_mode(MODEL, Mode.PAUSED)
    job_id = submit(store, deadline_s=0.01)
    eventually(lambda: store.sweep(MODEL).expired == 1)
    assert state(store, job_id) is JobState.EXPIRED


# ---------------------------------------------------------------- draining


def test_draining_model_refuses_and_runs_what_is_queued(store: JobStore) -> None:
    queued = submit(store)
    store.set_mode(MODEL, Mode.DRAINING)
    refused = new_job()
    with pytest.raises(ModelDraining, match="'digits' is draining") as refusal:
        store.submit(refused)
    assert refusal.value.retry_after_s >= 30
    assert gone(store, refused.id)
    finish(store, answered(claim_one(store)))
    assert state(store, queued) is JobState.SUCCEEDED
    store.set_mode(MODEL, Mode.SERVING)
    submit(store)


def test_draining_model_still_knows_what_was_submitted_before(store: JobStore) -> None:
    first = new_job(idempotency_key="once", fingerprint="same")
    store.submit(first)
    store.set_mode(MODEL, Mode.DRAINING)
    again = store.submit(new_job(idempotency_key="once", fingerprint="same"))
    assert (again.replayed, again.job.id) == (True, first.id)


def test_draining_model_takes_no_dead_letter_back(store: JobStore) -> None:
    job_id = submit(store)
    finish(store, given_up(claim_one(store)))
    store.set_mode(MODEL, Mode.DRAINING)
    with pytest.raises(ModelDraining):
        store.redrive(job_id)
    assert store.dead(MODEL).job_ids == (job_id,)


def test_paused_model_that_is_drained_is_woken(single: JobStore) -> None:
    single.set_mode(MODEL, Mode.PAUSED)
    single.submit(new_job())
    assert single.set_mode(MODEL, Mode.DRAINING) != ()


# ---------------------------------------------------------------- purged


def test_purge_cancels_what_is_queued_and_counts_it(store: JobStore) -> None:
    jobs = [
        *(submit(store, priority=priority) for priority in ("high", "low")),
        *(submit(store, ranges=(1, 2), payload=b"x" * 20_000) for _ in range(2)),
    ]
    other = submit(store, model="other")
    assert store.purge(MODEL) == 4
    assert {state(store, job_id) for job_id in jobs} == {JobState.CANCELLED}
    assert state(store, other) is JobState.QUEUED
    assert (store.stats(MODEL).waiting, store.stats(MODEL).running) == (0, 0)
    assert claim(store) == ()
    assert store.purge(MODEL) == 0


def test_purge_of_many_takes_all(store: JobStore) -> None:
    jobs = [submit(store) for _ in range(700)]
    assert store.purge(MODEL) == 700
    assert {state(store, job_id) for job_id in jobs} == {JobState.CANCELLED}


def test_purge_leaves_what_a_child_is_at_work_on(store: JobStore) -> None:
    running = submit(store, ranges=(1, 1))
    (entry,) = claim(store, limits=ONE)
    assert store.purge(MODEL) == 0
    (rest,) = claim(store, limits=ONE)
    finish(store, answered(entry), answered(rest))
    assert state(store, running) is JobState.SUCCEEDED


def test_purge_takes_what_waits_for_a_rerun_or_a_retry(store: JobStore) -> None:
    jobs = [submit(store), submit(store)]
    _, second = claim(store)
    finish(store, retried(second, in_s=60))
    store.recover(MODEL, CHILD, Loss.CHILD)
    assert store.purge(MODEL) == 2
    assert {state(store, job_id) for job_id in jobs} == {JobState.CANCELLED}
    assert claim(store) == ()
    assert store.stats(MODEL).waiting == 0


def test_purge_leaves_dead_letters_and_other_ends(store: JobStore) -> None:
    dead = submit(store)
    finish(store, given_up(claim_one(store)))
    done = submit(store)
    finish(store, answered(claim_one(store)))
    assert store.purge(MODEL) == 0
    assert (state(store, dead), state(store, done)) == (JobState.FAILED, JobState.SUCCEEDED)
    assert store.dead(MODEL).job_ids == (dead,)


def test_purge_tells_who_waits(store: JobStore) -> None:
    with listening(store, "channel") as mailbox:
        jobs = {submit(store, reply_to="channel") for _ in range(3)}
        store.purge(MODEL)
        eventually(lambda: sum(map(len, mailbox.messages)) == 3)
    assert {finished.job_id for message in mailbox.messages for finished in message} == jobs


def test_paused_model_can_be_purged(store: JobStore) -> None:
    store.set_mode(MODEL, Mode.PAUSED)
    submit(store)
    assert store.purge(MODEL) == 1
    assert mode(store) is Mode.PAUSED
