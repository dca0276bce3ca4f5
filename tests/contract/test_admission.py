"""What is refused at once, and when it is worth coming back."""

from __future__ import annotations

from typing import Any

import pytest

from predict_worker.core.errors import DeadlineUnreachable, QueueFull
from predict_worker.core.job import Priority
from predict_worker.core.ports import JobStore
from predict_worker.store.config import StoreConfig
from tests.contract.backends import Backend
from tests.contract.scene import (
    MODEL,
    ONE,
    answered,
    finish,
    gone,
    lane,
    new_job,
    submit,
)


def measured(backend: Backend, entry_ms: float, children: int = 1, **config: Any) -> JobStore:
    """A store where an entry is known to take so long."""
    store = backend.open(StoreConfig(**config))
    backend.set_ready(MODEL, children)
    store.step(lane(), (), None, entry_ms=entry_ms)
    return store


def refused(store: JobStore, **fields: Any) -> QueueFull:
    new = new_job(**fields)
    with pytest.raises(QueueFull) as caught:
        store.submit(new)
    assert gone(store, new.id)
    return caught.value


# ---------------------------------------------------------------- deadlines


def test_deadline_that_the_work_ahead_outlasts_is_refused(backend: Backend) -> None:
    store = measured(backend, entry_ms=2000)
    for _ in range(3):
        submit(store)
    refusal = refused(store, deadline_s=4.5, payload=b"x" * 20_000)
    assert isinstance(refusal, DeadlineUnreachable)
    assert refusal.code == "deadline_unreachable"
    assert "1.5 s longer" in refusal.detail
    assert refusal.retry_after_s == pytest.approx(1.5)
    submit(store, deadline_s=6.5)
    assert store.stats(MODEL).waiting == 4


def test_children_share_the_work_ahead(backend: Backend) -> None:
    store = measured(backend, entry_ms=2000, children=4)
    for _ in range(4):
        submit(store)
    submit(store, deadline_s=2.1)
    assert refused(store, deadline_s=1.0).retry_after_s == pytest.approx(1.5)


def test_what_nobody_has_measured_is_not_refused(backend: Backend) -> None:
    store = backend.open(StoreConfig())
    for _ in range(100):
        submit(store, deadline_s=0.01)


def test_less_urgent_work_is_not_ahead(backend: Backend) -> None:
    store = measured(backend, entry_ms=2000)
    for priority in Priority:
        submit(store, priority=priority)
    submit(store, priority=Priority.HIGH, deadline_s=3)
    assert isinstance(refused(store, priority=Priority.NORMAL, deadline_s=3), DeadlineUnreachable)
    assert "5.0 s" in refused(store, priority=Priority.LOW, deadline_s=3).detail


def test_claimed_work_is_not_ahead(backend: Backend) -> None:
    store = measured(backend, entry_ms=2000)
    token = store.submit(new_job()).wakeup
    (entry,) = store.step(lane(token=token), (), ONE).entries
    submit(store, deadline_s=0.5)
    finish(store, answered(entry))


def test_another_model_is_not_ahead(backend: Backend) -> None:
    store = measured(backend, entry_ms=2000)
    submit(store)
    submit(store, model="other", deadline_s=0.5)


# ---------------------------------------------------------------- bounds


def test_full_queue_says_when_a_tenth_of_it_is_done(backend: Backend) -> None:
    store = measured(backend, entry_ms=4000, children=2)
    for _ in range(20):
        submit(store)
    refusal = refused(store, queue_max_jobs=20)
    assert type(refusal) is QueueFull
    assert refusal.retry_after_s == pytest.approx(20 * 4 / 2 / 10)


def test_full_store_says_when_a_tenth_of_all_is_done(backend: Backend) -> None:
    store = measured(backend, entry_ms=4000, children=2, queue_max_jobs=20)
    for number in range(20):
        submit(store, model=MODEL if number % 2 else "other")
    assert refused(store).retry_after_s == pytest.approx(20 * 4 / 2 / 10)


def test_nobody_is_told_to_come_back_within_a_second(backend: Backend) -> None:
    store = measured(backend, entry_ms=1)
    submit(store)
    assert refused(store, queue_max_jobs=1).retry_after_s == 1.0


def test_full_queue_of_which_nothing_is_measured_says_a_second(backend: Backend) -> None:
    store = backend.open(StoreConfig())
    submit(store)
    assert refused(store, queue_max_jobs=1).retry_after_s == 1.0
