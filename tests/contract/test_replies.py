"""Messages on reply channels: one for each channel and step, or none if nobody waits."""

from __future__ import annotations

from datetime import datetime

import pytest

from predict_worker.core.job import JobState
from predict_worker.core.ports import Finished, JobEnd, JobStore, Loss
from predict_worker.store.config import MESSAGE_BYTES
from tests.contract.scene import (
    BROKEN,
    CHILD,
    MODEL,
    answered,
    claim,
    claim_one,
    failed,
    finish,
    let_pass,
    listening,
    ran_for,
    step,
    submit,
)


def micros(moment: datetime | None) -> int:
    assert moment is not None
    return round(moment.timestamp() * 1e6)


def test_waiter_gets_the_end_and_the_outputs(store: JobStore) -> None:
    with listening(store, "web") as mailbox:
        job_id = submit(store, reply_to="web")
        facts = {"version": 3, "digest": "sha256:d", "artefact": "keras", "timings": ran_for(1.5, 4)}
        finish(store, answered(claim_one(store), b"answer", **facts))
        ((finished,),) = mailbox.wait()
    job = store.get(job_id)
    end = JobEnd(
        JobState.SUCCEEDED,
        micros(job.started_at),
        micros(job.finished_at),
        1,
        ran_for(1.5, 4),
        None,
        3,
        "sha256:d",
        "keras",
    )
    assert finished == Finished(job_id, end, b"answer")


def test_waiter_of_a_failed_job_gets_its_error(store: JobStore) -> None:
    with listening(store, "web") as mailbox:
        job_id = submit(store, reply_to="web")
        finish(store, failed(claim_one(store)))
        ((finished,),) = mailbox.wait()
    assert finished.job_id == job_id
    assert finished.end is not None
    assert (finished.end.state, finished.end.error, finished.payload) == (JobState.FAILED, BROKEN, None)


def test_all_jobs_of_a_step_come_in_one_message(store: JobStore) -> None:
    with listening(store, "web") as mailbox:
        jobs = [submit(store, reply_to="web") for _ in range(3)]
        first, second, third = claim(store)
        finish(store, answered(first, b"1"), failed(second), answered(third, b"3"))
        (message,) = mailbox.wait()
    assert [finished.job_id for finished in message] == jobs
    assert [finished.payload for finished in message] == [b"1", None, b"3"]
    assert len(mailbox.messages) == 1


def test_channels_get_their_own_jobs_only(store: JobStore) -> None:
    with listening(store, "web1") as one, listening(store, "web2") as two:
        first, second = submit(store, reply_to="web1"), submit(store, reply_to="web2")
        submit(store)
        finish(store, *map(answered, claim(store)))
        assert [f.job_id for f in one.wait()[0]] == [first]
        assert [f.job_id for f in two.wait()[0]] == [second]


def test_every_subscriber_of_a_channel_is_told(store: JobStore) -> None:
    with listening(store, "web") as one, listening(store, "web") as two:
        job_id = submit(store, reply_to="web")
        store.cancel(job_id)
        assert one.wait() == two.wait() == [[Finished(job_id)]]


def test_large_outputs_stay_behind(store: JobStore) -> None:
    with listening(store, "web") as mailbox:
        job_id = submit(store, reply_to="web")
        finish(store, answered(claim_one(store), b"x" * 20_000))
        assert mailbox.wait() == [[Finished(job_id)]]
    assert store.result(job_id)[1] == (b"x" * 20_000,)


def test_outputs_of_several_ranges_stay_behind(store: JobStore) -> None:
    with listening(store, "web") as mailbox:
        job_id = submit(store, reply_to="web", ranges=(1, 1))
        first, second = claim(store)
        finish(store, answered(first))
        finish(store, answered(second))
        assert mailbox.wait() == [[Finished(job_id)]]


def test_message_is_bounded_and_names_every_job(store: JobStore) -> None:
    """A second channel on some of the jobs changes nothing."""
    with listening(store, "web") as mailbox, listening(store, "more") as other:
        jobs = [submit(store, reply_to="web") for _ in range(80)]
        for job_id in jobs[10:]:
            store.watch(job_id, "more")
        finish(store, *(answered(entry, b"x" * 16_000) for entry in claim(store)))
        (message,), (watched,) = mailbox.wait(), other.wait()
    assert [finished.job_id for finished in message] == jobs
    assert [finished.job_id for finished in watched] == jobs[10:]
    for part in (message, watched):
        payloads = [finished.payload for finished in part if finished.payload is not None]
        assert 50 * 16_000 < sum(map(len, payloads)) <= MESSAGE_BYTES
        assert all(finished.end is None for finished in part if finished.payload is None)


