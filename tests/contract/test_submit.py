"""Admission, idempotency, and what a caller learns about a job that waits."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from predict_worker.core.errors import IdempotencyConflict, JobNotFound, QueueFull
from predict_worker.core.job import Job, JobState, Priority, Timings
from predict_worker.core.ports import Accepted, JobStore
from tests.contract.conftest import Open
from tests.contract.scene import (
    MODEL,
    UNKNOWN_ID,
    WIDE,
    answered,
    claim,
    claim_one,
    finish,
    gone,
    ids,
    lane,
    let_pass,
    new_job,
    roomier,
    state,
    step,
    submit,
)


def test_accepted_job_is_queued_and_shows_what_was_asked(store: JobStore) -> None:
    new = new_job(
        ranges=(2, 3),
        owner="ann",
        version=7,
        digest="sha256:d",
        artefact="saved_model",
        signature_name="classify",
        priority=Priority.HIGH,
        metadata={"ü": [1, None]},
        request_id="r1",
        deadline_s=60.0,
    )
    job = store.submit(new).job
    assert job == Job(
        id=new.id,
        model=MODEL,
        state=JobState.QUEUED,
        owner="ann",
        version=7,
        digest="sha256:d",
        artefact="saved_model",
        signature_name="classify",
        priority=Priority.HIGH,
        rows=5,
        attempts=0,
        queue_position=0,
        created_at=job.created_at,
        deadline_at=job.created_at + timedelta(seconds=60),
        timings=Timings(),
        metadata={"ü": [1, None]},
        request_id="r1",
        ranges=2,
    )
    assert abs(job.created_at - datetime.now(UTC)) < timedelta(seconds=5)
    assert store.get(new.id) == job
    assert store.result(new.id) == (job, None)


def test_unknown_facts_are_none(store: JobStore) -> None:
    job = store.submit(new_job()).job
    unknown = (job.version, job.digest, job.artefact, job.started_at, job.finished_at, job.deadline_at)
    assert set(unknown) == {None}
    assert (job.expires_at, job.error) == (None, None)


def test_same_key_and_payload_replays_the_job_as_it_is_now(store: JobStore) -> None:
    first = new_job(idempotency_key="k", fingerprint="f")
    store.submit(first)
    finish(store, answered(claim_one(store)))
    again = store.submit(new_job(idempotency_key="k", fingerprint="f"))
    assert (again.job, again.replayed, again.wakeup) == (store.get(first.id), True, None)
    assert again.job.state is JobState.SUCCEEDED
    assert claim(store) == ()


def test_same_key_with_another_payload_conflicts_and_stores_nothing(store: JobStore) -> None:
    store.submit(new_job(idempotency_key="k", fingerprint="f"))
    other = new_job(idempotency_key="k", fingerprint="g")
    with pytest.raises(IdempotencyConflict):
        store.submit(other)
    assert gone(store, other.id)
    assert len(claim(store)) == 1


def test_idempotency_keys_belong_to_their_owner(store: JobStore) -> None:
    store.submit(new_job(owner="ann", idempotency_key="k", fingerprint="f"))
    other = store.submit(new_job(owner="bob", idempotency_key="k", fingerprint="g"))
    assert not other.replayed


def test_owner_and_key_are_not_confused_by_their_border(store: JobStore) -> None:
    store.submit(new_job(owner="a", idempotency_key="bc", fingerprint="f"))
    assert not store.submit(new_job(owner="ab", idempotency_key="c", fingerprint="f")).replayed


def test_jobs_without_a_key_are_never_replayed(store: JobStore) -> None:
    assert not store.submit(new_job()).replayed
    assert not store.submit(new_job()).replayed


def test_submit_sent_twice_over_a_broken_connection_is_one_job(store: JobStore) -> None:
    new = new_job()
    store.submit(new)
    assert store.submit(new).replayed
    assert len(claim(store)) == 1


def test_key_of_a_deleted_job_is_free(store: JobStore) -> None:
    first = submit(store, idempotency_key="k", fingerprint="f")
    store.delete(first)
    again = store.submit(new_job(idempotency_key="k", fingerprint="g"))
    assert not again.replayed
    assert store.submit(new_job(idempotency_key="k", fingerprint="g")).job.id == again.job.id


def test_full_queue_refuses_and_stores_nothing(store: JobStore) -> None:
    submit(store, queue_max_jobs=1)
    refused = new_job(queue_max_jobs=1, idempotency_key="k", fingerprint="f")
    with pytest.raises(QueueFull):
        store.submit(refused)
    assert gone(store, refused.id)
    assert len(claim(store)) == 1
    assert store.stats(MODEL).waiting == 0
    assert not store.submit(replace(refused, queue_max_jobs=9)).replayed


def test_replay_is_answered_while_the_queue_is_full(store: JobStore) -> None:
    new = new_job(queue_max_jobs=1, idempotency_key="k", fingerprint="f")
    store.submit(new)
    assert store.submit(replace(new, id=new_job().id)).replayed


def test_running_entries_count_until_they_finish(store: JobStore) -> None:
    submit(store)
    entry = claim_one(store)
    with pytest.raises(QueueFull):
        submit(store, queue_max_jobs=1)
    finish(store, answered(entry))
    submit(store, queue_max_jobs=1)


@pytest.mark.parametrize("leave", ["cancel", "delete"])
@pytest.mark.parametrize("running", [False, True])
def test_abandoned_jobs_free_their_place_at_once(store: JobStore, leave: str, running: bool) -> None:
    job_id = submit(store, ranges=(1, 1))
    if running:
        claim_one(store)
    getattr(store, leave)(job_id)
    submit(store, queue_max_jobs=1)


def test_every_range_counts(store: JobStore) -> None:
    submit(store, ranges=(1, 1), queue_max_jobs=3)
    with pytest.raises(QueueFull):
        submit(store, ranges=(1, 1), queue_max_jobs=3)
    submit(store, queue_max_jobs=3)


def test_queue_bound_is_per_model(store: JobStore) -> None:
    submit(store, model="a", queue_max_jobs=1)
    submit(store, model="b", queue_max_jobs=1)


def test_all_models_together_have_a_bound(open_store: Open) -> None:
    store = open_store(roomier(queue_max_jobs=2))
    submit(store, model="a")
    second = submit(store, model="b")
    with pytest.raises(QueueFull):
        submit(store, model="c")
    store.cancel(second)
    submit(store, model="c")
    with pytest.raises(QueueFull):
        submit(store, model="c")


def test_bound_of_all_models_counts_what_finished_only_once(open_store: Open) -> None:
    store = open_store(roomier(queue_max_jobs=1))
    for _ in range(3):
        job_id = submit(store)
        finish(store, answered(claim_one(store)))
        store.delete(job_id)
    submit(store)
    with pytest.raises(QueueFull):
        submit(store)


def test_queue_position_counts_the_entries_ahead(store: JobStore) -> None:
    first, second, third = submit(store), submit(store, ranges=(1, 1)), submit(store)
    assert [store.get(i).queue_position for i in (first, second, third)] == [0, 1, 3]
    claim_one(store)
    assert [store.get(i).queue_position for i in (first, second, third)] == [None, 0, 2]


def test_queue_position_of_an_overtaker_is_never_negative(store: JobStore) -> None:
    slow = submit(store, priority=Priority.LOW)
    for _ in range(3):
        submit(store, priority=Priority.HIGH)
        claim_one(store)
    assert store.get(slow).queue_position == 0


@pytest.mark.parametrize("leave", ["cancel", "delete"])
@pytest.mark.parametrize("running", [False, True])
def test_queue_position_forgets_jobs_that_left(store: JobStore, leave: str, running: bool) -> None:
    job_id = submit(store, ranges=(1, 1, 1))
    if running:
        claim_one(store)
    getattr(store, leave)(job_id)
    assert store.submit(new_job()).job.queue_position == 0


def test_queue_positions_are_per_model(store: JobStore) -> None:
    submit(store, model="other")
    assert store.submit(new_job()).job.queue_position == 0


@pytest.mark.parametrize("size", [0, 1, 16_384, 16_385, 700_000])
def test_payload_of_any_size_reaches_the_worker_and_back(store: JobStore, size: int) -> None:
    payload = bytes(range(256)) * (size // 256) + b"\0" * (size % 256)
    job_id = submit(store, payload=payload)
    entry = claim_one(store)
    assert entry.payload == payload
    finish(store, answered(entry, payload))
    assert store.result(job_id)[1] == (payload,)


@pytest.mark.parametrize("method", ["get", "result", "cancel", "delete"])
@pytest.mark.parametrize("job_id", [UNKNOWN_ID, f"7-{'0' * 32}", "", "nonsense", "x-1", "0-{0}:ü"])
def test_unknown_and_malformed_ids_are_not_found(store: JobStore, method: str, job_id: str) -> None:
    with pytest.raises(JobNotFound):
        getattr(store, method)(job_id)
    with pytest.raises(JobNotFound):
        store.watch(job_id, "web")
    store.delivered([job_id])


def test_many_jobs_are_read_in_one_call(store: JobStore) -> None:
    second, first = submit(store, deadline_s=0.001), submit(store)
    let_pass(store, 0.002)
    found = store.get_many([second, UNKNOWN_ID, first, "nonsense", first])
    assert found == [store.get(second), None, store.get(first), None, store.get(first)]
    assert state(store, second) is JobState.EXPIRED
    assert store.get_many([]) == []


def test_any_text_will_do_for_names_and_metadata(store: JobStore) -> None:
    odd = "a b\n\"{}'\\,:*?[ü]"
    new = new_job(owner=odd, idempotency_key=odd, fingerprint=odd, request_id=odd, metadata={odd: odd})
    store.submit(new)
    assert store.submit(replace(new, id=new_job().id)).job.id == new.id
    job = store.get(new.id)
    assert (job.owner, job.request_id, job.metadata) == (odd, odd, {odd: odd})


def test_cancelled_queued_job_leaves_the_queue(store: JobStore) -> None:
    job_id = submit(store, ranges=(1, 1))
    assert store.stats(MODEL).waiting == 2
    assert store.cancel(job_id).state is JobState.CANCELLED
    assert store.stats(MODEL).waiting == 0
    assert step(store).entries == ()
    assert state(store, job_id) is JobState.CANCELLED


def test_ping_answers(store: JobStore) -> None:
    store.ping()


def test_many_submits_are_each_answered_by_themselves(store: JobStore) -> None:
    store.submit(new_job(b"first", idempotency_key="once", fingerprint="a"))
    again = new_job(b"first", idempotency_key="once", fingerprint="a")
    conflicting = new_job(b"other", idempotency_key="once", fingerprint="b")
    large, refused, small = new_job(b"x" * 20_000), new_job(queue_max_jobs=1), new_job(b"small")
    answers = store.submit_many([again, conflicting, large, refused, small])
    assert [type(answer).__name__ for answer in answers] == [
        *("Accepted", "IdempotencyConflict", "Accepted", "QueueFull", "Accepted")
    ]
    assert getattr(answers[0], "replayed", None) is True
    assert [entry.payload for entry in claim(store)] == [b"first", b"x" * 20_000, b"small"]


def test_no_submits_at_all(store: JobStore) -> None:
    assert store.submit_many([]) == []


# ---------------------------------------------------------------- several at once


def test_submits_of_a_group_see_each_other(store: JobStore) -> None:
    first = new_job(b"first", idempotency_key="k", fingerprint="f")
    again = replace(first, id=new_job().id)
    other = new_job(b"other", idempotency_key="k", fingerprint="g")
    refused, last = new_job(b"x" * 20_000, queue_max_jobs=1), new_job(b"last")
    answers = store.submit_many([first, again, other, refused, last])
    assert [type(answer).__name__ for answer in answers] == [
        *("Accepted", "Accepted", "IdempotencyConflict", "QueueFull", "Accepted")
    ]
    replayed = answers[1]
    assert isinstance(replayed, Accepted)
    assert (replayed.replayed, replayed.job.id) == (True, first.id)
    assert [gone(store, new.id) for new in (again, other, refused)] == [True] * 3
    assert [entry.payload for entry in claim(store)] == [b"first", b"last"]


def test_the_same_submit_twice_in_a_group_is_one_job(store: JobStore) -> None:
    new = new_job()
    first, second = store.submit_many([new, new])
    assert isinstance(first, Accepted)
    assert isinstance(second, Accepted)
    assert (first.replayed, second.replayed) == (False, True)
    assert ids(claim(store)) == [new.id]


def test_bounds_count_within_a_group(open_store: Open) -> None:
    store = open_store(roomier(queue_max_jobs=4))
    news = [new_job(model="a", queue_max_jobs=2) for _ in range(3)]
    news += [new_job(model="b", ranges=(1, 1)), new_job(model="c")]
    assert [isinstance(answer, Accepted) for answer in store.submit_many(news)] == [
        *(True, True, False, True, False)
    ]
    assert (store.stats("a").waiting, store.stats("b").waiting, store.stats("c").waiting) == (2, 2, 0)


def test_large_groups_keep_their_order(open_store: Open) -> None:
    store = open_store(roomier(spread_ms=1e9))
    sizes = [10, 16_384, 20_000] * 60
    news = [new_job(b"x" * size, digest="sha256:d", request_id=str(at)) for at, size in enumerate(sizes)]
    answers = [answer for answer in store.submit_many(news) if isinstance(answer, Accepted)]
    assert [answer.job.id for answer in answers] == [new.id for new in news]
    assert [answer.job.queue_position for answer in answers] == list(range(180))
    assert [answer.job for answer in answers] == store.get_many([new.id for new in news])
    claimed = store.step(lane(token=answers[0].wakeup), (), WIDE).entries
    assert [(entry.job_id, len(entry.payload or b"")) for entry in claimed] == [
        (new.id, size) for new, size in zip(news, sizes, strict=True)
    ]


def test_jobs_of_a_group_that_differ_stay_apart(store: JobStore) -> None:
    kinds: list[dict[str, Any]] = [
        {"owner": "ann", "priority": Priority.HIGH, "metadata": {"a": 1}},
        {"owner": "ann", "signature_name": "classify", "outputs": ("scores",)},
        {"owner": "bob", "version": 7, "digest": "sha256:e", "deadline_s": 60.0},
        {"ranges": (2, 3), "pinned": True, "version": 3},
    ]
    news = [new_job(request_id=str(at), **{"digest": "sha256:d"} | kind) for at, kind in enumerate(kinds * 2)]
    answers = store.submit_many(news)
    assert [isinstance(answer, Accepted) and answer.job for answer in answers] == [
        store.get(new.id) for new in news
    ]
    assert [store.get(new.id).request_id for new in news] == [new.request_id for new in news]
    claimed = {entry.job_id: entry for entry in claim(store)}
    for new in news:
        entry = claimed[new.id]
        assert (entry.version, entry.digest, entry.pinned) == (new.version, new.digest, new.pinned)
        assert (entry.signature_name, entry.outputs) == (new.signature_name, new.outputs)
