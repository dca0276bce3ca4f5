"""What is told of a job's end: made in the transition that ends it, delivered until it is over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from predict_worker.core.errors import DeliveryNotFound, InvalidRequest, QueueFull
from predict_worker.core.hooks import (
    EVENTS,
    JOBS,
    Attempt,
    Claimed,
    Delivery,
    DeliveryState,
    Due,
    Endpoint,
    Secret,
    Verdict,
)
from predict_worker.core.job import Hook, JobState
from predict_worker.core.ports import JobStore, Loss
from tests.contract.conftest import Open
from tests.contract.scene import (
    MODEL,
    answered,
    claim_one,
    eventually,
    failed,
    finish,
    let_pass,
    new_job,
    roomier,
    step,
    submit,
)

LEASE_S = 30.0
SOON = 0.5
OK, BAD = Attempt(200, "", 5), Attempt(500, "status 500", 7)
DELIVERED = Verdict(DeliveryState.DELIVERED)
FAILED = Verdict(DeliveryState.FAILED)
AT_ONCE, LATER = Verdict(DeliveryState.PENDING), Verdict(DeliveryState.PENDING, retry_in_s=3600)


def hook(host: str = "a.test", events: Sequence[str] = EVENTS, endpoint: str = JOBS) -> Hook:
    return Hook(endpoint, f"https://{host}/hook", f"ann {host}:443", tuple(events))


def hooked(store: JobStore, *hooks: Hook, **fields: object) -> str:
    return submit(store, hooks=hooks or (hook(),), owner="ann", **fields)


def ended(store: JobStore, *hooks: Hook) -> str:
    job_id = hooked(store, *hooks)
    finish(store, answered(claim_one(store)))
    return job_id


def claimed(store: JobStore, limit: int = 10, width: int = 10, **busy: int) -> Claimed:
    return store.claim_deliveries("0-1", limit, width, busy, LEASE_S)


def due(store: JobStore) -> Due:
    (only,) = claimed(store).deliveries
    return only


def only(store: JobStore) -> Delivery:
    (delivery,) = store.deliveries(None).deliveries
    return delivery


def cancel(store: JobStore, job_id: str) -> None:
    store.cancel(job_id)


def succeed(store: JobStore, job_id: str) -> None:
    finish(store, answered(claim_one(store)))


def fail(store: JobStore, job_id: str) -> None:
    finish(store, failed(claim_one(store)))


def give_up(store: JobStore, job_id: str) -> None:
    finish(store, replace(failed(claim_one(store)), given_up=True))


def die(store: JobStore, job_id: str) -> None:
    for _ in range(3):
        claim_one(store)
        store.recover(MODEL, "n1:1", Loss.CHILD)


def purge(store: JobStore, job_id: str) -> None:
    store.purge(MODEL)


def expire_by_sweep(store: JobStore, job_id: str) -> None:
    let_pass(store, SOON)
    store.sweep(MODEL)


def expire_by_reader(store: JobStore, job_id: str) -> None:
    let_pass(store, SOON)
    store.get(job_id)


def expire_by_claim(store: JobStore, job_id: str) -> None:
    let_pass(store, SOON)
    step(store)


def expire_late_answer(store: JobStore, job_id: str) -> None:
    entry = claim_one(store)
    let_pass(store, SOON)
    finish(store, answered(entry))


ENDS: Sequence[tuple[Callable[[JobStore, str], None], JobState]] = [
    (succeed, JobState.SUCCEEDED),
    (fail, JobState.FAILED),
    (give_up, JobState.FAILED),
    (die, JobState.FAILED),
    (cancel, JobState.CANCELLED),
    (purge, JobState.CANCELLED),
    (expire_by_sweep, JobState.EXPIRED),
    (expire_by_reader, JobState.EXPIRED),
    (expire_by_claim, JobState.EXPIRED),
    (expire_late_answer, JobState.EXPIRED),
]


@pytest.mark.parametrize(("end", "state"), ENDS, ids=lambda value: getattr(value, "__name__", None))
def test_whoever_ends_a_job_makes_its_delivery_due(
    store: JobStore, end: Callable[[JobStore, str], None], state: JobState
) -> None:
    job_id = hooked(store, **({"deadline_s": SOON} if state is JobState.EXPIRED else {}))
    assert claimed(store).deliveries == ()
    end(store, job_id)
    told = due(store)
    assert (told.id, told.event, told.owner, told.number) == (f"{job_id}-1", state.value, "ann", 1)
    assert (told.url, told.endpoint_id, told.receiver) == ("https://a.test/hook", JOBS, "ann a.test:443")
    assert told.job is not None
    assert replace(told.job, queue_position=None) == replace(store.get(job_id), queue_position=None)
    assert claimed(store).deliveries == ()


def test_a_job_of_several_ranges_is_told_of_once(store: JobStore) -> None:
    hooked(store, ranges=(1, 1))
    first, second = claim_one(store), claim_one(store)
    finish(store, answered(first))
    assert claimed(store).deliveries == ()
    finish(store, answered(second))
    told = due(store)
    assert told.job is not None
    assert store.outputs(told.job.id, 2, 100) == (b"out", b"out")
    assert store.outputs(told.job.id, 2, 5) is None
    assert store.outputs(told.job.id, 3, 100) is None


def test_only_the_ends_that_are_asked_for_are_told(store: JobStore) -> None:
    ended(store, hook(events=["failed", "expired"]), hook("b.test", ["succeeded"]))
    assert due(store).receiver == "ann b.test:443"


def test_a_job_without_hooks_is_told_to_nobody(store: JobStore) -> None:
    submit(store)
    assert step(store, answered(claim_one(store)), limits=None).hooks_wakeup is None
    assert store.deliveries(None).deliveries == ()
    assert store.due_wakeups() == ()


def test_the_step_that_ends_a_job_says_whom_to_wake_once(store: JobStore) -> None:
    hooked(store)
    hooked(store)
    first, second = claim_one(store), claim_one(store)
    token = step(store, answered(first), limits=None).hooks_wakeup
    assert token is not None
    assert step(store, answered(second), limits=None).hooks_wakeup is None
    assert len(store.claim_deliveries(token, 10, 10, {}, LEASE_S).deliveries) == 2
    assert store.claim_deliveries(token, 10, 10, {}, LEASE_S) == Claimed()
    ended(store)
    hooked(store)
    assert store.due_wakeups() == ()  # the step of the former has issued one


def test_a_released_token_makes_room_for_the_next(store: JobStore) -> None:
    hooked(store)
    token = step(store, answered(claim_one(store)), limits=None).hooks_wakeup
    assert token is not None
    store.attempted(store.claim_deliveries(token, 10, 10, {}, LEASE_S).deliveries[0], OK, DELIVERED, b"{}")
    assert store.claim_deliveries(token, 10, 10, {}, LEASE_S) == Claimed()
    hooked(store)
    assert step(store, answered(claim_one(store)), limits=None).hooks_wakeup is not None


def test_what_is_due_and_told_to_nobody_is_found(store: JobStore) -> None:
    store.cancel(hooked(store))
    (token,) = store.due_wakeups()
    assert store.due_wakeups() == ()
    assert store.claim_deliveries(token, 10, 10, {}, LEASE_S).deliveries
    assert store.due_wakeups() == ()


def test_what_is_late_is_worth_more_workers_but_not_any_number(store: JobStore) -> None:
    store.cancel(hooked(store))
    let_pass(store, 1.1)
    tokens = [token for _ in range(12) for token in store.due_wakeups()]
    assert len(set(tokens)) == len(tokens) == 8


def test_a_delivery_that_came_through_is_over(store: JobStore) -> None:
    ended(store)
    store.attempted(due(store), OK, DELIVERED, b"{}")
    assert claimed(store).deliveries == ()
    delivery = only(store)
    assert (delivery.state, delivery.due_at) == (DeliveryState.DELIVERED, None)
    (attempt,) = delivery.attempts
    assert attempt.at is not None
    assert replace(attempt, at=None) == OK


def test_one_that_failed_is_due_again_with_the_same_body(store: JobStore) -> None:
    ended(store)
    store.attempted(due(store), BAD, AT_ONCE, b'{"a": 1}')
    again = due(store)
    assert (again.number, again.job, again.body) == (2, None, b'{"a": 1}')
    store.attempted(again, BAD, LATER, b'{"a": 1}')
    assert claimed(store) == Claimed()
    delivery = only(store)
    assert delivery.state is DeliveryState.PENDING
    assert delivery.due_at is not None
    assert 3500 < (delivery.due_at - delivery.created_at).total_seconds() < 3700
    assert [attempt.status for attempt in delivery.attempts] == [500, 500]


def test_what_nobody_reports_is_due_again_when_its_lease_lapses(store: JobStore) -> None:
    ended(store)
    first = store.claim_deliveries("0-1", 1, 1, {}, 0.05).deliveries[0]
    eventually(lambda: bool(claimed(store).deliveries))
    # The first was slow, not dead: its failure counts no more.
    store.attempted(first, BAD, FAILED, b"{}")
    assert only(store).state is DeliveryState.PENDING
    # What came through did.
    store.attempted(first, OK, DELIVERED, b"{}")
    assert only(store).state is DeliveryState.DELIVERED


def test_a_receiver_has_so_many_at_once_and_holds_up_no_other(store: JobStore) -> None:
    for host in ("slow.test",) * 5 + ("quick.test",):
        ended(store, hook(host))
    got = claimed(store, width=2)
    assert sorted(d.receiver for d in got.deliveries) == [
        "ann quick.test:443",
        "ann slow.test:443",
        "ann slow.test:443",
    ]
    assert got.more
    busy = store.claim_deliveries("0-1", 10, 2, {"ann slow.test:443": 2}, LEASE_S)
    assert busy == Claimed((), more=True)
    assert len(store.claim_deliveries("0-1", 10, 2, {"ann slow.test:443": 1}, LEASE_S).deliveries) == 1


def test_no_more_are_claimed_than_the_limit(store: JobStore) -> None:
    for host in ("a.test", "b.test", "c.test"):
        ended(store, hook(host))
    got = claimed(store, limit=2)
    assert (len(got.deliveries), got.more) == (2, True)
    assert len(claimed(store).deliveries) == 1


def test_a_receiver_that_asks_for_a_pause_gets_none_of_its_deliveries(store: JobStore) -> None:
    ended(store)
    store.attempted(due(store), BAD, replace(AT_ONCE, hold_s=1.0), b"{}")
    ended(store)
    ended(store, hook("b.test"))
    assert due(store).receiver == "ann b.test:443"
    eventually(lambda: len(claimed(store).deliveries) == 2)


def test_a_replay_is_due_at_once_with_its_history(store: JobStore) -> None:
    job_id = ended(store)
    store.attempted(due(store), BAD, FAILED, b'{"a": 1}')
    store.replay(f"{job_id}-1")
    again = due(store)
    assert (again.id, again.number, again.body) == (f"{job_id}-1", 1, b'{"a": 1}')
    store.attempted(again, OK, DELIVERED, b'{"a": 1}')
    assert [attempt.status for attempt in only(store).attempts] == [500, 200]


def test_a_replay_of_what_is_pending_is_not_two(store: JobStore) -> None:
    job_id = ended(store)
    store.attempted(due(store), BAD, LATER, b"{}")
    store.replay(f"{job_id}-1")
    store.attempted(due(store), OK, DELIVERED, b"{}")
    assert claimed(store) == Claimed()


@pytest.mark.parametrize("delivery_id", ["", "x", f"0-{'0' * 32}-1", f"0-{'0' * 32}", f"9-{'0' * 32}-1"])
def test_an_unknown_delivery(store: JobStore, delivery_id: str) -> None:
    with pytest.raises(DeliveryNotFound):
        store.delivery(delivery_id)
    with pytest.raises(DeliveryNotFound):
        store.replay(delivery_id)


def test_a_redriven_job_is_told_of_again_under_another_id(store: JobStore) -> None:
    job_id = hooked(store)
    give_up(store, job_id)
    store.redrive(job_id)
    succeed(store, job_id)
    told = claimed(store).deliveries
    assert [(d.id, d.event) for d in told] == [(f"{job_id}-1", "failed"), (f"{job_id}-2", "succeeded")]
    assert told[0].job is not None  # as it was then
    assert told[0].job.state is JobState.FAILED


def test_a_deleted_job_is_told_to_nobody(store: JobStore) -> None:
    job_id = ended(store)
    claim = due(store)
    store.delete(job_id)
    store.attempted(claim, BAD, AT_ONCE, b"{}")
    assert claimed(store) == Claimed()
    assert store.deliveries(None).deliveries == ()
    store.delete(ended(store))
    assert claimed(store).deliveries == ()


def test_more_than_may_be_pending_are_refused(open_store: Open) -> None:
    store = open_store(roomier(max_deliveries=2))
    first, second = ended(store), ended(store)
    with pytest.raises(QueueFull, match="webhooks"):
        hooked(store)
    submit(store)  # without
    for told in claimed(store).deliveries:
        store.attempted(told, OK, DELIVERED, b"{}")
    hooked(store)
    assert [d.job_id for d in store.deliveries(None).deliveries] == [second, first]


def test_what_is_over_is_kept_for_as_long_as_a_record(open_store: Open) -> None:
    store = open_store(roomier(record_ttl_s=0.3, result_ttl_s=0.1))
    ended(store)
    store.attempted(due(store), BAD, AT_ONCE, b"{}")
    pending = due(store)
    let_pass(store, 0.4)
    assert only(store).state is DeliveryState.PENDING
    store.attempted(pending, OK, DELIVERED, b"{}")
    eventually(lambda: store.deliveries(None).deliveries == ())
    with pytest.raises(DeliveryNotFound):
        store.replay(pending.id)


def test_the_newest_attempts_are_kept(store: JobStore) -> None:
    ended(store)
    for number in range(52):
        store.attempted(due(store), Attempt(500, str(number), 1), AT_ONCE, b"{}")
    assert [a.error for a in only(store).attempts] == [str(n) for n in range(2, 52)]


def test_deliveries_are_listed_by_owner_and_job_page_by_page(store: JobStore) -> None:
    mine = [ended(store) for _ in range(3)]
    other = submit(store, hooks=(hook(),), owner="bob")
    store.cancel(other)

    def listed(owner: str | None, **fields: object) -> list[str]:
        return [d.job_id for d in store.deliveries(owner, **fields).deliveries]  # type: ignore[arg-type]

    assert listed(None) == [other, *reversed(mine)]
    assert listed("ann") == [*reversed(mine)]
    assert listed("ann", job_id=mine[1]) == [mine[1]]
    assert listed("bob", job_id=mine[1]) == []
    page = store.deliveries("ann", 2)
    assert [d.job_id for d in page.deliveries] == [mine[2], mine[1]]
    rest = store.deliveries("ann", 2, page.cursor)
    assert ([d.job_id for d in rest.deliveries], rest.cursor) == ([mine[0]], "")
    with pytest.raises(InvalidRequest, match="cursor"):
        store.deliveries(None, 2, "nonsense")


def test_endpoints_are_kept_by_owner_and_changed_at_once(store: JobStore) -> None:
    until = datetime(2030, 1, 1, tzinfo=UTC)
    secrets = (Secret("whsec_b"), Secret("whsec_a", until))
    mine = Endpoint("ep_1", "ann", "https://a.test/", ("failed",), secrets, until)
    jobs = replace(mine, id=JOBS, url="")
    for endpoint in (mine, jobs):
        assert store.change_endpoint("ann", endpoint.id, lambda _, made=endpoint: made) == endpoint  # type: ignore[misc]
        assert store.endpoint("ann", endpoint.id) == endpoint
    assert store.endpoint("bob", "ep_1") is None
    assert store.endpoints() == (mine,)
    disabled = store.change_endpoint("ann", "ep_1", lambda e: replace(e, disabled="gone") if e else None)
    assert store.endpoint("ann", "ep_1") == disabled == replace(mine, disabled="gone")
    assert store.change_endpoint("ann", "ep_1", lambda _: None) is None
    assert store.endpoints() == ()


def test_an_answer_from_before_changes_nothing_of_what_is_over(store: JobStore) -> None:
    ended(store)
    told = due(store)
    store.attempted(told, OK, DELIVERED, b"{}")
    store.attempted(told, BAD, AT_ONCE, b"{}")
    assert only(store).state is DeliveryState.DELIVERED
    assert claimed(store) == Claimed()


def test_a_hooked_job_is_submitted_once_per_key(store: JobStore) -> None:
    new = new_job(hooks=(hook(),), owner="ann", idempotency_key="k", fingerprint="f")
    first = store.submit(new).job
    assert store.submit(replace(new, id=new_job().id)).job.id == first.id
    succeed(store, first.id)
    assert due(store).id == f"{first.id}-1"
