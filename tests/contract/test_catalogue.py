"""What workers publish is what the web reads."""

from __future__ import annotations

from dataclasses import replace

import pytest

from predict_worker.core.ports import (
    CatalogueStore,
    CatalogueView,
    Heartbeat,
    ModelEntry,
    ServedCounts,
    VersionStatus,
)
from predict_worker.core.spec import BatchPolicy, ModelSpec, Signature, TensorSpec
from predict_worker.store.config import StoreConfig
from tests.contract.backends import Backend
from tests.contract.scene import eventually

DIGITS = ModelEntry("digits", (1, 2), labels=(("stable", 1),), queue_max_jobs=5)
HALF = ModelEntry("half", (), error="no version")
SIGNATURE = Signature(
    "serving_default",
    inputs=(TensorSpec("x", "float32", (-1, 8, 8, 1)), TensorSpec("any", "string", None)),
    outputs=(TensorSpec("scalar", "int64", ()),),
)
SPEC = ModelSpec(
    "digits",
    1,
    "saved_model",
    "sha256:d",
    {"serving_default": SIGNATURE},
    batch=BatchPolicy(8, 1024, 1.5, (2, 4, 8)),
    timeout_s=2.5,
    queue_max_jobs=5,
    inputs_finite=True,
    outputs_finite=True,
)
STATUSES = (VersionStatus("digits", 1, "AVAILABLE", "", 12.5), VersionStatus("digits", 2, "END", "broken"))
SERVED = ServedCounts("digits", 1, 5, 1, rows=7, batches=2, queue_ms=1.5, predict_ms=2.25, last_us=99)
BEAT = Heartbeat(
    "n1:1", "host", 17, "ready", 1_700_000_000_000_000, STATUSES, loads=2, batches=3, served=(SERVED,)
)


@pytest.fixture
def catalogue(backend: Backend) -> CatalogueStore:
    backend.open(StoreConfig())
    return backend.catalogue()


def test_empty_catalogue(catalogue: CatalogueStore) -> None:
    assert catalogue.read() == CatalogueView()


def test_models_are_added_and_replaced_and_others_stay(catalogue: CatalogueStore) -> None:
    catalogue.publish_models([DIGITS, HALF])
    newer = replace(DIGITS, versions=(1, 2, 3))
    catalogue.publish_models([newer])
    assert sorted(catalogue.read().models, key=lambda m: m.name) == [newer, HALF]
    catalogue.publish_models([])


def test_specs_are_kept_by_model_and_version(catalogue: CatalogueStore) -> None:
    second = replace(SPEC, version=2)
    catalogue.publish_specs([SPEC, second])
    changed = replace(SPEC, digest="sha256:e")
    catalogue.publish_specs([changed])
    assert sorted(catalogue.read().specs, key=lambda s: s.version) == [changed, second]


def test_model_is_retracted_with_its_specs_and_labels(catalogue: CatalogueStore) -> None:
    other = replace(SPEC, name="digits.old")
    catalogue.publish_models([DIGITS, replace(DIGITS, name="digits.old", gone=True)])
    catalogue.publish_specs([SPEC, replace(SPEC, version=2), other])
    for name in ("digits", "digits.old"):
        catalogue.move_label(name, "stable", 2)
    for _ in range(2):
        catalogue.retract_model("digits")
    view = catalogue.read()
    assert [(m.name, m.gone) for m in view.models] == [("digits.old", True)]
    assert view.specs == (other,)
    assert view.labels == {"digits.old": {"stable": 2}}


def test_spec_is_retracted_alone(catalogue: CatalogueStore) -> None:
    catalogue.publish_specs([SPEC, replace(SPEC, version=2)])
    for _ in range(2):
        catalogue.retract_spec("digits", 1)
    assert [spec.version for spec in catalogue.read().specs] == [2]


def test_labels_are_moved_and_cleared(catalogue: CatalogueStore) -> None:
    for label, version in (("stable", 1), ("next", 2), ("stable", 3)):
        catalogue.move_label("digits", label, version)
    assert catalogue.read().labels == {"digits": {"next": 2, "stable": 3}}
    for label in ("stable", "stable", "next"):
        catalogue.move_label("digits", label, None)
    assert catalogue.read().labels == {}


def test_heartbeat_is_read_with_its_age(catalogue: CatalogueStore) -> None:
    catalogue.beat(BEAT, ttl_s=60)
    (read,) = catalogue.read().workers
    assert replace(read, age_s=0.0) == BEAT
    assert 0 <= read.age_s < 5
    eventually(lambda: catalogue.read().workers[0].age_s > 1)
    catalogue.beat(replace(BEAT, batches=4), ttl_s=60)
    (read,) = catalogue.read().workers
    assert (read.batches, read.age_s < 1) == (4, True)


def test_heartbeat_lapses(catalogue: CatalogueStore) -> None:
    catalogue.beat(BEAT, ttl_s=0.05)
    catalogue.beat(replace(BEAT, consumer="n1:2"), ttl_s=60)
    eventually(lambda: [w.consumer for w in catalogue.read().workers] == ["n1:2"])


def test_leaving_forgets_the_heartbeat_at_once(catalogue: CatalogueStore) -> None:
    catalogue.beat(BEAT, ttl_s=60)
    catalogue.leave("n1:1")
    catalogue.leave("n1:1")
    assert catalogue.read().workers == ()


def test_lapsed_node_is_named_until_it_is_forgotten(catalogue: CatalogueStore) -> None:
    catalogue.beat_node("n1", ttl_s=0.03)
    catalogue.beat_node("n2", ttl_s=60)
    catalogue.beat(BEAT, ttl_s=60)
    catalogue.beat(replace(BEAT, consumer="n11:1"), ttl_s=60)
    eventually(lambda: catalogue.lapsed_nodes() == ("n1",))
    catalogue.forget_node("n1")
    assert catalogue.lapsed_nodes() == ()
    assert [w.consumer for w in catalogue.read().workers] == ["n11:1"]


def test_node_that_beats_again_is_alive(catalogue: CatalogueStore) -> None:
    catalogue.beat_node("n1", ttl_s=0.03)
    eventually(lambda: catalogue.lapsed_nodes() == ("n1",))
    catalogue.beat_node("n1", ttl_s=60)
    assert catalogue.lapsed_nodes() == ()


def test_one_node_sweeps_until_its_right_lapses(catalogue: CatalogueStore) -> None:
    assert catalogue.sweeping("n1", ttl_s=60)
    assert not catalogue.sweeping("n2", ttl_s=60)
    assert catalogue.sweeping("n1", ttl_s=0.1)
    eventually(lambda: catalogue.sweeping("n2", ttl_s=60))
    assert not catalogue.sweeping("n1", ttl_s=60)
