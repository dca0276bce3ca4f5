"""Watches of jobs: what they see, how many there are, and what they cost."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator

import pytest

from predict_worker.core.errors import JobNotFound, StoreUnavailable, TooManyStreams
from predict_worker.core.job import JobState
from predict_worker.core.ports import Loss
from predict_worker.core.spec import ModelRef
from predict_worker.inputs import Columnar
from predict_worker.service import PredictRequest
from predict_worker.watching import Watch, Watchers, reached
from tests.unit.world import DIGIT, World

LONG_S = 60.0


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.close()


@pytest.fixture
def watchers(world: World) -> Iterator[Watchers]:
    """They look often."""
    watchers = Watchers(world.store, limit=2, look_s=0.01)
    yield watchers
    watchers.close()


def submit(world: World, rows: int = 1) -> str:
    return world.service.submit(PredictRequest(ModelRef("digits"), Columnar(DIGIT * rows))).job.id


class Eye:
    """Waits for what a watch comes to see."""

    def __init__(self, watch: Watch) -> None:
        self.watch, self._changed = watch, threading.Event()
        watch.on_change(self._changed.set)

    def until(self, state: JobState | None, ranges_done: int | None = None) -> None:
        for _ in range(100):
            job = self.watch.job
            seen = None if job is None else job.state
            if seen is state and (job is None or ranges_done in (None, job.ranges_done)):
                return
            assert self._changed.wait(5), f"still {seen}"
            self._changed.clear()
        raise AssertionError("it never came")


def test_a_watch_sees_every_change(world: World, watchers: Watchers) -> None:
    watch = watchers.watch(submit(world, rows=4))
    assert watch.job is not None
    assert (watch.job.state, watch.job.ranges) == (JobState.QUEUED, 2)
    eye = Eye(watch)
    first, second = world.claim()
    eye.until(JobState.RUNNING, 0)
    world.finish(world.outcome(first, "digits"))
    eye.until(JobState.RUNNING, 1)
    world.finish(world.outcome(second, "digits"))
    eye.until(JobState.SUCCEEDED, 2)


def test_an_end_is_seen_at_once(world: World) -> None:
    watchers = Watchers(world.store, limit=2, look_s=LONG_S)
    eye = Eye(watchers.watch(submit(world)))
    eye.until(JobState.QUEUED)
    world.run()
    eye.until(JobState.SUCCEEDED)
    watchers.close()


def test_a_lost_message_is_made_up_for(world: World, watchers: Watchers) -> None:
    world.store.loses_messages = True
    eye = Eye(watchers.watch(submit(world)))
    world.run()
    eye.until(JobState.SUCCEEDED)


def test_a_deleted_job_is_seen_as_gone(world: World, watchers: Watchers) -> None:
    job_id = submit(world)
    eye = Eye(watchers.watch(job_id))
    world.store.delete(job_id)
    eye.until(None)


def test_all_watched_jobs_are_read_at_once(world: World, watchers: Watchers) -> None:
    """Two watches of one job, and a second job: one read, each job once."""
    asked: list[list[str]] = []
    get_many = world.store.get_many
    looked = threading.Semaphore(0)

    def counting(job_ids: list[str]) -> object:
        asked.append(list(job_ids))
        looked.release()
        return get_many(job_ids)

    one, other = submit(world), submit(world)
    watches = [watchers.watch(one), watchers.watch(other)]
    world.store.get_many = counting  # type: ignore[method-assign, assignment]
    for _ in range(3):
        assert looked.acquire(timeout=5)
    assert all(sorted(ids) == sorted([one, other]) for ids in asked)
    del watches


def test_no_more_than_the_limit_watch(world: World, watchers: Watchers) -> None:
    job_id = submit(world)
    watches = [watchers.watch(job_id), watchers.watch(job_id)]
    with pytest.raises(TooManyStreams, match="MAX_STREAMS"):
        watchers.watch(job_id)
    watches.pop().close()
    watches.append(watchers.watch(job_id))
    assert watchers.watching == 2


def test_closing_twice_frees_one_place(world: World, watchers: Watchers) -> None:
    job_id = submit(world)
    first, _second = watchers.watch(job_id), watchers.watch(job_id)
    first.close()
    first.close()
    assert watchers.watching == 1


def test_a_watch_that_nobody_holds_takes_no_place(world: World, watchers: Watchers) -> None:
    watchers.watch(submit(world))
    gc.collect()
    assert watchers.watching == 0


def test_what_cannot_be_watched_takes_no_place(world: World, watchers: Watchers) -> None:
    with pytest.raises(JobNotFound):
        watchers.watch("0-" + "0" * 32)
    world.store.away = {"watch"}
    with pytest.raises(StoreUnavailable):
        watchers.watch(submit(world))
    assert watchers.watching == 0


def test_watching_outlives_a_store_that_is_away(world: World, watchers: Watchers) -> None:
    eye = Eye(watchers.watch(submit(world)))
    world.store.away = {"get_many"}
    world.run()
    world.store.away = set()
    eye.until(JobState.SUCCEEDED)


def test_watching_outlives_a_listener_that_fails(world: World, watchers: Watchers) -> None:
    broken, watch = watchers.watch(submit(world)), watchers.watch(submit(world))
    broken.on_change(lambda: None)
    broken._wake = lambda: 1 / 0
    eye = Eye(watch)
    world.run()
    broken.close()
    eye.until(JobState.SUCCEEDED)


def test_a_final_job_takes_no_place(world: World) -> None:
    job_id = submit(world)
    world.run()
    watch = world.service.watch(job_id, "")
    assert watch.job is not None
    assert watch.job.state is JobState.SUCCEEDED
    assert world.service.watchers.watching == 0
    watch.close()


def test_another_owners_job_is_unknown(world: World) -> None:
    with pytest.raises(JobNotFound):
        world.service.watch(submit(world), "user:1")


def test_a_job_goes_only_forward_also_when_it_is_redriven(world: World) -> None:
    job_id = submit(world, rows=4)
    seen = [reached(world.store.get(job_id))]
    first, _second = world.claim()
    seen.append(reached(world.store.get(job_id)))
    world.finish(world.outcome(first, "digits"))
    seen.append(reached(world.store.get(job_id)))
    world.store.recover("digits", "n1:1", Loss.CHILD)
    world.bury()
    seen.append(reached(world.store.get(job_id)))
    assert world.store.get(job_id).state is JobState.FAILED
    world.service.backlog.redrive(job_id, "")
    seen.append(reached(world.store.get(job_id)))
    world.claim()
    seen.append(reached(world.store.get(job_id)))
    world.store.cancel(job_id)
    seen.append(reached(world.store.get(job_id)))
    assert seen == sorted(set(seen))


def test_a_dead_letter_that_is_cancelled_before_it_runs_has_gone_forward(world: World) -> None:
    job_id = submit(world)
    world.bury()
    seen = [reached(world.store.get(job_id))]
    world.store.redrive(job_id)
    seen.append(reached(world.store.get(job_id)))
    world.store.cancel(job_id)
    seen.append(reached(world.store.get(job_id)))
    assert seen == sorted(set(seen))
