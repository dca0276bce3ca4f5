"""Waiting places: the right answer or none, whatever is lost, and nothing left behind."""

from __future__ import annotations

import ast
import os
import threading
from collections.abc import Iterator
from queue import Empty

import pytest

from predict_worker.core.errors import StoreUnavailable
from predict_worker.core.job import JobState, NewJob, RowRange, new_job_id
from predict_worker.core.ports import Accepted, Finished, Outcome
from predict_worker.waiting import Place, Waiters
from tests.unit.world import World


@pytest.fixture
def world() -> Iterator[World]:
    world = World(waiters=2)
    yield world
    world.close()


def submit(world: World, place: Place, job_id: str) -> Accepted:
    new = NewJob(job_id, "digits", (RowRange(0, 1, b"rows"),), reply_to=place.reply_to)
    accepted = world.store.submit(new)
    if accepted.wakeup:
        world.wakeups.send("digits", accepted.wakeup)
    return accepted


def run_raw(world: World) -> None:
    entries = world.claim()
    assert entries
    world.finish(*(Outcome(entry, payload=b"out") for entry in entries))


def place_of(waiters: Waiters) -> Place:
    place = waiters.place()
    assert place is not None
    return place


def test_a_waiter_gets_the_result_from_the_message(world: World) -> None:
    with place_of(world.waiters) as place:
        place.expect(job_id := new_job_id(0))
        submit(world, place, job_id)
        worker = threading.Thread(target=run_raw, args=(world,))
        worker.start()
        finished = place.wait(5)
        worker.join(5)
    assert finished is not None
    assert finished.end is not None
    assert (finished.job_id, finished.end.state, finished.payload) == (job_id, JobState.SUCCEEDED, b"out")
    assert "get_many" not in world.store.calls


def test_a_result_before_the_waiter_listens_is_not_missed(world: World) -> None:
    with place_of(world.waiters) as place:
        place.expect(job_id := new_job_id(0))
        submit(world, place, job_id)
        run_raw(world)
        finished = place.wait(5)
    assert finished is not None
    assert finished.payload == b"out"


def test_rechecks_go_on_after_what_nobody_foresaw() -> None:
    world = World()
    waiters = Waiters(world.store, 1, recheck_s=0.01)
    world.store.loses_messages = True

    def fail() -> None:
        raise ValueError("unforeseen")

    try:
        with place_of(waiters) as place:
            place.expect(job_id := new_job_id(0))
            submit(world, place, job_id)
            world.store.after["get_many"] = fail
            place.waiting = True
            while "get_many" in world.store.after:
                assert place.wait(0.01) is None
            run_raw(world)
            assert place.wait(5) == Finished(job_id)
    finally:
        waiters.close()
        world.close()


def test_a_lost_message_is_made_good_by_the_recheck(world: World) -> None:
    world.store.loses_messages = True
    with place_of(world.waiters) as place:
        place.expect(job_id := new_job_id(0))
        submit(world, place, job_id)
        run_raw(world)
        assert place.wait(0) is None
        world.waiters.recheck()
        assert place.wait(5) == Finished(job_id)


def test_a_deleted_job_ends_the_wait(world: World) -> None:
    world.store.loses_messages = True
    with place_of(world.waiters) as place:
        place.expect(job_id := new_job_id(0))
        submit(world, place, job_id)
        assert place.wait(0) is None
        world.store.delete(job_id)
        world.waiters.recheck()
        assert place.wait(5) == Finished(job_id)


def test_a_job_not_yet_submitted_is_not_taken_for_deleted(world: World) -> None:
    with place_of(world.waiters) as place:
        place.expect(new_job_id(0))
        world.waiters.recheck()
        assert place.wait(0) is None


def test_time_up_is_none_and_leaves_nothing_behind(world: World) -> None:
    with place_of(world.waiters) as place:
        place.expect(job_id := new_job_id(0))
        submit(world, place, job_id)
        assert place.wait(0.01) is None
    assert world.waiters.waiting == 0
    world.waiters.recheck()
    assert "get_many" not in world.store.calls
    run_raw(world)  # its message finds nobody


def test_an_error_while_waiting_frees_the_place(world: World) -> None:
    def fail() -> None:
        with place_of(world.waiters) as place:
            place.expect(new_job_id(0))
            raise StoreUnavailable

    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            fail()
    assert world.waiters.waiting == 0


def test_places_are_bounded_and_free_again_after_use(world: World) -> None:
    first, second = place_of(world.waiters), place_of(world.waiters)
    assert world.waiters.place() is None
    with first:
        pass
    third = place_of(world.waiters)
    assert world.waiters.place() is None
    for place in (second, third):
        with place:
            pass


