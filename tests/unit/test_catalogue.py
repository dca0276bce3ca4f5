"""The cached catalogue: how old it may be, which version a reference means."""

from __future__ import annotations

import threading

import pytest

from predict_worker.catalogue import Catalogue
from predict_worker.core.errors import ModelNotFound, StoreUnavailable
from predict_worker.core.ports import CatalogueView, ModelEntry
from predict_worker.core.spec import ModelRef
from tests.unit.world import CatalogueAtHand, spec, worker


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store() -> CatalogueAtHand:
    store = CatalogueAtHand()
    store.publish_models([ModelEntry("digits", (1, 2, 3), (("stable", 1),)), ModelEntry("cats", (1,))])
    store.publish_specs([spec("digits", 1), spec("digits", 2)])
    return store


@pytest.fixture
def catalogue(store: CatalogueAtHand, clock: Clock) -> Catalogue:
    return Catalogue(store, max_age_s=1.0, clock=clock)


# ---------------------------------------------------------------- which version


def test_newest_version_that_ready_workers_hold_is_meant(
    catalogue: Catalogue, store: CatalogueAtHand
) -> None:
    store.beat(worker(("digits", 1)), 60)
    resolved = catalogue.resolve(ModelRef("digits"))
    assert (resolved.version, resolved.spec) == (1, spec("digits", 1))


def test_a_new_version_is_meant_once_every_ready_worker_holds_it(
    catalogue: Catalogue, store: CatalogueAtHand, clock: Clock
) -> None:
    def meant() -> tuple[int, bool]:
        clock.now += 2
        resolved = catalogue.resolve(ModelRef("digits"))
        return resolved.version, resolved.settled

    store.publish_models([ModelEntry("digits", (2,))])
    store.beat(worker(("digits", 1), consumer="n1:1"), 60)
    store.beat(worker(("digits", 1), ("digits", 2), consumer="n1:2"), 60)
    store.beat(worker(("cats", 1), consumer="n1:3"), 60)
    assert meant() == (1, True)
    store.beat(worker(("digits", 1), ("digits", 2), consumer="n1:1"), 60)
    assert meant() == (2, True)
    store.publish_models([ModelEntry("digits", (1,))])
    assert meant() == (1, True), "the newest was taken back, but is loaded yet"
    store.publish_models([ModelEntry("digits", (3,))])
    assert meant() == (2, True), "what is to be served is loaded by nobody"


def test_a_moved_label_wins_until_it_is_cleared(catalogue: Catalogue, store: CatalogueAtHand) -> None:
    for consumer in ("n1:1", "n1:2"):
        store.beat(worker(("digits", 1), ("digits", 2), consumer=consumer), 60)
    stable = ModelRef("digits", label="stable")
    assert catalogue.resolve(stable).version == 1
    assert catalogue.move_label("digits", "stable", 2).entry("digits").labels == (("stable", 2),)
    assert catalogue.resolve(stable).version == 2
    catalogue.move_label("digits", "stable", 7)
    with pytest.raises(ModelNotFound, match="moved to version 7, which no worker has loaded any more"):
        catalogue.resolve(stable)
    catalogue.move_label("digits", "stable", None)
    assert catalogue.resolve(stable).version == 1


def test_a_part_of_the_traffic_goes_to_the_canary_where_all_hold_it(
    catalogue: Catalogue, store: CatalogueAtHand, clock: Clock
) -> None:
    canary = (("a", 0.1), ("b", 0.2), ("unknown", 0.3))
    store.publish_models([ModelEntry("digits", (3,), (("a", 1), ("b", 2)), canary=canary)])
    store.beat(worker(("digits", 1), ("digits", 2), ("digits", 3), consumer="n1:1"), 60)
    store.beat(worker(("digits", 1), ("digits", 3), consumer="n1:2"), 60)

    def meant(version: int | None = None) -> list[int]:
        shares = (0.0, 0.09, 0.1, 0.29, 0.31, 0.59, 0.6, 0.99)
        return [catalogue.resolve(ModelRef("digits", version), share).version for share in shares]

    assert meant() == [1, 1, 3, 3, 3, 3, 3, 3]
    assert meant(version=2) == [2] * 8
    store.beat(worker(("digits", 1), ("digits", 2), ("digits", 3), consumer="n1:2"), 60)
    clock.now += 2
    assert meant() == [1, 1, 2, 2, 3, 3, 3, 3]


def test_where_workers_hold_different_versions_each_runs_its_own(
    catalogue: Catalogue, store: CatalogueAtHand
) -> None:
    store.beat(worker(("digits", 1), consumer="n1:1"), 60)
    store.beat(worker(("digits", 2), consumer="n2:1"), 60)
    resolved = catalogue.resolve(ModelRef("digits"))
    assert (resolved.version, resolved.settled) == (2, False)


@pytest.mark.parametrize("state", ["starting", "draining", "stopped", "unhealthy"])
def test_a_worker_that_is_not_ready_does_not_count(
    catalogue: Catalogue, store: CatalogueAtHand, state: str
) -> None:
    store.beat(worker(("digits", 1), state=state), 60)
    assert catalogue.resolve(ModelRef("digits")).version == 2


def test_without_ready_workers_the_newest_published_version_is_meant(catalogue: Catalogue) -> None:
    resolved = catalogue.resolve(ModelRef("digits"))
    assert (resolved.version, resolved.spec) == (2, spec("digits", 2))


