"""The process's own service, and the functions for Python callers."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import numpy as np
import pytest
from django.test import override_settings

import predict_worker
from predict_worker import cancel, connect, get_job, submit, wait
from predict_worker.codec import write_npy as npy
from predict_worker.conf import get_config
from predict_worker.core.errors import InvalidRequest, JobNotFound
from predict_worker.core.job import JobState
from tests.unit.world import DIGIT, World


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    with connect.use(world.service):
        yield world
    world.close()


def test_the_service_is_built_once_for_all_threads() -> None:
    built = []
    threads = [threading.Thread(target=lambda: built.append(connect.service())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len({id(service) for service in built}) == 1


def test_delivered_outputs_do_not_outlive_others() -> None:
    """Delivery only ever shortens a life."""
    with override_settings(PREDICT_WORKER={"RESULT_TTL_S": 100, "DELIVERED_TTL_S": 300}):
        assert connect.limits(get_config()).delivered_ttl_s == 100


def test_the_service_has_the_settings_limits() -> None:
    with override_settings(PREDICT_WORKER={"BUCKETS": 8, "MAX_WAIT_S": 3, "MAX_BODY_BYTES": 9999}):
        limits = connect.build(get_config())._limits
    assert (limits.buckets, limits.max_wait_s, limits.max_input_bytes) == (8, 3.0, 9999)


def test_the_service_follows_overridden_settings() -> None:
    before = connect.service()
    with override_settings(PREDICT_WORKER={"MAX_WAIT_S": 3}):
        assert connect.service() is connect.service()
        assert connect.service()._limits.max_wait_s == 3.0
    assert connect.service()._limits == before._limits


def test_a_substitute_stays_whatever_the_settings(world: World) -> None:
    with override_settings(PREDICT_WORKER={"MAX_WAIT_S": 3}):
        assert connect.service() is world.service


def test_a_substitute_serves_until_its_block_ends(world: World) -> None:
    other = World()
    with connect.use(other.service):
        assert connect.service() is other.service
    assert connect.service() is world.service


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_builds_its_own() -> None:
    ours = connect.service()
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write, str(connect.service() is ours).encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read, 10) == b"False"


# ---------------------------------------------------------------- Python callers


def test_submit_then_wait_gives_arrays(world: World) -> None:
    with world.working():
        job = submit("digits", np.zeros((2, 8, 8, 1), np.float32), priority="high", metadata={"a": 1})
        prediction = wait(job.id, timeout_s=5)
    assert prediction.job.state is JobState.SUCCEEDED
    assert prediction.outputs is not None
    assert prediction.outputs["probabilities"].shape == (2, 10)


@pytest.mark.parametrize(
    ("model", "inputs"),
    [
        ("digits", DIGIT),
        ("digits", {"x": DIGIT}),
        ("digits", {"x": np.zeros((1, 8, 8, 1), np.float32)}),
        ("digits", npy(np.zeros((1, 8, 8, 1), np.float32))),
        ("pair", {"a": np.ones((2, 2), np.float32), "b": np.arange(2)}),
        ("pair", {"a": np.ones((2, 2), np.float32), "b": npy(np.arange(2))}),
    ],
)
def test_inputs_may_be_lists_arrays_or_npy(world: World, model: str, inputs: object) -> None:
    assert submit(model, inputs).state is JobState.QUEUED


def test_instances_are_rows(world: World) -> None:
    assert submit("digits", instances=DIGIT * 3, version=1).rows == 3


@pytest.mark.parametrize("both", [{}, {"inputs": DIGIT, "instances": DIGIT}])
def test_inputs_and_instances_exclude_each_other(world: World, both: dict[str, object]) -> None:
    with pytest.raises(InvalidRequest):
        submit("digits", **both)  # type: ignore[arg-type]


def test_waiting_in_vain_is_a_timeout(world: World) -> None:
    job = submit("digits", DIGIT)
    with pytest.raises(TimeoutError, match="queued"):
        wait(job.id, timeout_s=0.02)


def test_waiting_without_a_free_place_does_not_ask_all_the_time(world: World) -> None:
    world.waiters._limit = 0
    job = submit("digits", DIGIT)
    with pytest.raises(TimeoutError):
        wait(job.id, timeout_s=0.25)
    assert world.store.calls.count("result") <= 5


def test_waiting_without_a_free_place_asks_again_and_again(world: World) -> None:
    world.waiters._limit = 0
    job = submit("digits", DIGIT)
    asked = threading.Event()

    def answer_once_asked() -> None:
        world.store.after["result"] = asked.set
        assert asked.wait(5)
        world.run()

    worker = threading.Thread(target=answer_once_asked)
    worker.start()
    prediction = wait(job.id, timeout_s=5)
    worker.join(5)
    assert prediction.outputs is not None


def test_a_job_can_be_read_and_cancelled(world: World) -> None:
    job = submit("digits", DIGIT, owner="user:1")
    assert get_job(job.id, owner="user:1").job.state is JobState.QUEUED
    with pytest.raises(JobNotFound):
        get_job(job.id)
    assert cancel(job.id, owner="user:1").state is JobState.CANCELLED


def test_the_package_offers_these_functions_and_no_others() -> None:
    assert set(predict_worker.__all__) >= {"submit", "wait", "get_job", "cancel", "predict"}
    with pytest.raises(AttributeError, match="nothing"):
        _ = predict_worker.nothing