def test_watcher_is_told_too(store: JobStore) -> None:
    with listening(store, "web") as first, listening(store, "events") as second:
        job_id = submit(store, reply_to="web")
        assert store.watch(job_id, "events").state is JobState.QUEUED
        finish(store, answered(claim_one(store), b"answer"))
        for mailbox in (first, second):
            ((finished,),) = mailbox.wait()
            assert (finished.job_id, finished.payload) == (job_id, b"answer")


def test_watching_twice_is_told_once(store: JobStore) -> None:
    with listening(store, "web") as mailbox:
        job_id = submit(store, reply_to="web")
        store.watch(job_id, "web")
        store.watch(job_id, "web")
        store.cancel(job_id)
        assert mailbox.wait() == [[Finished(job_id)]]


def test_watching_a_running_job(store: JobStore) -> None:
    with listening(store, "web") as mailbox:
        submit(store)
        entry = claim_one(store)
        assert store.watch(entry.job_id, "web").state is JobState.RUNNING
        finish(store, answered(entry))
        assert [f.job_id for f in mailbox.wait()[0]] == [entry.job_id]


def test_watching_a_finished_job_returns_it(store: JobStore) -> None:
    job_id = submit(store)
    finish(store, answered(claim_one(store)))
    assert store.watch(job_id, "web").state is JobState.SUCCEEDED


def test_cancelled_job_is_announced(store: JobStore) -> None:
    with listening(store, "web") as mailbox:
        job_id = submit(store, reply_to="web")
        store.cancel(job_id)
        store.cancel(job_id)
        assert mailbox.wait() == [[Finished(job_id)]]


def test_deleted_job_is_announced(store: JobStore) -> None:
    with listening(store, "web") as mailbox:
        job_id = submit(store, reply_to="web")
        store.delete(job_id)
        assert mailbox.wait() == [[Finished(job_id)]]


@pytest.mark.parametrize("found_by", ["get", "claim", "finish", "rerun", "sweep"])
def test_expiry_is_announced_however_it_is_found(store: JobStore, found_by: str) -> None:
    with listening(store, "web") as mailbox:
        deadline_s = 1.0 if found_by in ("finish", "rerun") else 0.03  # the former are claimed before it
        job_id = submit(store, reply_to="web", deadline_s=deadline_s)
        entries = claim(store) if found_by in ("finish", "rerun") else ()
        if found_by == "rerun":
            store.recover(MODEL, CHILD, Loss.CHILD)
        let_pass(store, deadline_s + 0.01)
        if found_by == "get":
            store.get(job_id)
        elif found_by == "sweep":
            store.sweep(MODEL)
        else:
            step(store, *map(answered, entries if found_by == "finish" else ()))
        assert mailbox.wait() == [[Finished(job_id)]]


def test_dead_letter_is_announced(store: JobStore) -> None:
    with listening(store, "web") as mailbox:
        job_id = submit(store, reply_to="web")
        for _ in range(3):
            claim_one(store)
            store.recover(MODEL, CHILD, Loss.CHILD)
        assert [f.job_id for f in mailbox.wait()[0]] == [job_id]


def test_discarded_result_is_not_announced(store: JobStore) -> None:
    with listening(store, "web") as mailbox:
        job_id = submit(store, reply_to="web")
        entry = claim_one(store)
        store.cancel(job_id)
        other = submit(store, reply_to="web")
        finish(store, answered(entry), answered(claim_one(store)))
        assert [[f.job_id for f in message] for message in mailbox.wait(2)] == [[job_id], [other]]


def test_closed_subscription_is_silent(store: JobStore) -> None:
    with listening(store, "web") as closed:
        pass
    with listening(store, "web") as mailbox:
        job_id = submit(store, reply_to="web")
        store.cancel(job_id)
        assert mailbox.wait() == [[Finished(job_id)]]
    assert closed.messages == []
