"""What a hooks worker does with what is due: on a store in memory, with a receiver that is a function."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

import numpy as np
import pytest
from standardwebhooks import Webhook

from predict_worker.codec import pack
from predict_worker.core.errors import StoreUnavailable
from predict_worker.core.hooks import EVENTS, JOBS, Claimed, DeliveryState
from predict_worker.core.job import Hook, JobError
from predict_worker.store.config import StoreConfig
from predict_worker.store.memory import MemoryJobStore
from predict_worker.store.memory_catalogue import MemoryWakeups
from predict_worker.webhooks.deliverer import THREADS, WIDTH, Deliverer, Manners
from predict_worker.webhooks.endpoints import Endpoints
from predict_worker.webhooks.guard import Guard
from predict_worker.webhooks.knocker import Knocker
from predict_worker.webhooks.post import PostFailed, Reply
from predict_worker.webhooks.url import Url
from tests.contract.scene import MODEL, answered, claim_one, eventually, failed, finish, lane, submit

GUARD = Guard.allowing("a.test")


class Receivers:
    """Answers by host; notes what came."""

    def __init__(self) -> None:
        self.posts: list[tuple[Url, Mapping[str, str], bytes]] = []
        self.answer: Callable[[Url], Reply] = lambda _: Reply(200)

    def post(
        self, url: Url, headers: Mapping[str, str], body: bytes, guard: Guard, timeout_s: float
    ) -> Reply:
        self.posts.append((url, headers, body))
        return self.answer(url)


@pytest.fixture
def store() -> MemoryJobStore:
    made = MemoryJobStore(StoreConfig(spread_ms=0.001))
    made.ready_children[MODEL] = 100
    made.step(lane(), (), None, entry_ms=1000)
    return made


@pytest.fixture
def receivers() -> Receivers:
    return Receivers()


@pytest.fixture
def deliverer(store: MemoryJobStore, receivers: Receivers) -> Iterator[Deliverer]:
    made = Deliverer(store, Manners(GUARD, 5.0, (0.0, 3600.0), "https://p.test/"), receivers.post)
    yield made
    made.stop(5.0)


@pytest.fixture
def endpoints(store: MemoryJobStore) -> Endpoints:
    return Endpoints(store, GUARD)


def told(store: MemoryJobStore, host: str = "a.test", endpoint_id: str = JOBS, payload: bytes = b"") -> str:
    """A job that has succeeded, with one hook; returns its delivery's id."""
    url = f"https://{host}/hook" if endpoint_id == JOBS else ""
    hook = Hook(endpoint_id, url, f"ann {host}:443", EVENTS)
    job_id = submit(store, owner="ann", hooks=(hook,))
    finish(store, answered(claim_one(store), payload or pack({"y": np.ones((1, 2), np.float32)})))
    return f"{job_id}-1"


def once(store: MemoryJobStore, deliverer: Deliverer) -> None:
    """One attempt of each that is due."""
    for due in store.claim_deliveries("0-9", 100, 100, {}, 60).deliveries:
        deliverer.deliver(due)


def test_a_wake_up_delivers_all_that_is_due(
    store: MemoryJobStore, deliverer: Deliverer, receivers: Receivers, endpoints: Endpoints
) -> None:
    ids = [told(store) for _ in range(WIDTH * 3)]
    deliverer.wake("0-1")
    eventually(lambda: all(store.delivery(i).state is DeliveryState.DELIVERED for i in ids))
    assert sorted(headers["webhook-id"] for _, headers, _ in receivers.posts) == sorted(ids)
    url, headers, body = receivers.posts[0]
    assert (url.host, headers["Content-Type"]) == ("a.test", "application/json")
    event = Webhook(endpoints.of_jobs("ann").secrets[0].text).verify(body, dict(headers))
    assert (event["type"], event["data"]["outputs"]) == ("job.succeeded", {"y": [[1.0, 1.0]]})
    assert event["data"]["urls"]["result"].startswith("https://p.test/api/jobs/0-")


def test_every_attempt_sends_the_same_body(
    store: MemoryJobStore, deliverer: Deliverer, receivers: Receivers
) -> None:
    receivers.answer = lambda _: Reply(500)
    delivery_id = told(store)
    once(store, deliverer)
    once(store, deliverer)
    first, second = (body for _, _, body in receivers.posts)
    assert first == second
    delivery = store.delivery(delivery_id)
    assert [(a.status, a.error) for a in delivery.attempts] == [(500, "status 500")] * 2
    assert delivery.state is DeliveryState.PENDING


def test_what_does_not_come_through_is_told_in_the_log(
    store: MemoryJobStore, deliverer: Deliverer, receivers: Receivers
) -> None:
    def answer(_: Url) -> Reply:
        raise PostFailed("no answer within 5 s")

    receivers.answer = answer
    delivery_id = told(store)
    once(store, deliverer)
    (attempt,) = store.delivery(delivery_id).attempts
    assert (attempt.status, attempt.error) == (None, "no answer within 5 s")


def test_a_slow_receiver_has_its_own_bound(
    store: MemoryJobStore, deliverer: Deliverer, receivers: Receivers
) -> None:
    release = threading.Event()

    def answer(url: Url) -> Reply:
        if url.host == "slow.test":
            release.wait(10)
        return Reply(200)

    receivers.answer = answer
    slow = [told(store, "slow.test") for _ in range(THREADS + 5)]
    deliverer.wake("0-1")
    eventually(lambda: len(receivers.posts) == WIDTH)
    quick = told(store)
    # The loop is at it: no further wake-up is needed.
    eventually(lambda: store.delivery(quick).state is DeliveryState.DELIVERED)
    assert len(receivers.posts) == WIDTH + 1
    release.set()
    eventually(lambda: all(store.delivery(i).state is DeliveryState.DELIVERED for i in slow))


