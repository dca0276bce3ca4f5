"""What only the store in Redis can show: children it counts, keys it leaves."""

from __future__ import annotations

from dataclasses import replace

import pytest

from predict_worker.core.errors import QueueFull
from predict_worker.core.hooks import EVENTS, Attempt, DeliveryState, Verdict
from predict_worker.core.job import Hook, JobState, NewJob, new_job_id
from predict_worker.core.ports import Accepted, JobStore, Loss
from predict_worker.store.config import GROUP_BYTES, GROUP_JOBS, StoreConfig
from predict_worker.store.redis import RedisJobStore
from tests.contract.backends import REDIS_SERVERS, RedisBackend, ready_child
from tests.contract.conftest import Open
from tests.contract.scene import (
    CHILD,
    MODEL,
    OTHER_CHILD,
    UNKNOWN_ID,
    WIDE,
    answered,
    claim,
    claim_one,
    eventually,
    failed,
    finish,
    ids,
    lane,
    let_pass,
    new_job,
    roomier,
    submit,
)

pytestmark = pytest.mark.parametrize("redis_client", list(REDIS_SERVERS) or ["redis"], indirect=True)
LARGE = b"x" * 20_000


def test_only_ready_heartbeats_with_the_model_available_count(backend: RedisBackend) -> None:
    store, catalogue = backend.open(StoreConfig()), backend.catalogue()
    catalogue.beat(ready_child(MODEL, "a"), ttl_s=60)
    catalogue.beat(ready_child(MODEL, "b", state="draining"), ttl_s=60)
    catalogue.beat(ready_child(MODEL, "c", version_state="LOADING"), ttl_s=60)
    catalogue.beat(ready_child("other", "d"), ttl_s=60)
    catalogue.beat(ready_child(MODEL, "e"), ttl_s=0.02)
    eventually(lambda: store.stats(MODEL).ready_children == 1)
    catalogue.beat(ready_child(MODEL, "a", state="draining"), ttl_s=60)
    assert store.stats(MODEL).ready_children == 0


def test_child_that_no_longer_has_the_model_does_not_count(backend: RedisBackend) -> None:
    store, catalogue = backend.open(StoreConfig()), backend.catalogue()
    catalogue.beat(ready_child(MODEL, "a"), ttl_s=60)
    catalogue.beat(replace(ready_child(MODEL, "a"), models=()), ttl_s=60)
    assert store.stats(MODEL).ready_children == 0


def test_child_that_left_does_not_count(backend: RedisBackend) -> None:
    store, catalogue = backend.open(StoreConfig()), backend.catalogue()
    catalogue.beat(ready_child(MODEL, "a"), ttl_s=60)
    catalogue.leave("a")
    assert store.stats(MODEL).ready_children == 0


def test_buckets_are_one_store(backend: RedisBackend) -> None:
    store = RedisJobStore(backend.client, StoreConfig(), backend.prefix, buckets=3)
    jobs = [store.submit(replace(new_job(payload=LARGE), id=new_job_id(bucket))) for bucket in (2, 0)]
    assert store.stats(MODEL).waiting == 2
    for accepted in jobs:
        held = lane(token=accepted.wakeup)
        (entry,) = store.step(held, (), WIDE).entries
        assert store.recover(MODEL, CHILD, Loss.HANDBACK) == 1
        (token,) = store.sweep(MODEL).wakeups
        (entry,) = store.step(lane(token=token), (), WIDE).entries
        store.step(lane(token=token), [answered(entry, LARGE)], WIDE, entry_ms=4)
        assert store.stats(MODEL).entry_ms == 4
        assert store.result(accepted.job.id)[1] == (LARGE,)
    found = store.get_many([accepted.job.id for accepted in jobs])
    assert [job and job.state for job in found] == [JobState.SUCCEEDED] * 2


