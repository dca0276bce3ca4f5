"""The executor's loop, against the store in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import pytest

from predict_worker.core.errors import StoreUnavailable
from predict_worker.core.job import JobState, NewJob, RowRange, new_job_id
from predict_worker.core.ports import Claim, ClaimLimits, Entry, Lane, Loss, Outcome
from predict_worker.core.spec import BatchPolicy
from predict_worker.executor import Executor
from predict_worker.store.config import StoreConfig
from predict_worker.store.memory import MemoryJobStore
from predict_worker.store.memory_catalogue import MemoryWakeups

MODEL, CHILD = "digits", "node:1"


class Echo:
    """Answers each entry with its own input; remembers the sizes of its batches."""

    def __init__(
        self, max_rows: int = 4, during: Callable[[], object] = lambda: None, linger_ms: float = 0.0
    ) -> None:
        self.policy = BatchPolicy(max_rows=max_rows, linger_ms=linger_ms)
        self.sizes: list[int] = []
        self._during = during

    def run(self, entries: Sequence[Entry]) -> list[Outcome]:
        self.sizes.append(len(entries))
        self._during()
        return [Outcome(entry, entry.payload) for entry in entries]


class FlakyStore(MemoryJobStore):
    """Fails the steps whose numbers it is told, after or before they took effect."""

    def __init__(self) -> None:
        super().__init__(StoreConfig())
        self.fail_before: set[int] = set()
        self.fail_after: set[int] = set()
        self.steps = 0

    def step(
        self,
        lane: Lane,
        done: Sequence[Outcome],
        limits: ClaimLimits | None,
        entry_ms: float = 0,
        listen_s: float = 0,
    ) -> Claim:
        self.steps += 1
        number = self.steps
        if number in self.fail_before:
            raise StoreUnavailable("before")
        claim = super().step(lane, done, limits, entry_ms, listen_s)
        if number in self.fail_after:
            raise StoreUnavailable("after")
        return claim


class Scene:
    def __init__(self) -> None:
        self.store = FlakyStore()
        self.wakeups = MemoryWakeups()
        self.now = 0.0
        self.draining = False
        self.watched: list[int] = []
        self.executor = Executor(
            self.store,
            self.wakeups,
            CHILD,
            self.watch,
            slice_s=1.0,
            draining=lambda: self.draining,
            monotonic=lambda: self.now,
            pause=self.pause,
        )
        self.pauses: list[float] = []
        self.meanwhile: Callable[[], object] = lambda: None
        self.token = ""

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.meanwhile()

    @contextmanager
    def watch(self, lane: Lane, entries: Sequence[Entry]) -> Iterator[None]:
        self.watched.append(len(entries))
        yield

    def submit(self, count: int) -> list[str]:
        ids = []
        for number in range(count):
            new = NewJob(new_job_id(0), MODEL, (RowRange(0, 1, b"%d" % number),))
            accepted = self.store.submit(new)
            self.token = accepted.wakeup or self.token
            ids.append(new.id)
        return ids

    def states(self, ids: Sequence[str]) -> set[JobState]:
        return {self.store.get(job_id).state for job_id in ids}


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_all_that_waits_is_run_in_batches_and_published(scene: Scene) -> None:
    ids = scene.submit(10)
    model = Echo(max_rows=4)
    scene.executor.serve(MODEL, scene.token, model)
    assert model.sizes == [4, 4, 2]
    assert scene.watched == [4, 4, 2]
    assert [scene.store.result(job_id)[1] for job_id in ids] == [(b"%d" % n,) for n in range(10)]


def test_a_lone_job_is_run_at_once_as_a_batch_of_one(scene: Scene) -> None:
    (job_id,) = scene.submit(1)
    model = Echo()
    scene.executor.serve(MODEL, scene.token, model)
    assert model.sizes == [1]
    assert scene.store.get(job_id).state is JobState.SUCCEEDED


def test_slice_over_gives_way_and_sends_the_next_wakeup(scene: Scene) -> None:
    ids = scene.submit(8)

    def a_second_passes() -> None:
        scene.now += 1.0

    scene.executor.serve(MODEL, scene.token, Echo(max_rows=4, during=a_second_passes))
    assert scene.states(ids[:4]) == {JobState.SUCCEEDED}
    assert scene.states(ids[4:]) == {JobState.QUEUED}
    assert [model for model, _ in scene.wakeups.sent] == [MODEL]


def test_draining_publishes_the_batch_and_claims_no_other(scene: Scene) -> None:
    ids = scene.submit(8)

    def drain() -> None:
        scene.draining = True

    scene.executor.serve(MODEL, scene.token, Echo(max_rows=4, during=drain))
    assert scene.states(ids[:4]) == {JobState.SUCCEEDED}
    assert scene.states(ids[4:]) == {JobState.QUEUED}
    assert scene.wakeups.sent


def test_step_that_failed_before_it_took_effect_is_published_later(scene: Scene) -> None:
    ids = scene.submit(2)
    scene.store.fail_before = {2}  # the step that publishes
    scene.executor.serve(MODEL, scene.token, Echo())
    assert scene.states(ids) == {JobState.SUCCEEDED}


def test_entries_of_a_claim_whose_answer_was_lost_run_again_without_a_strike(scene: Scene) -> None:
    ids = scene.submit(6)
    scene.store.fail_after = {2}  # publishes the first four and claims the last two, but the answer is lost
    scene.executor.serve(MODEL, scene.token, Echo(max_rows=4))
    assert scene.states(ids[:4]) == {JobState.SUCCEEDED}
    (sent,) = scene.wakeups.sent
    scene.executor.serve(MODEL, sent[1], Echo(max_rows=4))
    assert scene.states(ids) == {JobState.SUCCEEDED}
    assert scene.store.get(ids[5]).attempts == 2
    assert scene.store.dead(MODEL).job_ids == ()


def test_wakeup_that_cannot_be_sent_does_not_stop_the_batch(scene: Scene) -> None:
    ids = scene.submit(8)
    scene.wakeups.failing = True

    def a_second_passes() -> None:
        scene.now += 1.0

    scene.executor.serve(MODEL, scene.token, Echo(max_rows=4, during=a_second_passes))
    assert scene.states(ids[:4]) == {JobState.SUCCEEDED}


def test_wakeup_due_after_a_lost_answer_is_sent(scene: Scene) -> None:
    ids = scene.submit(10)
    scene.store.fail_after = {2}  # publishes the first four and claims the next: two still wait
    scene.executor.serve(MODEL, scene.token, Echo(max_rows=4))
    (sent,) = scene.wakeups.sent
    scene.executor.serve(MODEL, sent[1], Echo(max_rows=4))
    assert scene.states(ids) == {JobState.SUCCEEDED}


def test_child_that_can_tell_nobody_goes_on_itself(scene: Scene) -> None:
    """Without a broker nobody else comes; with it full, neither."""
    ids = scene.submit(12)
    scene.wakeups.failing = True

    def a_second_passes() -> None:
        scene.now += 1.0

    scene.executor.serve(MODEL, scene.token, Echo(max_rows=4, during=a_second_passes))
    assert scene.states(ids) == {JobState.SUCCEEDED}


def test_child_that_can_tell_nobody_stops_when_its_node_does(scene: Scene) -> None:
    ids = scene.submit(8)
    scene.wakeups.failing = True

    def drain() -> None:
        scene.draining = True

    scene.executor.serve(MODEL, scene.token, Echo(max_rows=4, during=drain))
    assert scene.states(ids[4:]) == {JobState.QUEUED}
    assert scene.store.sweep(MODEL).wakeups  # the one that was not sent is free


def test_model_that_raises_fails_those_entries_alone_that_make_it_raise(scene: Scene) -> None:
    class Raises(Echo):
        def run(self, entries: Sequence[Entry]) -> list[Outcome]:
            if any(entry.payload == b"2" for entry in entries):
                raise ValueError("unforeseen")
            return super().run(entries)

    ids = scene.submit(4)
    scene.executor.serve(MODEL, scene.token, Raises())
    bad = scene.store.get(ids.pop(2))
    assert bad.state is JobState.FAILED
    assert bad.error is not None
    assert (bad.error.code, bad.error.detail) == ("internal", "ValueError: unforeseen")
    assert scene.states(ids) == {JobState.SUCCEEDED}


def test_store_away_for_too_long_is_given_up(scene: Scene) -> None:
    ids = scene.submit(1)
    scene.store.fail_before = set(range(2, 1000))

    def time_passes() -> float:
        scene.now += 10.0
        return scene.now

    executor = Executor(scene.store, scene.wakeups, CHILD, scene.watch, monotonic=time_passes, slice_s=1e9)
    executor.serve(MODEL, scene.token, Echo())
    assert scene.states(ids) == {JobState.RUNNING}


def test_give_way_claims_nothing_and_wakes_another(scene: Scene) -> None:
    ids = scene.submit(1)
    scene.executor.give_way(MODEL, scene.token)
    assert scene.states(ids) == {JobState.QUEUED}
    assert len(scene.wakeups.sent) == 1


def test_batch_that_is_not_full_waits_for_nobody_by_default(scene: Scene) -> None:
    scene.submit(1)
    scene.executor.serve(MODEL, scene.token, Echo(max_rows=4))
    assert scene.pauses == []


def test_lingering_batch_takes_what_comes_meanwhile_once(scene: Scene) -> None:
    ids = scene.submit(1)
    model = Echo(max_rows=4, linger_ms=20)
    scene.meanwhile = lambda: ids.extend(scene.submit(2))
    scene.executor.serve(MODEL, scene.token, model)
    assert model.sizes == [3]
    assert scene.watched == [3]
    assert scene.pauses == [0.02]
    assert scene.states(ids) == {JobState.SUCCEEDED}


def test_child_that_lingered_for_nothing_is_still_the_one_at_work(scene: Scene) -> None:
    scene.submit(1)
    own = scene.token
    woken: list[bool] = []

    def one_more_comes() -> None:
        if not woken:
            scene.submit(1)
            woken.append(scene.token != own)

    scene.executor.serve(MODEL, own, Echo(linger_ms=20, during=one_more_comes))
    assert woken == [False]


def test_lingering_batch_takes_no_more_rows_than_the_policy_allows(scene: Scene) -> None:
    ids = scene.submit(1)
    model = Echo(max_rows=4, linger_ms=20)

    def six_come() -> None:
        scene.meanwhile = lambda: None
        ids.extend(scene.submit(6))

    scene.meanwhile = six_come
    scene.executor.serve(MODEL, scene.token, model)
    assert model.sizes == [4, 3]
    assert scene.states(ids) == {JobState.SUCCEEDED}


def test_full_batch_does_not_linger(scene: Scene) -> None:
    scene.submit(4)
    scene.executor.serve(MODEL, scene.token, Echo(max_rows=4, linger_ms=20))
    assert scene.pauses == []


def test_child_that_is_told_to_drain_does_not_linger(scene: Scene) -> None:
    ids = scene.submit(1)
    told = iter([False, True, True])
    executor = Executor(
        scene.store,
        scene.wakeups,
        CHILD,
        scene.watch,
        draining=lambda: next(told),
        pause=scene.pause,
    )
    executor.serve(MODEL, scene.token, Echo(linger_ms=20))
    assert scene.states(ids) == {JobState.SUCCEEDED}
    assert scene.pauses == []


def claim_elsewhere(scene: Scene) -> str:
    """A job that another child holds."""
    (job_id,) = scene.submit(1)
    other = Lane(MODEL, "node:2", scene.token)
    assert scene.store.step(other, (), ClaimLimits(1, 1 << 20)).entries
    scene.store.step(other, (), None)
    return job_id


def test_rerun_does_not_linger(scene: Scene) -> None:
    lost = claim_elsewhere(scene)
    scene.store.recover(MODEL, "node:2", Loss.CHILD)
    scene.executor.serve(MODEL, scene.store.sweep(MODEL).wakeups[0], Echo(linger_ms=20))
    assert scene.states([lost]) == {JobState.SUCCEEDED}
    assert scene.pauses == []


def test_rerun_that_comes_while_a_batch_lingers_runs_alone_once_that_is_published(scene: Scene) -> None:
    lost = claim_elsewhere(scene)
    (job_id,) = scene.submit(1)
    states: list[JobState] = []
    model = Echo(linger_ms=20, during=lambda: states.append(scene.store.get(job_id).state))
    scene.meanwhile = lambda: scene.store.recover(MODEL, "node:2", Loss.CHILD)
    scene.executor.serve(MODEL, scene.token, model)
    assert model.sizes == [1, 1]
    assert scene.watched == [2, 1]  # both are leased from the beginning
    assert states == [JobState.RUNNING, JobState.SUCCEEDED]
    assert scene.states([job_id, lost]) == {JobState.SUCCEEDED}
    assert scene.store.get(lost).attempts == 2


def test_store_lost_while_a_batch_lingers_costs_no_job(scene: Scene) -> None:
    ids = scene.submit(1)
    scene.store.fail_after = {2}
    scene.meanwhile = lambda: ids.extend(scene.submit(1))
    scene.executor.serve(MODEL, scene.token, Echo(linger_ms=20))
    for _, token in scene.wakeups.sent:
        scene.executor.serve(MODEL, token, Echo())
    assert scene.states(ids) == {JobState.SUCCEEDED}
