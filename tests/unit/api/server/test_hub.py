"""A hub: many requests on one thread, none of which holds up the others while it waits."""

from __future__ import annotations

import asyncio
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextvars import ContextVar, copy_context
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any

import pytest
from greenlet import getcurrent

from api.server.hub import BESIDE, IDLE, Hub, HubInbox
from predict_worker.catalogue import Catalogue
from predict_worker.core.inbox import ThreadInbox, apart, inbox
from predict_worker.core.job import NewJob, RowRange, new_job_id
from predict_worker.core.ports import Accepted, CatalogueView
from predict_worker.core.spec import ModelRef
from predict_worker.intake import Intake
from predict_worker.store.config import StoreConfig
from predict_worker.waiting import Waiters
from tests.unit.world import CatalogueAtHand, Store, World

LONG_S = 10.0


@pytest.fixture
def hub() -> Iterator[Hub]:
    loop, made = asyncio.new_event_loop(), SimpleQueue[Hub]()
    loop.call_soon(lambda: made.put(Hub(loop)))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield made.get(timeout=LONG_S)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(LONG_S)
    loop.close()


def begin(hub: Hub, request: Callable[[], None]) -> None:
    hub.loop.call_soon_threadsafe(hub.run, request)


def ask(hub: Hub, *requests: Callable[[], Any]) -> list[Any]:
    """What each of them returns or raises; all run on the hub."""
    told: SimpleQueue[tuple[int, Any]] = SimpleQueue()

    def told_by(number: int, request: Callable[[], Any]) -> Callable[[], None]:
        def run() -> None:
            try:
                told.put((number, request()))
            except Exception as failure:
                told.put((number, failure))

        return run

    for number, request in enumerate(requests):
        begin(hub, told_by(number, request))
    return [answer for _, answer in sorted(told.get(timeout=LONG_S) for _ in requests)]


def wake_all(waiting: SimpleQueue[Any], requests: int) -> None:
    for number, mine in enumerate([waiting.get(timeout=LONG_S) for _ in range(requests)]):
        mine.put(number)  # when all wait: none of them may need another's end


def test_requests_that_wait_share_one_thread(hub: Hub) -> None:
    waiting: SimpleQueue[Any] = SimpleQueue()

    def request() -> tuple[int, Any]:
        mine = inbox()
        waiting.put(mine)
        return threading.get_ident(), mine.get(timeout=LONG_S)

    waker = threading.Thread(target=wake_all, args=(waiting, 50))
    waker.start()
    answers = ask(hub, *[request] * 50)
    waker.join()
    assert len({thread for thread, _ in answers}) == 1
    assert sorted(message for _, message in answers) == list(range(50))


def test_messages_come_in_their_order_also_those_from_before(hub: Hub) -> None:
    def request() -> list[int]:
        mine = inbox()
        for number in range(3):
            mine.put(number)
        return [mine.get(timeout=LONG_S) for _ in range(3)]

    assert ask(hub, request) == [[0, 1, 2]]


def test_a_wait_ends_in_time(hub: Hub) -> None:
    def request() -> float:
        began = time.monotonic()
        with pytest.raises(Empty):
            inbox().get(timeout=0.1)
        return time.monotonic() - began

    (took,) = ask(hub, request)
    assert took >= 0.1


def test_what_blocks_runs_apart(hub: Hub) -> None:
    may_end = threading.Event()

    def blocked() -> int:
        return apart(lambda: may_end.wait(LONG_S) and threading.get_ident())

    def other() -> int:
        may_end.set()
        return threading.get_ident()

    where, here = ask(hub, blocked, other)
    assert where not in (False, here)


def test_what_fails_apart_fails_here(hub: Hub) -> None:
    def fails() -> None:
        raise KeyError("apart")

    (failure,) = ask(hub, lambda: apart(fails))
    assert repr(failure) == "KeyError('apart')"


def test_a_request_that_fails_is_alone_with_it(hub: Hub, caplog: pytest.LogCaptureFixture) -> None:
    def fails() -> None:
        raise KeyError("here")

    begin(hub, fails)
    assert ask(hub, lambda: "goes on") == ["goes on"]
    assert "KeyError: 'here'" in caplog.text


def test_a_request_knows_nothing_of_the_one_before_it(hub: Hub) -> None:
    known: ContextVar[int] = ContextVar("known")

    def sets() -> tuple[Any, bool]:
        known.set(1)
        return getcurrent(), known in copy_context()

    def looks() -> tuple[Any, bool]:
        return getcurrent(), known in copy_context()

    (first, has_it), (second, sees_it) = ask(hub, sets)[0], ask(hub, looks)[0]
    assert first is second
    assert (has_it, sees_it) == (True, False)