def test_gone_disables_an_endpoint_and_what_waits_for_it_fails(
    store: MemoryJobStore, deliverer: Deliverer, receivers: Receivers, endpoints: Endpoints
) -> None:
    receivers.answer = lambda _: Reply(410)
    endpoint = endpoints.add("ann", "https://a.test/all")
    first = told(store, endpoint_id=endpoint.id)
    once(store, deliverer)
    second = told(store, endpoint_id=endpoint.id)
    once(store, deliverer)
    assert len(receivers.posts) == 1
    assert "410" in endpoints.find(endpoint.id, "ann").disabled
    assert [store.delivery(i).state for i in (first, second)] == [DeliveryState.FAILED] * 2
    assert "disabled" in store.delivery(second).attempts[0].error
    # Enabled again, what failed can be replayed: its body was kept.
    receivers.answer = lambda _: Reply(200)
    endpoints.enable(endpoint.id, "ann")
    store.replay(second)
    once(store, deliverer)
    assert store.delivery(second).state is DeliveryState.DELIVERED
    assert json.loads(receivers.posts[-1][2])["data"]["outputs"] == {"y": [[1.0, 1.0]]}


def test_gone_from_the_url_of_a_job_ends_that_delivery_alone(
    store: MemoryJobStore, deliverer: Deliverer, receivers: Receivers, endpoints: Endpoints
) -> None:
    receivers.answer = lambda _: Reply(410)
    delivery_id = told(store)
    once(store, deliverer)
    assert store.delivery(delivery_id).state is DeliveryState.FAILED
    assert endpoints.of_jobs("ann").disabled == ""


def test_a_removed_endpoint_gets_nothing(
    store: MemoryJobStore, deliverer: Deliverer, receivers: Receivers, endpoints: Endpoints
) -> None:
    endpoint = endpoints.add("ann", "https://a.test/all")
    delivery_id = told(store, endpoint_id=endpoint.id)
    endpoints.remove(endpoint.id, "ann")
    once(store, deliverer)
    assert receivers.posts == []
    assert "removed" in store.delivery(delivery_id).attempts[0].error


@pytest.mark.parametrize("rows", [3_000, 30_000])
def test_long_outputs_and_errors_leave_a_short_body(
    store: MemoryJobStore, deliverer: Deliverer, receivers: Receivers, rows: int
) -> None:
    told(store, payload=pack({"y": np.ones((rows, 2), np.float32)}))
    job_id = submit(store, owner="ann", hooks=(Hook(JOBS, "https://a.test/", "ann a", EVENTS),))
    finish(store, failed(claim_one(store), JobError("broken", "Broken", "x" * 50_000)))
    once(store, deliverer)
    events = [json.loads(body) for _, _, body in receivers.posts]
    assert all(len(body) <= 20_000 for _, _, body in receivers.posts)
    assert [event["data"]["outputs"] for event in events] == [None, None]
    assert (events[1]["data"]["id"], events[1]["data"]["error"]["detail"]) == (job_id, "x" * 1000)


def test_a_log_that_cannot_be_written_means_another_attempt(
    store: MemoryJobStore, deliverer: Deliverer, receivers: Receivers, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any) -> None:
        raise StoreUnavailable("away")

    delivery_id = told(store)
    with monkeypatch.context() as patched:
        patched.setattr(store, "attempted", away)
        deliverer.wake("0-1")
        eventually(lambda: len(receivers.posts) == 1)
        eventually(lambda: not deliverer._busy)
    assert store.delivery(delivery_id).state is DeliveryState.PENDING


def test_what_is_due_is_told_by_the_knocker(store: MemoryJobStore) -> None:
    wakeups = MemoryWakeups()
    knocker = Knocker(store, wakeups)
    knocker.look()
    assert wakeups.sent_hooks == []
    told(store)
    store.claim_deliveries("0-1", 1, 1, {}, 0.0)
    store.claim_deliveries("0-2", 0, 0, {}, 0.0)
    store._deliverers.clear()
    knocker.look()
    knocker.look()
    assert len(wakeups.sent_hooks) == 1
    wakeups.failing = True
    store._deliverers.clear()
    knocker.look()  # the broker is away: the next look says so again


def test_a_knocker_runs_until_it_is_stopped(store: MemoryJobStore) -> None:
    wakeups = MemoryWakeups()
    knocker = Knocker(store, wakeups)
    knocker.start()
    told(store)
    store._deliverers.clear()
    eventually(lambda: bool(wakeups.sent_hooks))
    knocker.stop()


def test_every_bucket_of_the_store_has_its_turn(receivers: Receivers) -> None:
    """One that always has more to do holds up no other."""

    class Busy(MemoryJobStore):
        claims: ClassVar[list[str]] = []

        def claim_deliveries(self, token: str, *_: Any, **__: Any) -> Claimed:
            self.claims.append(token)
            return Claimed((), more=token.startswith("0-"))

    store = Busy(StoreConfig())
    deliverer = Deliverer(store, Manners(GUARD, 5.0, ()), receivers.post)
    deliverer.wake("0-1")
    eventually(lambda: "0-1" in store.claims)
    deliverer.wake("0-2")
    deliverer.wake("1-1")
    eventually(lambda: "1-1" in store.claims)
    eventually(lambda: len(store.claims) >= 4)
    assert len(deliverer._tokens) <= 1
    deliverer.stop(5.0)
