"""A Redis that is full, refuses to write, or has lost something."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import redis

from predict_worker.core.errors import JobNotFound, PredictionError, QueueFull, StoreUnavailable
from predict_worker.core.hooks import EVENTS, Attempt, DeliveryState, Verdict
from predict_worker.core.job import Hook, Job, JobState
from predict_worker.core.ports import Accepted, JobStore, Loss, ModelEntry
from predict_worker.store.redis import RedisJobStore
from tests.contract.backends import REDIS_SERVERS, RedisBackend, ready_child
from tests.contract.conftest import Open
from tests.contract.scene import (
    CHILD,
    MODEL,
    WIDE,
    answered,
    claim,
    claim_one,
    eventually,
    finish,
    ids,
    lane,
    let_pass,
    listening,
    new_job,
    roomier,
    state,
    step,
    submit,
)

pytestmark = pytest.mark.parametrize("redis_client", list(REDIS_SERVERS) or ["redis"], indirect=True)
LARGE = b"x" * 20_000


@contextmanager
def configured(backend: RedisBackend, name: str, value: int, normally: int = 0) -> Iterator[None]:
    backend.client.config_set(name, value)
    try:
        yield
    finally:
        backend.client.config_set(name, normally)


@pytest.fixture
def fill(backend: RedisBackend) -> Iterator[Callable[[], object]]:
    """From then on Redis holds more than it may."""
    yield lambda: backend.client.config_set("maxmemory", 1)
    backend.client.config_set("maxmemory", 0)


def forget(backend: RedisBackend, kind: str) -> None:
    backend.client.delete(*backend.client.scan_iter(f"{backend.prefix}:*:{kind}:*"))


# ---------------------------------------------------------------- full


@pytest.mark.parametrize("size", [10, 20_000])
def test_full_redis_is_drained(store: JobStore, fill: Callable[[], object], size: int) -> None:
    jobs = [submit(store, payload=b"i" * size) for _ in range(3)]
    fill()
    first, *others = claim(store)
    finish(store, answered(first, b"o" * size), *(answered(entry, b"p" * size) for entry in others))
    assert [store.result(job_id)[1] for job_id in jobs] == [(b"o" * size,), (b"p" * size,), (b"p" * size,)]


def test_large_outputs_among_small_ones_find_their_jobs_in_a_full_redis(
    store: JobStore, fill: Callable[[], object]
) -> None:
    jobs = [submit(store) for _ in range(4)]
    entries = claim(store)
    fill()
    payloads = [b"a", LARGE, b"b", LARGE[::-1]]
    finish(store, *(answered(entry, payload) for entry, payload in zip(entries, payloads, strict=True)))
    assert [store.result(job_id)[1] for job_id in jobs] == [(payload,) for payload in payloads]


def test_what_is_told_of_jobs_is_made_and_delivered_in_a_full_redis(
    store: JobStore, fill: Callable[[], object]
) -> None:
    hook = Hook("jobs", "https://a.test/", "a", EVENTS)
    jobs = [submit(store, hooks=(hook,)) for _ in range(3)]
    first = claim_one(store)
    fill()
    token = step(store, answered(first), limits=None).hooks_wakeup
    assert token is not None
    store.cancel(jobs[1])
    store.purge(MODEL)
    store.delete(jobs[2])
    due = store.claim_deliveries(token, 10, 10, {}, 60.0).deliveries
    assert sorted(one.event for one in due) == ["cancelled", "succeeded"]
    store.attempted(due[0], Attempt(500, "no", 1), Verdict(DeliveryState.PENDING), b"{}")
    store.attempted(due[1], Attempt(200, "", 1), Verdict(DeliveryState.DELIVERED), b"{}")
    (again,) = store.claim_deliveries(token, 10, 10, {}, 60.0).deliveries
    assert (again.id, again.number) == (due[0].id, 2)


def test_a_redis_that_forgets_its_scripts_is_told_them_again(store: JobStore, backend: RedisBackend) -> None:
    backend.client.script_flush()
    assert store.due_wakeups() == ()
    assert store.claim_deliveries("0-1", 1, 1, {}, 60.0).deliveries == ()


def test_full_redis_refuses_submits_and_keeps_nothing_of_them(
    store: JobStore, backend: RedisBackend, fill: Callable[[], object]
) -> None:
    fill()
    for size in (1, 20_000):
        with pytest.raises(QueueFull):
            submit(store, payload=b"x" * size)
    assert not list(backend.client.scan_iter(f"{backend.prefix}:*:in:*"))
    assert claim(store) == ()


def test_full_redis_refuses_each_of_a_group(
    store: JobStore, backend: RedisBackend, fill: Callable[[], object]
) -> None:
    """Also after one that was refused for another reason, whose inputs go."""
    store.submit(new_job(idempotency_key="k", fingerprint="f"))
    conflicting = new_job(b"x" * 20_000, idempotency_key="k", fingerprint="g")
    before = claim(store)
    fill()
    answers = store.submit_many([conflicting, new_job(), new_job(b"x" * 20_000), new_job()])
    assert [type(answer).__name__ for answer in answers] == ["IdempotencyConflict"] + ["QueueFull"] * 3
    finish(store, *map(answered, before))
    assert claim(store) == ()
    assert store.stats(MODEL).running == 0


@pytest.mark.parametrize("loss", Loss)
def test_full_redis_recovers_what_a_consumer_held(
    store: JobStore, backend: RedisBackend, fill: Callable[[], object], loss: Loss
) -> None:
    job_id = submit(store)
    claim_one(store)
    forget(backend, "slots")
    forget(backend, "ready")
    fill()
    assert store.recover(MODEL, CHILD, loss) == 1
    assert ids(claim(store)) == [job_id]


def test_full_redis_renews_leases(open_store: Open, fill: Callable[[], object]) -> None:
    store = open_store(roomier(lease_s=0.2))
    submit(store)
    entry = claim_one(store)
    fill()
    store.renew(lane(), [entry])


def test_full_redis_is_swept(store: JobStore, backend: RedisBackend, fill: Callable[[], object]) -> None:
    submit(store)
    forget(backend, "slots")
    fill()
    assert store.sweep(MODEL).wakeups


def test_jobs_in_a_full_redis_are_waited_for_cancelled_and_deleted(
    store: JobStore, fill: Callable[[], object]
) -> None:
    watched, cancelled, deleted = submit(store), submit(store), submit(store)
    fill()
    assert store.watch(watched, "channel").state is JobState.QUEUED
    store.cancel(cancelled)
    store.delete(deleted)
    finish(store, answered(claim_one(store)))
    store.delivered([watched])
    assert store.result(watched)[1] == (b"out",)


def test_node_that_sweeps_goes_on_in_a_full_redis(backend: RedisBackend, fill: Callable[[], object]) -> None:
    catalogue = backend.catalogue()
    assert catalogue.sweeping("this", ttl_s=60)
    fill()
    assert catalogue.sweeping("this", ttl_s=60)
    assert not catalogue.sweeping("other", ttl_s=60)


# ---------------------------------------------------------------- refuses


def test_redis_that_must_not_write_is_unavailable(store: JobStore, backend: RedisBackend) -> None:
    """As when it fails over."""
    submit(store)
    backend.client.replicaof("127.0.0.1", 1)
    try:
        unavailable(store, backend)
    finally:
        backend.client.replicaof("NO", "ONE")


def test_redis_without_enough_replicas_is_unavailable(store: JobStore, backend: RedisBackend) -> None:
    submit(store)
    with configured(backend, "min-replicas-to-write", 1):
        unavailable(store, backend)


def unavailable(store: JobStore, backend: RedisBackend) -> None:
    for size in (1, 20_000):
        with pytest.raises(StoreUnavailable):
            submit(store, payload=b"x" * size)
    with pytest.raises(StoreUnavailable):
        claim(store)
    with pytest.raises(StoreUnavailable):
        store.sweep(MODEL)
    with pytest.raises(StoreUnavailable):
        backend.catalogue().beat_node("node", 1)


def test_redis_busy_with_another_script_is_unavailable(store: JobStore, backend: RedisBackend) -> None:
    def spin() -> None:
        with pytest.raises(redis.ResponseError):
            backend.client.eval("while true do end", 0)

    spinning = threading.Thread(target=spin)
    with configured(backend, "lua-time-limit", 1, normally=5000):
        spinning.start()
        try:
            eventually(lambda: refused(store.ping))
            with pytest.raises(StoreUnavailable):
                submit(store)
        finally:
            backend.client.script_kill()
            spinning.join()


def refused(call: Callable[[], None]) -> bool:
    try:
        call()
    except StoreUnavailable:
        return True
    return False


@pytest.mark.parametrize("part", ["models", "specs", "workers"])
@pytest.mark.parametrize("record", ["{", "{}", '{"until_us": 4000000000000000, "models": []}'])
def test_record_of_another_release_hides_no_other(backend: RedisBackend, part: str, record: str) -> None:
    catalogue = backend.catalogue()
    catalogue.beat(ready_child(MODEL, "a"), ttl_s=60)
    catalogue.publish_models([ModelEntry(MODEL, (1,))])
    backend.client.hset(f"{backend.prefix}:1:catalogue:{part}", "strange", record)
    view = catalogue.read()
    assert [worker.consumer for worker in view.workers] == ["a"]
    assert [model.name for model in view.models] == [MODEL]
    assert view.specs == ()


# ---------------------------------------------------------------- has lost something


def test_outcome_counts_though_redis_has_lost_the_claim(store: JobStore, backend: RedisBackend) -> None:
    """Its last second of writes may go with its power, or with its replica's lag."""
    job_id = submit(store, reply_to="channel")
    entry = claim_one(store)
    (stream,) = backend.client.scan_iter(f"{backend.prefix}:*:queue:{MODEL}:*")
    (job,) = backend.client.scan_iter(f"{backend.prefix}:*:job:{job_id}")
    (counters,) = backend.client.scan_iter(f"{backend.prefix}:*:model:{MODEL}")
    backend.client.xgroup_destroy(stream, "workers")
    backend.client.hincrby(counters, "claimed", -1)
    backend.client.hdel(job, "started", "attempts")
    backend.client.hset(job, "state", "queued")
    with listening(store, "channel") as mailbox:
        finish(store, answered(entry))
        ((finished,),) = mailbox.wait()
    assert finished.end is not None
    assert store.result(job_id)[1] == (b"out",)
    assert claim(store) == ()
    assert store.stats(MODEL).running == 0
    assert store.submit(new_job()).job.queue_position == 0