def test_nothing_is_kept_of_a_request_that_has_ended(hub: Hub) -> None:
    class Inputs:
        pass

    inputs = Inputs()
    seen = weakref.ref(inputs)
    ask(hub, partial(id, inputs))
    del inputs
    ask(hub, lambda: None)  # which the hub does once it is done with the first
    assert seen() is None


def test_greenlets_are_kept_for_later_within_a_bound(hub: Hub) -> None:
    waiting: SimpleQueue[Any] = SimpleQueue()

    def request() -> Any:
        mine = inbox()
        waiting.put(mine)
        return mine.get(timeout=LONG_S), getcurrent()

    for _ in range(2):
        waker = threading.Thread(target=wake_all, args=(waiting, IDLE + 5))
        waker.start()
        served_by = {served for _, served in ask(hub, *[request] * (IDLE + 5))}
        waker.join()
        assert len(served_by) == IDLE + 5
    assert len(hub._idle) == IDLE


def test_errands_wait_for_nothing_that_runs_apart(hub: Hub) -> None:
    may_end = threading.Event()

    def wait() -> None:
        may_end.wait(LONG_S)

    for _ in range(BESIDE):
        begin(hub, lambda: apart(wait))

    def request() -> Any:
        mine = inbox()
        mine.lead(lambda: mine.put("led"))
        return mine.get(timeout=LONG_S)

    answer = ask(hub, request)
    may_end.set()
    assert answer == ["led"]


def test_a_broker_that_does_not_answer_holds_up_no_submit(hub: Hub) -> None:
    store, may_answer = Store(StoreConfig(queue_max_jobs=100)), threading.Event()

    def publish(_: Accepted) -> None:
        may_answer.wait(LONG_S)

    intake = Intake(store, publish)

    def request() -> str:
        new = NewJob(new_job_id(0), "digits", (RowRange(0, 1, b"x"),))
        return intake.submit(new).job.id

    first, second = ask(hub, request), ask(hub, request)
    may_answer.set()
    assert first != second


class SlowCatalogue(CatalogueAtHand):
    def __init__(self) -> None:
        super().__init__()
        self.asked, self.may_answer = threading.Event(), threading.Event()

    def read(self) -> CatalogueView:
        self.asked.set()
        assert self.may_answer.wait(LONG_S)
        return super().read()


def test_a_reading_under_way_is_waited_for_by_many(hub: Hub) -> None:
    store = SlowCatalogue()
    known = World().catalogue_store
    store.publish_models(known.read().models)
    store.publish_specs(known.read().specs)
    catalogue = Catalogue(store)

    def request() -> int:
        return catalogue.resolve(ModelRef("digits")).version

    def let_go() -> int:
        assert store.asked.wait(LONG_S)
        store.may_answer.set()
        return 0

    assert ask(hub, request, request, let_go) == [1, 1, 0]


def test_submits_gather_and_their_results_come_back(hub: Hub) -> None:
    store = Store(StoreConfig(queue_max_jobs=100))
    waiters = Waiters(store, limit=40, recheck_s=60)
    stored: SimpleQueue[str] = SimpleQueue()
    intake = Intake(store, lambda accepted: stored.put(accepted.job.id))
    cancelled: set[str] = set()

    def request() -> tuple[str, bool]:
        place = waiters.place()
        assert place is not None
        with place:
            new = NewJob(new_job_id(0), "digits", (RowRange(0, 1, b"x"),), reply_to=place.reply_to)
            place.expect(new.id)
            accepted, finished = intake.submit_and_wait(new, place, LONG_S)
            return accepted.job.id, finished is not None and finished.job_id == new.id

    def cancel_all() -> None:
        job_ids = [stored.get(timeout=LONG_S) for _ in range(40)]
        for job_id in job_ids:
            store.cancel(job_id)
        cancelled.update(job_ids)

    canceller = threading.Thread(target=cancel_all)
    canceller.start()
    answers = ask(hub, *[request] * 40)
    canceller.join()
    waiters.close()
    assert {job_id for job_id, _ in answers} == cancelled
    assert all(ended for _, ended in answers)
    assert waiters.waiting == 0


def test_what_else_runs_in_the_loops_thread_is_none_of_its_requests(hub: Hub) -> None:
    kinds: SimpleQueue[Any] = SimpleQueue()
    ask(hub, lambda: kinds.put(type(inbox())))
    hub.loop.call_soon_threadsafe(lambda: kinds.put(type(inbox())))
    assert [kinds.get(timeout=LONG_S) for _ in range(2)] == [HubInbox, ThreadInbox]