def test_what_is_told_of_jobs_in_several_buckets_is_one_list(backend: RedisBackend) -> None:
    store = RedisJobStore(backend.client, StoreConfig(), backend.prefix, buckets=3)
    hook = Hook("jobs", "https://a.test/", "a", EVENTS)
    jobs = [replace(new_job(hooks=(hook,)), id=new_job_id(bucket)) for bucket in (2, 0)]
    for new in jobs:
        store.submit(new)
        store.cancel(new.id)
    tokens = store.due_wakeups()
    due = [one for token in tokens for one in store.claim_deliveries(token, 9, 9, {}, 60.0).deliveries]
    assert sorted(one.id for one in due) == sorted(f"{new.id}-1" for new in jobs)
    page = store.deliveries(None, 1)
    listed = (*page.deliveries, *store.deliveries(None, 1, page.cursor).deliveries)
    assert [delivery.job_id for delivery in listed] == [new.id for new in reversed(jobs)]
    for one in due:
        store.attempted(one, Attempt(200, "", 1), Verdict(DeliveryState.DELIVERED), b"{}")
        assert store.delivery(one.id).state is DeliveryState.DELIVERED


# ---------------------------------------------------------------- nothing is left behind


def data_keys(backend: RedisBackend) -> dict[str, bool]:
    """Kinds of keys that hold jobs or their data, and whether all of a kind have a lifetime."""
    kinds: dict[str, bool] = {}
    for name in backend.client.scan_iter(f"{backend.prefix}:*"):
        kind = name.decode().split(":")[3]
        if kind in ("job", "in", "out", "stage", "once", "deadlines", "suspects"):
            kinds[kind] = kinds.get(kind, True) and backend.client.ttl(name) >= 0
    return kinds


def inputs(backend: RedisBackend) -> int:
    return sum(1 for _ in backend.client.scan_iter(f"{backend.prefix}:*:in:*"))


def end_by(store: JobStore, end: str) -> None:
    """A job of four large ranges, one answered and two claimed, comes to this end."""
    deadline_s = 1.0 if end == "expired" else 60.0
    job_id = submit(store, payload=LARGE, ranges=(1,) * 4, deadline_s=deadline_s, idempotency_key="k")
    finish(store, answered(claim_one(store), LARGE))
    first, second = claim_one(store), claim_one(store, OTHER_CHILD)
    if end in ("succeeded", "failed", "deleted when done"):
        outcomes = [answered(first, LARGE), answered(claim_one(store), LARGE)]
        finish(store, *outcomes, failed(second) if end == "failed" else answered(second, LARGE))
    if end == "expired":
        let_pass(store, 1.1)
    if end == "buried":
        for _ in range(3):
            store.recover(MODEL, CHILD, Loss.CHILD)
            claim(store)
    if end == "cancelled after a loss":
        store.recover(MODEL, CHILD, Loss.NODE)
    if end.startswith("cancelled"):
        store.cancel(job_id)
    if end.startswith("deleted"):
        store.delete(job_id)
    finish(store, answered(first, LARGE))
    finish(store, answered(second, LARGE), consumer=OTHER_CHILD)


@pytest.mark.parametrize(
    ("end", "kept"),
    [
        ("succeeded", {"job", "once", "out"}),
        ("failed", {"job", "once"}),
        ("expired", {"job", "once"}),
        ("buried", {"job", "once", "in", "out"}),
        ("cancelled", {"job", "once"}),
        ("cancelled after a loss", {"job", "once"}),
        ("deleted", set()),
        ("deleted when done", set()),
    ],
)
def test_what_a_finished_job_leaves_has_a_lifetime(
    store: JobStore, backend: RedisBackend, end: str, kept: set[str]
) -> None:
    end_by(store, end)
    assert data_keys(backend) == dict.fromkeys(kept, True)
    assert claim(store) == ()


def test_inputs_of_a_job_that_is_not_over_have_no_lifetime(store: JobStore, backend: RedisBackend) -> None:
    """However long it waits; before the submit was accepted they had one."""
    submit(store, payload=LARGE)
    assert data_keys(backend) == {"job": False, "in": False}


@pytest.mark.parametrize("payload", [b"small", LARGE])
def test_outputs_of_a_job_that_is_not_over_have_no_lifetime(
    store: JobStore, backend: RedisBackend, payload: bytes
) -> None:
    submit(store, ranges=(1, 1))
    finish(store, answered(claim_one(store), payload))
    assert data_keys(backend) == {"job": False, "out": False}