def test_without_a_published_version_the_newest_that_exists_is_meant(catalogue: Catalogue) -> None:
    resolved = catalogue.resolve(ModelRef("cats"))
    assert (resolved.version, resolved.spec) == (1, None)


def test_a_published_version_that_left_the_repository_is_not_meant(
    catalogue: Catalogue, store: CatalogueAtHand
) -> None:
    store.publish_models([ModelEntry("digits", (1,))])
    assert catalogue.resolve(ModelRef("digits")).version == 1


def test_a_version_or_a_label_means_exactly_that(catalogue: Catalogue) -> None:
    assert catalogue.resolve(ModelRef("digits", version=3)).version == 3
    assert catalogue.resolve(ModelRef("digits", label="stable")).version == 1


def test_a_version_that_only_workers_still_hold_can_be_named(
    catalogue: Catalogue, store: CatalogueAtHand
) -> None:
    store.beat(worker(("digits", 9)), 60)
    assert catalogue.resolve(ModelRef("digits", version=9)).version == 9


@pytest.mark.parametrize(
    ("ref", "message"),
    [
        (ModelRef("digit"), "no model 'digit'; did you mean digits?"),
        (ModelRef("zzz"), "no model 'zzz'; known models: cats, digits"),
        (ModelRef("digits", version=7), "model 'digits' has no version 7; versions: 1, 2, 3"),
        (ModelRef("digits", label="canary"), "model 'digits' has no label 'canary'; labels: stable"),
        (ModelRef("cats", label="canary"), "model 'cats' has no label 'canary'; labels: none"),
    ],
)
def test_what_is_unknown_is_refused_with_what_is_known(
    catalogue: Catalogue, ref: ModelRef, message: str
) -> None:
    with pytest.raises(ModelNotFound) as caught:
        catalogue.resolve(ref)
    assert caught.value.detail == message


def test_a_long_list_of_names_is_cut(store: CatalogueAtHand, catalogue: Catalogue) -> None:
    store.publish_models([ModelEntry(f"m{i}", (1,)) for i in range(20)])
    with pytest.raises(ModelNotFound, match=r"cats, digits, m0, m1, m10 and 17 more"):
        catalogue.resolve(ModelRef("zzzzzzzz"))


def test_a_model_that_the_repository_cannot_offer_says_why(
    store: CatalogueAtHand, catalogue: Catalogue
) -> None:
    store.publish_models([ModelEntry("broken", (), error="no artefact in 1/"), ModelEntry("empty", ())])
    with pytest.raises(ModelNotFound, match="'broken' cannot be offered: no artefact in 1/"):
        catalogue.resolve(ModelRef("broken"))
    with pytest.raises(ModelNotFound, match="'empty' cannot be offered: it has no version"):
        catalogue.resolve(ModelRef("empty"))


# ---------------------------------------------------------------- how old


def test_one_reading_serves_a_second(catalogue: Catalogue, store: CatalogueAtHand, clock: Clock) -> None:
    for moment in (0.0, 0.5, 1.0):
        clock.now = moment
        catalogue.resolve(ModelRef("digits"))
    assert store.reads == 1
    clock.now = 1.01
    catalogue.resolve(ModelRef("digits"))
    assert store.reads == 2


def test_a_new_model_is_found_at_once(catalogue: Catalogue, store: CatalogueAtHand, clock: Clock) -> None:
    catalogue.index()
    store.publish_models([ModelEntry("new", (1,))])
    clock.now = 0.21
    assert catalogue.resolve(ModelRef("new")).version == 1


def test_unknown_names_are_looked_for_at_most_five_times_a_second(
    catalogue: Catalogue, store: CatalogueAtHand, clock: Clock
) -> None:
    for hundredths in range(100):
        clock.now = hundredths / 100
        with pytest.raises(ModelNotFound):
            catalogue.resolve(ModelRef("nowhere"))
    assert store.reads <= 5


def test_the_last_good_view_stays_while_the_store_is_away(
    catalogue: Catalogue, store: CatalogueAtHand, clock: Clock
) -> None:
    catalogue.index()
    store.away = True
    for moment in (2.0, 2.5, 3.0):
        clock.now = moment
        assert catalogue.resolve(ModelRef("digits")).version == 2
    assert store.reads == 2


def test_a_store_that_never_answered_is_asked_once_a_second(
    catalogue: Catalogue, store: CatalogueAtHand, clock: Clock
) -> None:
    store.away = True
    for moment in (0.0, 0.5, 0.9):
        clock.now = moment
        with pytest.raises(StoreUnavailable, match="the catalogue is away"):
            catalogue.index()
    assert store.reads == 1
    store.away, clock.now = False, 1.5
    assert catalogue.resolve(ModelRef("digits")).version == 2


def test_others_are_served_the_view_from_before_while_one_thread_reads(clock: Clock) -> None:
    reading, answer = threading.Event(), threading.Event()

    class Slow(CatalogueAtHand):
        def read(self) -> CatalogueView:
            if self.reads:
                reading.set()
                assert answer.wait(5)
            return super().read()

    store = Slow()
    store.publish_models([ModelEntry("digits", (1,))])
    catalogue = Catalogue(store, clock=clock)
    catalogue.index()
    clock.now = 5.0
    refresher = threading.Thread(target=catalogue.index)
    refresher.start()
    assert reading.wait(5)
    assert catalogue.resolve(ModelRef("digits")).version == 1
    assert store.reads == 1
    answer.set()
    refresher.join(5)
    assert store.reads == 2