def test_a_limit_of_zero_lets_nobody_wait_and_opens_no_channel(world: World) -> None:
    closed = Waiters(world.store, 0)
    assert closed.place() is None
    assert closed.waiting == 0


def test_all_waiters_of_one_job_get_its_result(world: World) -> None:
    job_id = new_job_id(0)
    with place_of(world.waiters) as first, place_of(world.waiters) as second:
        first.expect(job_id)
        second.expect(job_id)
        submit(world, first, job_id)
        run_raw(world)
        result = first.wait(5)
        first.yield_turn()
        assert second.wait(5) == result


def test_waiters_go_one_after_another(world: World) -> None:
    first_id, second_id = new_job_id(0), new_job_id(0)
    with place_of(world.waiters) as second:
        second.expect(second_id)
        with place_of(world.waiters) as first:
            first.expect(first_id)
            world.waiters._deliver([Finished(first_id, payload=b"1"), Finished(second_id, payload=b"2")])
            assert first.wait(5) == Finished(first_id, payload=b"1")
            with pytest.raises(Empty):  # woken now, it would only wait for the interpreter
                second.inbox.get(timeout=0)
        assert second.wait(5) == Finished(second_id, payload=b"2")


def test_a_waiter_that_leaves_without_its_result_holds_up_nobody(world: World) -> None:
    ids = [new_job_id(0) for _ in range(3)]
    with place_of(world.waiters) as last:
        last.expect(ids[2])
        with place_of(world.waiters) as first:
            first.expect(ids[0])
            world.waiters._deliver([Finished(job_id, payload=b"out") for job_id in ids])
        assert last.wait(5) == Finished(ids[2], payload=b"out")
    assert world.waiters._turn is None


def test_whoever_must_ask_the_store_holds_up_nobody(world: World) -> None:
    first_id, second_id = new_job_id(0), new_job_id(0)
    with place_of(world.waiters) as first, place_of(world.waiters) as second:
        first.expect(first_id)
        second.expect(second_id)
        world.waiters._deliver([Finished(first_id), Finished(second_id)])
        assert first.wait(5) == Finished(first_id)
        assert second.wait(5) == Finished(second_id)


def test_waiters_of_a_process_share_one_channel(world: World) -> None:
    with place_of(world.waiters) as first, place_of(world.waiters) as second:
        assert first.reply_to == second.reply_to
    assert Waiters(world.store, 1).channel != world.waiters.channel


def test_all_waiting_jobs_are_rechecked_by_one_read(world: World) -> None:
    with place_of(world.waiters) as first, place_of(world.waiters) as second:
        for place in (first, second):
            place.expect(job_id := new_job_id(0))
            submit(world, place, job_id)
            assert place.wait(0) is None
        world.waiters.recheck()
    assert world.store.calls.count("get_many") == 1


def test_delivered_results_are_told_to_the_store_together(world: World) -> None:
    for job_id in ("0-a", "0-b"):
        world.waiters.delivered(job_id)
    world.waiters.recheck()
    world.waiters.recheck()
    assert world.store.calls == ["delivered"]


def test_the_thread_rechecks_by_itself_and_outlives_a_store_that_is_away() -> None:
    world = World()
    asked = threading.Semaphore(0)

    class Asked(type(world.store)):  # type: ignore[misc]
        def get_many(self, job_ids: list[str]) -> list[object]:
            asked.release()
            raise StoreUnavailable

    world.store.__class__ = Asked
    waiters = Waiters(world.store, 1, recheck_s=0.01)
    with place_of(waiters) as place:
        place.expect(job_id := new_job_id(0))
        submit(world, place, job_id)
        assert place.wait(0) is None
        assert all(asked.acquire(timeout=5) for _ in range(3))
    waiters.close()


def test_a_closed_line_opens_again_for_the_next_waiter(world: World) -> None:
    with place_of(world.waiters):
        pass
    world.waiters.close()
    with place_of(world.waiters) as place:
        place.expect(job_id := new_job_id(0))
        submit(world, place, job_id)
        run_raw(world)
        assert place.wait(5) is not None


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_begins_anew(world: World) -> None:
    with place_of(world.waiters), place_of(world.waiters):
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            begun = [world.waiters.waiting == 0, world.waiters.place() is not None, world.waiters.channel]
            os.write(write, repr(begun).encode())
            os._exit(0)
        os.waitpid(child, 0)
        unused, admits, channel = ast.literal_eval(os.read(read, 200).decode())
    assert (unused, admits) == (True, True)
    assert channel != world.waiters.channel
