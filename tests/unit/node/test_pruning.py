"""Models and versions that are no more."""

from __future__ import annotations

from predict_worker.core.job import NewJob, RowRange, new_job_id
from predict_worker.core.ports import ModelEntry
from predict_worker.node.pruning import prune
from predict_worker.store.config import StoreConfig
from predict_worker.store.memory import MemoryJobStore
from predict_worker.store.memory_catalogue import MemoryCatalogue
from tests.unit.world import spec, worker


def specs(catalogue: MemoryCatalogue) -> list[int]:
    return [spec.version for spec in catalogue.read().specs]


def test_model_that_left_is_forgotten_once_nothing_of_it_is_loaded_or_queued() -> None:
    catalogue, store = MemoryCatalogue(), MemoryJobStore(StoreConfig())
    catalogue.publish_models([ModelEntry("digits", (), gone=True), ModelEntry("cats", ())])
    catalogue.publish_specs([spec("digits", 1)])
    catalogue.beat(worker(("digits", 1)), 60)
    job = store.submit(NewJob(new_job_id(0), "digits", (RowRange(0, 1, b"x"),))).job
    for end in (lambda: catalogue.leave("n1:1"), lambda: store.cancel(job.id)):
        prune(catalogue, store)
        assert [model.name for model in catalogue.read().models] == ["cats", "digits"]
        end()
    store.delete(job.id)
    prune(catalogue, store)
    assert [model.name for model in catalogue.read().models] == ["cats"]
    assert specs(catalogue) == []


def test_version_that_nothing_offers_or_holds_is_forgotten() -> None:
    catalogue, store = MemoryCatalogue(), MemoryJobStore(StoreConfig())
    catalogue.publish_models([ModelEntry("digits", (4,), (("stable", 3),))])
    catalogue.publish_specs([spec("digits", version) for version in (1, 2, 3, 4)])
    catalogue.beat(worker(("digits", 2)), 60)
    prune(catalogue, store)
    assert specs(catalogue) == [2, 3, 4]