def test_inputs_of_a_dead_letter_live_as_long_as_its_record(open_store: Open, backend: RedisBackend) -> None:
    store = open_store(roomier(record_ttl_s=2.0, max_strikes=1))
    submit(store, payload=LARGE, ranges=(1, 1))
    submit(store, payload=b"small")
    for _ in range(2):
        claim_one(store)
        store.recover(MODEL, CHILD, Loss.CHILD)
    assert inputs(backend) == 3
    assert data_keys(backend) == {"job": True, "in": True}
    eventually(lambda: inputs(backend) == 0)


def test_refused_submit_leaves_no_keys(store: JobStore, backend: RedisBackend) -> None:
    before = set(backend.client.scan_iter(f"{backend.prefix}:*"))
    with pytest.raises(QueueFull):
        submit(store, payload=LARGE, ranges=(1, 1), queue_max_jobs=1, idempotency_key="k")
    assert set(backend.client.scan_iter(f"{backend.prefix}:*")) == before


def test_replayed_submit_leaves_no_inputs(store: JobStore, backend: RedisBackend) -> None:
    submit(store, payload=LARGE, idempotency_key="k", fingerprint="f")
    submit(store, payload=LARGE, idempotency_key="k", fingerprint="f")
    assert inputs(backend) == 1


def test_lost_consumers_are_forgotten_by_the_streams(store: JobStore, backend: RedisBackend) -> None:
    submit(store)
    claim_one(store)
    store.recover(MODEL, CHILD, Loss.NODE)
    (stream,) = backend.client.scan_iter(f"{backend.prefix}:*:queue:{MODEL}:*")
    assert [c["name"] for c in backend.client.xinfo_consumers(stream, "workers")] == [b"suspects"]


def test_entry_that_no_submit_wrote_is_dropped(store: JobStore, backend: RedisBackend) -> None:
    job_id = submit(store)
    (stream,) = backend.client.scan_iter(f"{backend.prefix}:*:queue:{MODEL}:*")
    backend.client.xadd(stream, {"some": "thing"})
    backend.client.xadd(stream, {"j": UNKNOWN_ID, "k": 0, "n": "many", "b": 1, "h": "[]"})
    after = submit(store)
    assert ids(claim(store)) == [job_id, after]


def test_scripts_forgotten_by_the_server_are_sent_again(store: JobStore, backend: RedisBackend) -> None:
    job_id = submit(store, payload=LARGE)
    backend.client.script_flush()
    entry = claim_one(store)
    backend.client.script_flush()
    finish(store, answered(entry, LARGE))
    backend.client.script_flush()
    assert store.result(job_id)[1] == (LARGE,)


def test_submits_of_a_bucket_share_a_script_but_for_many_or_large_ones(backend: RedisBackend) -> None:
    store = RedisJobStore(backend.client, StoreConfig(), backend.prefix, buckets=2)
    small, large = [b"x"] * (2 * GROUP_JOBS + 1), [b"x" * 16_000] * (GROUP_BYTES // 16_000 + 1)
    assert scripts_run(backend, store, [new_job(payload) for payload in small]) == 3
    assert scripts_run(backend, store, [new_job(payload) for payload in large]) == 2
    assert scripts_run(backend, store, [replace(new_job(), id=new_job_id(at % 2)) for at in range(6)]) == 2
    assert scripts_run(backend, store, [new_job(LARGE, ranges=(1,) * 50), new_job()]) == 2
    assert store.stats(MODEL).waiting == len(small) + len(large) + 6 + 51


def scripts_run(backend: RedisBackend, store: RedisJobStore, jobs: list[NewJob]) -> int:
    store.submit(new_job(model="other"))
    backend.client.config_resetstat()
    assert all(isinstance(answer, Accepted) for answer in store.submit_many(jobs))
    return int(backend.client.info("commandstats")["cmdstat_evalsha"]["calls"])
