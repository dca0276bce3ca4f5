"""The prediction service on in-memory ports."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from predict_worker.codec import Arrays, Columnar, Instances, join_ranges, unpack, unpack_raw
from predict_worker.core.errors import (
    IdempotencyConflict,
    InvalidRequest,
    JobConflict,
    JobNotFound,
    JobUnsuccessful,
    ModelNotFound,
    PayloadTooLarge,
    QueueFull,
    ResultGone,
    ResultNotReady,
    StoreUnavailable,
)
from predict_worker.core.job import JobError, JobState, Priority, bucket_of
from predict_worker.core.ports import Lane, ModelEntry
from predict_worker.core.spec import BatchPolicy, ModelRef, Signature, TensorSpec
from predict_worker.service import PredictRequest
from predict_worker.store.config import StoreConfig
from tests.unit.world import DIGIT, DIGITS, World, spec

BROKEN = JobError("broken", "Broken", "the model refused these rows")


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.close()


def digit(rows: int = 1, **fields: Any) -> PredictRequest:
    return PredictRequest(ModelRef("digits"), Columnar(DIGIT * rows), **fields)


# ---------------------------------------------------------------- submit


def test_a_submit_is_one_call_of_the_store(world: World) -> None:
    answer = world.service.submit(digit())
    assert world.store.calls == ["submit"]
    assert (answer.job.state, answer.payloads, answer.waited_s) == (JobState.QUEUED, None, None)


def test_a_waited_submit_is_one_call_of_the_store_too(world: World) -> None:
    with world.working():
        answer = world.service.submit(digit(), wait_s=5)
    assert world.store.calls == ["submit"]
    assert answer.job.state is JobState.SUCCEEDED
    assert answer.waited_s == 5


def test_the_job_holds_what_was_resolved(world: World) -> None:
    job = world.service.submit(
        digit(priority=Priority.HIGH, metadata={"a": 1}, owner="user:1", request_id="r", deadline_s=9)
    ).job
    assert (job.model, job.version, job.artefact) == ("digits", 1, "saved_model")
    assert (job.digest, job.signature_name) == (spec("digits").digest, "serving_default")
    assert (job.priority, job.metadata, job.owner, job.request_id) == ("high", {"a": 1}, "user:1", "r")
    assert job.deadline_at is not None
    assert (job.deadline_at - job.created_at).total_seconds() == 9


def test_rows_are_split_by_the_batch_policy_and_joined_again(world: World) -> None:
    job_id = world.service.submit(digit(rows=5)).job.id
    entries = world.claim()
    assert [entry.rows for entry in entries] == [2, 2, 1]
    world.finish(*(world.outcome(entry, "digits") for entry in entries))
    answer = world.service.result(job_id, "")
    assert answer.payloads is not None
    assert join_ranges(answer.payloads)["probabilities"].shape == (5, 10)


def test_rows_whose_answers_might_not_fit_each_other_stay_together(world: World) -> None:
    longest = Signature("serving_default", DIGITS.inputs, (TensorSpec("words", "int64", (-1, -1)),))
    batch = BatchPolicy(max_rows=2)
    world.catalogue_store.publish_specs([spec("digits", signature=longest, batch=batch)])
    world.service.submit(digit(rows=5))
    assert [entry.rows for entry in world.claim()] == [5]


def test_a_waited_job_of_several_ranges_is_read_from_the_store(world: World) -> None:
    with world.working():
        answer = world.service.submit(digit(rows=5), wait_s=5)
    assert answer.payloads is not None
    assert len(answer.payloads) == 3


def test_a_pinned_version_stays_pinned(world: World) -> None:
    world.service.submit(PredictRequest(ModelRef("digits", version=1), Columnar(DIGIT)))
    world.service.submit(PredictRequest(ModelRef("digits", label="stable"), Columnar(DIGIT)))
    assert [(entry.version, entry.pinned) for entry in world.claim()] == [(1, True), (1, False)]


@pytest.mark.parametrize(
    ("inputs", "rows"),
    [
        (Columnar(DIGIT * 3), 3),
        (Columnar({"x": DIGIT * 2}), 2),
        (Columnar(5), 1),
        (Columnar({}), 1),
        (Instances([1, 2]), 2),
        (Arrays({"": np.zeros((4, 2), np.float32)}), 4),
        (Arrays({"": np.zeros((), np.float32)}), 1),
        (Arrays({}), 1),
    ],
)
def test_a_model_that_nobody_has_loaded_takes_inputs_unchecked(world: World, inputs: Any, rows: int) -> None:
    job = world.service.submit(PredictRequest(ModelRef("fresh"), inputs)).job
    assert (job.version, job.digest, job.rows) == (3, None, rows)
    (entry,) = world.claim("fresh")
    assert entry.payload is not None
    assert type(unpack_raw(entry.payload)) is type(inputs)


def test_the_worker_is_told_which_outputs_are_wanted(world: World) -> None:
    inputs = Columnar({"a": [[1, 2]], "b": [3]})
    world.service.submit(PredictRequest(ModelRef("pair"), inputs, outputs=("sum",)))
    assert [entry.outputs for entry in world.claim("pair")] == [("sum",)]


def test_a_model_of_finite_inputs_refuses_others(world: World) -> None:
    odd = Arrays({"x": np.full((1, 8, 8, 1), np.nan, np.float32)})
    world.service.submit(PredictRequest(ModelRef("digits"), odd))
    strict = World()
    strict.catalogue_store.publish_specs([spec("digits", inputs_finite=True)])
    with pytest.raises(InvalidRequest, match="finite"):
        strict.service.submit(PredictRequest(ModelRef("digits"), odd))


def test_inputs_are_stored_in_the_signatures_dtype(world: World) -> None:
    world.service.submit(PredictRequest(ModelRef("pair"), Instances([{"a": [1, 2], "b": 3}])))
    (entry,) = world.claim("pair")
    assert entry.payload is not None
    assert {name: str(array.dtype) for name, array in unpack(entry.payload).items()} == {
        "a": "float32",
        "b": "int64",
    }


def test_an_unknown_model_is_refused(world: World) -> None:
    with pytest.raises(ModelNotFound):
        world.service.submit(PredictRequest(ModelRef("nothing"), Columnar([])))


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (PredictRequest(ModelRef("digits"), Columnar([[1]])), "inputs[0]"),
        (PredictRequest(ModelRef("digits"), Columnar(DIGIT), signature_name="other"), "signature_name"),
        (PredictRequest(ModelRef("digits"), Columnar(DIGIT), outputs=("y",)), "outputs[0]"),
    ],
)
def test_inputs_that_do_not_fit_the_signature_are_refused(
    world: World, request_: PredictRequest, field: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        world.service.submit(request_)
    assert caught.value.field.startswith(field)
    assert world.store.calls == []


def test_inputs_larger_than_the_bound_are_refused() -> None:
    world = World(max_input_bytes=300)
    world.service.submit(digit())
    with pytest.raises(PayloadTooLarge):
        world.service.submit(digit(rows=2))


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"deadline_s": 0}, "deadline_s"),
        ({"deadline_s": -1.0}, "deadline_s"),
        ({"deadline_s": float("nan")}, "deadline_s"),
        ({"deadline_s": float("inf")}, "deadline_s"),
        ({"metadata": {"a": "x" * 1020}}, "metadata"),
        ({"idempotency_key": ""}, "Idempotency-Key"),
        ({"idempotency_key": "x" * 256}, "Idempotency-Key"),
    ],
)
def test_a_request_out_of_bounds_cannot_be_made(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        digit(**fields)
    assert caught.value.field == field


def test_a_full_queue_refuses() -> None:
    world = World()
    world.catalogue_store.publish_models([ModelEntry("digits", (1,), queue_max_jobs=1)])
    world.service.submit(digit())
    with pytest.raises(QueueFull):
        world.service.submit(digit())


# ---------------------------------------------------------------- wake-ups


def test_a_wakeup_is_published_only_when_the_store_says_so(world: World) -> None:
    world.service.submit(digit())
    world.service.submit(digit())
    assert [model for model, _ in world.wakeups.sent] == ["digits"]


def test_a_publish_that_fails_frees_the_wakeup_and_the_job_is_accepted(world: World) -> None:
    world.wakeups.failing = True
    first = world.service.submit(digit())
    assert first.job.state is JobState.QUEUED
    assert world.store.calls == ["submit", "release_wakeup"]
    world.wakeups.failing = False
    world.service.submit(digit())
    assert len(world.wakeups.sent) == 1
    assert world.run() == 2


def test_a_publish_and_a_store_that_both_fail_still_leave_the_job_accepted(world: World) -> None:
    world.wakeups.failing = True
    world.store.away = {"release_wakeup"}
    assert world.service.submit(digit()).job.state is JobState.QUEUED


# ---------------------------------------------------------------- waiting


def test_a_waited_job_looks_as_the_store_has_it(world: World) -> None:
    with world.working():
        answer = world.service.submit(digit(metadata={"a": 1}), wait_s=5)
    world.waiters.recheck()  # tells the store of the delivery
    stored = world.store.get(answer.job.id)
    assert replace(answer.job, expires_at=stored.expires_at) == stored
    assert stored.expires_at is not None
    assert answer.job.expires_at is not None
    assert abs(stored.expires_at - answer.job.expires_at) < timedelta(seconds=2)
    assert answer.payloads == world.store.result(answer.job.id)[1]


def test_a_result_that_comes_before_the_wait_begins_is_answered(world: World) -> None:
    send = world.wakeups.send

    def send_and_run(model: str, token: str) -> None:
        send(model, token)
        world.run(model)

    world.wakeups.send = send_and_run  # type: ignore[method-assign]
    assert world.service.submit(digit(), wait_s=5).job.state is JobState.SUCCEEDED


def test_a_failed_job_is_answered_with_its_error(world: World) -> None:
    with world.working(error=BROKEN):
        answer = world.service.submit(digit(), wait_s=5)
    assert answer.job.state is JobState.FAILED
    assert answer.job.error is not None
    assert (answer.job.error.code, answer.payloads) == ("broken", None)


def test_when_time_is_up_the_job_is_answered_as_it_is(world: World) -> None:
    answer = world.service.submit(digit(), wait_s=0.01)
    assert (answer.job.state, answer.waited_s) == (JobState.QUEUED, 0.01)
    assert world.waiters.waiting == 0


def test_a_result_whose_message_was_lost_is_found_when_time_is_up(world: World) -> None:
    world.store.loses_messages = True
    with world.working():
        answer = world.service.submit(digit(), wait_s=0.5)
    assert answer.job.state is JobState.SUCCEEDED
    assert answer.payloads is not None


def test_a_store_that_goes_away_while_waiting_leaves_the_job_accepted(world: World) -> None:
    world.store.away = {"result"}
    answer = world.service.submit(digit(), wait_s=0.01)
    assert answer.job.state is JobState.QUEUED


def test_no_wait_is_longer_than_the_bound() -> None:
    world = World(max_wait_s=0.02)
    assert world.service.submit(digit(), wait_s=1000).waited_s == 0.02


def test_without_a_free_place_the_answer_comes_at_once() -> None:
    world = World(waiters=0)
    answer = world.service.submit(digit(), wait_s=30)
    assert (answer.job.state, answer.waited_s) == (JobState.QUEUED, None)


def test_a_refused_submit_leaves_no_waiter_behind(world: World) -> None:
    world.store.away = {"submit"}
    with pytest.raises(StoreUnavailable):
        world.service.submit(digit(), wait_s=5)
    assert world.waiters.waiting == 0


def test_a_delivered_result_may_expire_sooner() -> None:
    now = [10**15]
    world = World(config=StoreConfig(delivered_ttl_s=300))
    world.store._clock = lambda: now[0]
    with world.working():
        job = world.service.submit(digit(), wait_s=5).job
    world.waiters.recheck()
    now[0] += 301_000_000
    with pytest.raises(ResultGone):
        world.service.result(job.id, "")


# ---------------------------------------------------------------- idempotency


def keyed(fingerprint: str = "f", **fields: Any) -> PredictRequest:
    return digit(idempotency_key="k", fingerprint=fingerprint, **fields)


def test_the_same_key_and_payload_is_the_same_job(world: World) -> None:
    first = world.service.submit(keyed())
    again = world.service.submit(keyed())
    assert (first.replayed, again.replayed) == (False, True)
    assert again.job.id == first.job.id


def test_the_same_key_with_another_payload_is_refused(world: World) -> None:
    world.service.submit(keyed())
    with pytest.raises(IdempotencyConflict):
        world.service.submit(keyed("g"))


def test_a_replay_can_wait_for_the_first_job(world: World) -> None:
    first = world.service.submit(keyed())
    world.store.after["watch"] = world.run
    again = world.service.submit(keyed(), wait_s=5)
    assert (again.job.id, again.job.state, again.replayed) == (first.job.id, JobState.SUCCEEDED, True)


@pytest.mark.timeout(10)
@pytest.mark.parametrize("wait_s", [0, 60])
def test_a_replay_of_a_finished_job_has_its_outputs(world: World, wait_s: float) -> None:
    world.service.submit(keyed())
    world.run()
    again = world.service.submit(keyed(), wait_s)
    assert again.payloads is not None


def test_one_key_of_one_owner_always_meets_the_same_bucket() -> None:
    worlds = [World(buckets=64) for _ in range(5)]
    assert len({bucket_of(world.service.submit(keyed()).job.id) for world in worlds}) == 1
    world = worlds[0]
    assert len({bucket_of(world.service.submit(digit()).job.id) for _ in range(50)}) > 1


# ---------------------------------------------------------------- one job


def test_a_job_of_another_owner_is_unknown(world: World) -> None:
    job_id = world.service.submit(digit(owner="user:1")).job.id
    service = world.service
    for ask in (service.get, service.result, service.cancel, service.delete):
        with pytest.raises(JobNotFound):
            ask(job_id, "user:2")
    assert service.get(job_id, "user:1").job.state is JobState.QUEUED


@pytest.mark.parametrize("job_id", ["", "x", "0-" + "g" * 32, "0-" + "0" * 33, "123456-" + "0" * 32, "0-\n"])
def test_what_is_no_job_id_never_reaches_the_store(world: World, job_id: str) -> None:
    service = world.service
    for ask in (service.get, service.result, service.cancel, service.delete):
        with pytest.raises(JobNotFound):
            ask(job_id, "")
    assert world.store.calls == []


def test_get_waits_for_a_queued_job(world: World) -> None:
    job_id = world.service.submit(digit()).job.id
    world.store.after["watch"] = world.run
    answer = world.service.get(job_id, "", wait_s=5)
    assert (answer.job.state, answer.waited_s) == (JobState.SUCCEEDED, 5)
    assert answer.payloads is not None


def test_get_sees_a_job_that_ends_before_it_is_watched(world: World) -> None:
    job_id = world.service.submit(digit()).job.id
    world.store.after["result"] = world.run
    assert world.service.get(job_id, "", wait_s=5).job.state is JobState.SUCCEEDED


def test_get_of_a_final_job_does_not_wait(world: World) -> None:
    job_id = world.service.submit(digit()).job.id
    world.run()
    answer = world.service.get(job_id, "", wait_s=5)
    assert answer.payloads is not None
    assert answer.waited_s is None
    assert world.store.calls == ["submit", "result"]


def test_get_without_a_wait_reads_once(world: World) -> None:
    job_id = world.service.submit(digit()).job.id
    world.service.get(job_id, "")
    assert world.store.calls == ["submit", "result"]


def test_the_result_of_an_unfinished_job_is_not_ready(world: World) -> None:
    job_id = world.service.submit(digit()).job.id
    with pytest.raises(ResultNotReady):
        world.service.result(job_id, "")
    world.claim()
    with pytest.raises(ResultNotReady, match="running"):
        world.service.result(job_id, "")


def test_the_result_of_a_job_that_did_not_succeed_says_why(world: World) -> None:
    failed = world.service.submit(digit()).job.id
    world.run(error=BROKEN)
    with pytest.raises(JobUnsuccessful) as caught:
        world.service.result(failed, "")
    assert caught.value.state == "failed"
    assert caught.value.error is not None
    assert caught.value.error["code"] == "broken"
    cancelled = world.service.submit(digit()).job.id
    world.service.cancel(cancelled, "")
    with pytest.raises(JobUnsuccessful) as caught:
        world.service.result(cancelled, "")
    assert (caught.value.state, caught.value.error) == ("cancelled", None)


def test_a_cancelled_job_can_be_cancelled_again_and_a_succeeded_one_cannot(world: World) -> None:
    job_id = world.service.submit(digit()).job.id
    assert world.service.cancel(job_id, "").state is JobState.CANCELLED
    assert world.service.cancel(job_id, "").state is JobState.CANCELLED
    done = world.service.submit(digit()).job.id
    world.run()
    with pytest.raises(JobConflict):
        world.service.cancel(done, "")


def test_a_deleted_job_is_unknown(world: World) -> None:
    job_id = world.service.submit(digit()).job.id
    world.service.delete(job_id, "")
    with pytest.raises(JobNotFound):
        world.service.get(job_id, "")


# ---------------------------------------------------------------- when to look again


def test_retry_after_is_the_work_ahead_over_the_children(world: World) -> None:
    world.store.ready_children["digits"] = 2
    for _ in range(100):
        job = world.service.submit(digit()).job
    world.store.step(Lane("digits", "n9:1", ""), (), None, entry_ms=100.0)
    assert job.queue_position == 99
    assert world.service.retry_after_s(job) == pytest.approx(99 * 0.1 / 2)


def test_retry_after_is_never_less_than_a_second(world: World) -> None:
    job = world.service.submit(digit()).job
    assert world.service.retry_after_s(job) == 1.0
    world.store.away = {"stats"}
    assert World().service.retry_after_s(job) == 1.0


def test_statistics_are_read_once_a_second(world: World) -> None:
    job = world.service.submit(digit()).job
    for _ in range(20):
        world.service.retry_after_s(job)
    assert world.store.calls.count("stats") == 1


# ---------------------------------------------------------------- models and workers


def test_a_model_shows_its_versions_and_workers(world: World) -> None:
    view = world.service.model("digits")
    assert (view.entry.versions, dict(view.ready), list(view.specs)) == ((1,), {1: 1}, [1])
    assert [worker.consumer for worker in view.workers] == ["n1:1"]
    assert world.service.model("fresh").workers == ()


def test_all_models_and_workers_are_listed(world: World) -> None:
    assert [view.entry.name for view in world.service.models()] == ["digits", "fresh", "pair"]
    assert [worker.consumer for worker in world.service.workers()] == ["n1:1"]
