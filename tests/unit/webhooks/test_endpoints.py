"""Endpoints, the rotation of their secrets, and who is told of the jobs that a process takes."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from predict_worker.core.errors import EndpointNotFound, InvalidRequest, StoreUnavailable
from predict_worker.core.hooks import EVENTS, JOBS, Endpoint
from predict_worker.store.config import StoreConfig
from predict_worker.store.memory import MemoryJobStore
from predict_worker.webhooks.endpoints import Endpoints, events, signing
from predict_worker.webhooks.guard import Guard
from predict_worker.webhooks.subscriptions import Subscriptions

URL = "https://a.test/hook"


class Store(MemoryJobStore):
    """Counts how often it is asked who is registered."""

    reads = 0
    away = False

    def endpoints(self) -> tuple[Endpoint, ...]:
        self.reads += 1
        if self.away:
            raise StoreUnavailable("away")
        return super().endpoints()


@pytest.fixture
def store() -> Store:
    return Store(StoreConfig())


@pytest.fixture
def endpoints(store: Store) -> Endpoints:
    return Endpoints(store, Guard())


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (None, EVENTS),
        (["completed"], EVENTS),
        (["expired", "failed", "failed"], ("failed", "expired")),
        (["failed", "completed"], EVENTS),
    ],
)
def test_events_by_their_names(given: Sequence[str] | None, meant: tuple[str, ...]) -> None:
    assert events(given) == meant


@pytest.mark.parametrize("given", [[], ["started"], ["failed", ""]])
def test_events_that_are_none_are_named(given: list[str]) -> None:
    with pytest.raises(InvalidRequest, match="webhook_events: expected a list of"):
        events(given, "webhook_events")


def test_while_a_secret_is_rotated_all_sign_the_newest_first(endpoints: Endpoints) -> None:
    first = endpoints.add("ann", URL)
    second = endpoints.rotate(first.id, "ann", 60)
    third = endpoints.rotate(first.id, "ann", 3600)
    old, middle, new = (e.secrets[0].text for e in (first, second, third))
    assert signing(third) == (new, middle, old)
    # A longer overlap does not prolong what was to end sooner.
    moments = [secret.until for secret in third.secrets]
    assert moments[0] is None
    assert moments[1] is not None
    assert moments[2] is not None
    assert moments[1] > moments[2]
    last = endpoints.rotate(first.id, "ann", 0)
    assert signing(last) == (last.secrets[0].text,)


def test_so_many_secrets_sign_at_most(endpoints: Endpoints) -> None:
    endpoint = endpoints.add("ann", URL)
    for _ in range(9):
        endpoint = endpoints.rotate(endpoint.id, "ann")
    assert len(signing(endpoint)) == 5


def test_an_endpoint_of_another_is_as_unknown_as_none(endpoints: Endpoints) -> None:
    endpoint = endpoints.add("ann", URL)
    for call in (endpoints.find, endpoints.rotate, endpoints.enable, endpoints.remove):
        with pytest.raises(EndpointNotFound):
            call(endpoint.id, "bob")
    assert endpoints.find(endpoint.id, None) == endpoints.find(endpoint.id, "ann") == endpoint


def test_a_job_is_told_to_its_url_and_to_its_owners_endpoints(store: Store, endpoints: Endpoints) -> None:
    endpoint = endpoints.add("ann", URL, ["failed"])
    endpoints.disable(endpoints.add("ann", URL), "gone")
    endpoints.add("bob", URL)
    registered, named = Subscriptions(store, Guard()).hooks("ann", "http://b.test:81/x", ["expired"])
    assert (registered.endpoint_id, registered.url, registered.events) == (endpoint.id, "", ("failed",))
    assert (named.endpoint_id, named.url, named.events) == (JOBS, "http://b.test:81/x", ("expired",))
    assert (registered.receiver, named.receiver) == ("ann a.test:443", "ann b.test:81")


def test_jobs_ask_the_store_for_nothing_but_every_two_seconds(store: Store, endpoints: Endpoints) -> None:
    now = [0.0]
    subscriptions = Subscriptions(store, Guard(), clock=lambda: now[0])
    for _ in range(100):
        assert subscriptions.hooks("ann", None, None) == ()
    assert store.reads == 1
    endpoints.add("ann", URL)
    now[0] = 2.1
    assert len(subscriptions.hooks("ann", None, None)) == 1


def test_endpoints_that_cannot_be_read_anew_are_not_guessed(store: Store) -> None:
    now = [0.0]
    subscriptions = Subscriptions(store, Guard(), clock=lambda: now[0])
    subscriptions.hooks("ann", None, None)
    store.away, now[0] = True, 9.0
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            subscriptions.hooks("ann", None, None)
    assert store.reads == 2, "a store that is away is not asked by every job"
    store.away, now[0] = False, 9.3
    assert subscriptions.hooks("ann", None, None) == ()


def test_an_endpoint_is_not_missed_because_the_store_was_away_at_first(
    store: Store, endpoints: Endpoints
) -> None:
    endpoints.add("ann", URL)
    store.away, now = True, [0.0]
    subscriptions = Subscriptions(store, Guard(), clock=lambda: now[0])
    with pytest.raises(StoreUnavailable):
        subscriptions.hooks("ann", None, None)
    store.away, now[0] = False, 0.3
    assert len(subscriptions.hooks("ann", None, None)) == 1
