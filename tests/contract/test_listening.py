"""A child that has run out of work listens for a while: a submit rings it instead of issuing a wake-up.

A store need not ring (the one in memory does not): the tests are of those that do.
"""

from __future__ import annotations

import pytest

from predict_worker.core.ports import Heartbeat, JobStore, Lane, Loss, VersionStatus
from predict_worker.store.config import StoreConfig
from tests.contract.backends import REDIS_SERVERS, RedisBackend
from tests.contract.scene import CHILD, MODEL, WIDE, eventually, new_job, submit

pytestmark = pytest.mark.parametrize("redis_client", list(REDIS_SERVERS) or ["redis"], indirect=True)

LISTEN_S = 30.0
OTHER_MODEL = "other"


@pytest.fixture
def store(backend: RedisBackend) -> JobStore:
    opened = backend.open(StoreConfig(sent_retry_s=0.1))
    models = tuple(VersionStatus(name, 1, "AVAILABLE") for name in (MODEL, OTHER_MODEL))
    backend.catalogue().beat(Heartbeat(CHILD, "host", 1, "ready", 0, models), 60)
    return opened


def listening(store: JobStore, listen_s: float = LISTEN_S) -> Lane:
    """A child that has answered a wake-up and found nothing more."""
    token = store.submit(new_job()).wakeup
    assert token
    lane = Lane(MODEL, CHILD, token)
    entries = store.step(lane, (), WIDE).entries
    store.cancel(entries[0].job_id)
    assert store.step(lane, (), WIDE, listen_s=listen_s).listening
    return Lane(MODEL, CHILD, "")


def test_listening_child_is_rung_and_claims_without_a_wakeup(store: JobStore) -> None:
    lane = listening(store)
    accepted = store.submit(new_job())
    assert accepted.wakeup is None
    assert store.listen(lane, LISTEN_S) == MODEL
    assert [entry.job_id for entry in store.step(lane, (), WIDE).entries] == [accepted.job.id]


def test_child_is_rung_for_any_model_it_is_ready_for(store: JobStore) -> None:
    lane = listening(store)
    assert store.submit(new_job(model=OTHER_MODEL)).wakeup is None
    assert store.listen(lane, LISTEN_S) == OTHER_MODEL


def test_child_is_not_rung_for_a_model_it_does_not_have(store: JobStore) -> None:
    listening(store)
    assert store.submit(new_job(model="foreign")).wakeup


def test_child_is_rung_once(store: JobStore) -> None:
    lane = listening(store)
    submit(store)
    assert store.submit(new_job(model=OTHER_MODEL)).wakeup
    assert store.listen(lane, LISTEN_S) == MODEL
    assert store.listen(lane, 0.01) is None


def test_child_that_listens_no_longer_is_not_rung(store: JobStore) -> None:
    lane = listening(store, 0.01)
    assert store.listen(lane, 0.01) is None
    assert store.submit(new_job()).wakeup


def test_child_that_works_is_not_rung(store: JobStore) -> None:
    lane = listening(store)
    submit(store)
    store.listen(lane, LISTEN_S)
    assert store.step(lane, (), WIDE).entries
    assert store.submit(new_job(model=OTHER_MODEL)).wakeup


def test_ring_that_nobody_answers_becomes_a_wakeup(store: JobStore) -> None:
    listening(store)
    submit(store)
    eventually(lambda: bool(store.sweep(MODEL).wakeups))


@pytest.mark.parametrize("lost", [CHILD, "n1:"])
def test_ring_of_a_child_that_died_is_free_at_once(store: JobStore, lost: str) -> None:
    listening(store)
    submit(store)
    assert store.recover(MODEL, lost, Loss.CHILD) == 0
    assert store.sweep(MODEL).wakeups


def test_dead_child_is_not_rung(store: JobStore) -> None:
    listening(store)
    store.recover(MODEL, CHILD, Loss.CHILD)
    assert store.submit(new_job()).wakeup


def test_stale_duplicate_does_not_listen(store: JobStore) -> None:
    token = store.submit(new_job()).wakeup
    assert token
    assert store.step(Lane(MODEL, CHILD, token), (), WIDE).entries
    assert not store.step(Lane(MODEL, "n9:9", "0-99-1"), (), WIDE, listen_s=LISTEN_S).listening
