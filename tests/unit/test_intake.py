"""Submits of many threads: each has its own answer, and shares its way to the store with others."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from predict_worker.core.errors import PredictionError, QueueFull, StoreUnavailable
from predict_worker.core.job import JobState, NewJob, RowRange, new_job_id
from predict_worker.core.ports import Accepted, Finished
from predict_worker.intake import LARGE_BYTES, Intake
from predict_worker.store.config import StoreConfig
from predict_worker.waiting import Place
from tests.unit.world import Store, World


class SlowStore(Store):
    """The first round trip takes until it is let go; ``trips`` says how many jobs each has taken along."""

    def __init__(self) -> None:
        super().__init__(StoreConfig(queue_max_jobs=100))
        self.trips: list[int] = []
        self.begun, self.let_go = threading.Event(), threading.Event()
        self.let_go.set()
        self.failure: BaseException | None = None

    def submit_many(self, new: Sequence[NewJob]) -> list[Accepted | PredictionError]:
        self.trips.append(len(new))
        self.begun.set()
        assert self.let_go.wait(10)
        if self.failure is not None:
            raise self.failure
        return super().submit_many(new)


@pytest.fixture
def store() -> SlowStore:
    return SlowStore()


@pytest.fixture
def stored() -> list[str]:
    return []


@pytest.fixture
def intake(store: SlowStore, stored: list[str]) -> Intake:
    return Intake(store, lambda accepted: stored.append(accepted.job.id))


def job(size: int = 1, **fields: object) -> NewJob:
    return NewJob(new_job_id(0), "digits", (RowRange(0, 1, b"x" * size),), **fields)  # type: ignore[arg-type]


@contextmanager
def crowd(store: SlowStore, intake: Intake, *submits: Callable[[], object]) -> Iterator[list[Any]]:
    """A submit is on its way, these have gathered meanwhile. Gives what each returned or raised."""
    answers: list[Any] = [None] * (1 + len(submits))

    def run(position: int, submit: Callable[[], object]) -> None:
        try:
            answers[position] = submit()
        except BaseException as error:
            answers[position] = error

    def start(position: int, submit: Callable[[], object]) -> threading.Thread:
        thread = threading.Thread(target=run, args=(position, submit), daemon=True)
        thread.start()
        return thread

    store.let_go.clear()
    threads = [start(0, lambda: intake.submit(job()))]
    assert store.begun.wait(10)
    threads += [start(position, submit) for position, submit in enumerate(submits, 1)]
    until(lambda: len(intake._gathered) == len(submits))
    yield answers
    store.let_go.set()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()


def until(true: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(1000):
        if true():
            return
        pause.wait(0.01)
    raise AssertionError("not in time")


def place_of(world: World) -> Place:
    place = world.waiters.place()
    assert place is not None
    return place


def test_a_lone_submit_goes_at_once(store: SlowStore, intake: Intake, stored: list[str]) -> None:
    new = job()
    assert intake.submit(new).job.id == new.id
    assert intake.submit(job()).job.state is JobState.QUEUED
    assert store.trips == [1, 1]
    assert stored[0] == new.id


def test_what_gathers_meanwhile_goes_together(store: SlowStore, intake: Intake, stored: list[str]) -> None:
    new = [job() for _ in range(5)]
    with crowd(store, intake, *(lambda one=one: intake.submit(one) for one in new)) as answers:
        pass
    assert store.trips == [1, 5]
    assert [answer.job.id for answer in answers[1:] if isinstance(answer, Accepted)] == [n.id for n in new]
    assert sorted(stored[1:]) == sorted(n.id for n in new)


def test_a_refused_job_is_refused_alone(store: SlowStore, intake: Intake) -> None:
    submits = [lambda: intake.submit(job()), lambda: intake.submit(job(queue_max_jobs=1))]
    with crowd(store, intake, *submits) as answers:
        pass
    assert isinstance(answers[1], Accepted)
    assert isinstance(answers[2], QueueFull)


def test_large_inputs_hold_nobody_up(store: SlowStore, intake: Intake) -> None:
    with crowd(store, intake, lambda: intake.submit(job())) as answers:
        large = threading.Thread(target=intake.submit, args=(job(LARGE_BYTES + 1),), daemon=True)
        large.start()
        until(lambda: store.trips == [1, 1])
    large.join(10)
    assert isinstance(answers[1], Accepted)


@pytest.mark.parametrize("failure", [StoreUnavailable("silent"), ValueError("a defect"), SystemExit()])
def test_one_failure_answers_all_and_the_next_submit_goes_again(
    store: SlowStore, intake: Intake, failure: BaseException
) -> None:
    with crowd(store, intake, *[lambda: intake.submit(job())] * 3) as answers:
        store.failure = failure
    assert answers == [failure] * 4
    assert store.trips == [1], "those that had gathered did not wait for a second silence"
    store.failure = None
    assert intake.submit(job()).job.state is JobState.QUEUED


def test_a_failing_wake_up_keeps_nobody_waiting(store: SlowStore) -> None:
    def fail(accepted: Accepted) -> None:
        raise ValueError("a defect")

    intake = Intake(store, fail)
    with crowd(store, intake, lambda: intake.submit(job()), lambda: intake.submit(job())) as answers:
        pass
    assert None not in answers
    assert store.trips == [1, 2]


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.close()


def finished(job_id: str) -> Finished:
    return Finished(job_id, payload=b"out")


def test_a_waiter_sleeps_until_its_result(store: SlowStore, intake: Intake, world: World) -> None:
    new = job()
    with place_of(world) as place:
        place.expect(new.id)
        with crowd(store, intake, lambda: intake.submit_and_wait(new, place, 10)) as answers:
            store.let_go.set()
            until(lambda: place.waiting)
            world.waiters._deliver([finished(new.id)])
    accepted, end = answers[1]
    assert (accepted.job.id, end) == (new.id, finished(new.id))


def test_a_result_before_the_answer_waits_for_the_answer(
    store: SlowStore, intake: Intake, world: World
) -> None:
    new, other = job(), job()
    with place_of(world) as place, place_of(world) as behind:
        place.expect(new.id)
        behind.expect(other.id)
        with crowd(store, intake, lambda: intake.submit_and_wait(new, place, 10)) as answers:
            world.waiters._deliver([finished(new.id), finished(other.id)])
            assert behind.wait(10) == finished(other.id), "who waits for an answer lets others pass"
    accepted, end = answers[1]
    assert (accepted.job.id, end) == (new.id, finished(new.id))


def test_time_that_is_up_still_brings_the_answer(store: SlowStore, intake: Intake, world: World) -> None:
    new = job()
    with place_of(world) as place:
        place.expect(new.id)
        with crowd(store, intake, lambda: intake.submit_and_wait(new, place, 0.01)) as answers:
            until(lambda: intake._gathered[0].told)
    accepted, end = answers[1]
    assert (accepted.job.id, end) == (new.id, None)


def test_a_refused_waiter_hears_of_it_at_once(store: SlowStore, intake: Intake, world: World) -> None:
    new = job(queue_max_jobs=1)
    with place_of(world) as place:
        place.expect(new.id)
        with crowd(store, intake, lambda: intake.submit_and_wait(new, place, 60)) as answers:
            pass
    assert isinstance(answers[1], QueueFull)


def test_a_replay_is_answered_at_once(store: SlowStore, intake: Intake, world: World) -> None:
    first = job(idempotency_key="once", fingerprint="f")
    intake.submit(first)
    again = job(idempotency_key="once", fingerprint="f")
    with place_of(world) as place:
        place.expect(again.id)
        with crowd(store, intake, lambda: intake.submit_and_wait(again, place, 60)) as answers:
            pass
    accepted, end = answers[1]
    assert (accepted.replayed, accepted.job.id, end) == (True, first.id, None)


def test_a_job_that_is_not_stored_yet_is_not_rechecked(
    store: SlowStore, intake: Intake, world: World
) -> None:
    new = job()
    with place_of(world) as place:
        place.expect(new.id)
        with crowd(store, intake, lambda: intake.submit_and_wait(new, place, 0.2)):
            world.waiters.recheck()
    assert "get_many" not in world.store.calls