def test_outcome_that_lost_its_outputs_on_the_way_is_computed_again(
    open_store: Open, backend: RedisBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(roomier(lease_s=0.05))
    assert isinstance(store, RedisJobStore)
    job_id = submit(store)
    entry = claim_one(store)
    call = store._scripts.call

    def late(*arguments: Any) -> Any:
        forget(backend, "stage")
        return call(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(store._scripts, "call", late)
        finish(store, answered(entry, LARGE))
    assert state(store, job_id) is JobState.RUNNING
    let_pass(store, 0.06)
    assert store.sweep(MODEL).reclaimed == 1
    finish(store, answered(claim_one(store), LARGE))
    assert store.result(job_id)[1] == (LARGE,)


def test_lease_and_outcome_of_what_redis_has_lost_come_to_nothing(
    store: JobStore, backend: RedisBackend
) -> None:
    submit(store)
    entry = claim_one(store)
    backend.client.delete(*backend.client.scan_iter(f"{backend.prefix}:*"))
    store.renew(lane(), [entry])
    finish(store, answered(entry))
    assert store.stats(MODEL).running == 0
    accepted = store.submit(new_job())
    assert ids(store.step(lane(token=accepted.wakeup), (), WIDE).entries) == [accepted.job.id]


def test_submit_that_is_at_odds_with_the_store_harms_no_other(store: JobStore, backend: RedisBackend) -> None:
    """Of its group."""
    backend.client.set(f"{backend.prefix}:1:{{0}}:owned:odd", "no stream")
    first, odd, last = new_job(owner="ann"), new_job(owner="odd"), new_job(owner="bob")
    accepted, failure, accepted_too = store.submit_many([first, odd, last])
    assert isinstance(accepted, Accepted)
    assert isinstance(accepted_too, Accepted)
    assert "WRONGTYPE" in str(failure)
    with pytest.raises(PredictionError, match="WRONGTYPE"):
        store.submit(new_job(owner="odd"))
    assert ids(claim(store)) == [first.id, last.id]
    assert (store.stats(MODEL).waiting, store.stats(MODEL).running) == (0, 2)


def test_submit_sent_again_leaves_the_inputs_for_as_long_as_the_job_waits(
    store: JobStore, backend: RedisBackend
) -> None:
    """As after an answer that was lost with its connection."""
    new = new_job(payload=LARGE)
    store.submit(new)
    assert store.submit(new).replayed
    (inputs,) = backend.client.scan_iter(f"{backend.prefix}:*:in:*")
    assert backend.client.ttl(inputs) == -1


def test_replay_of_a_job_that_is_gone_meanwhile_fails_alone(
    store: RedisJobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = new_job(idempotency_key="k", fingerprint="f")
    store.submit(known)

    def gone(job_id: str) -> Job:
        raise JobNotFound(job_id)

    monkeypatch.setattr(store, "get", gone)
    again, other = new_job(idempotency_key="k", fingerprint="f"), new_job()
    replayed, accepted = store.submit_many([again, other])
    assert isinstance(replayed, JobNotFound)
    assert isinstance(accepted, Accepted)
    with pytest.raises(JobNotFound):
        store.submit(again)
