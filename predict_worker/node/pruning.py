"""What the catalogue knows of models and versions that are no more."""

from __future__ import annotations

import logging

from ..core.ports import CatalogueStore, JobStore

log = logging.getLogger(__name__)


def prune(catalogue: CatalogueStore, store: JobStore) -> None:
    """Forget models that have left the repository, and versions that nothing offers, once no worker has them
    loaded. Jobs that wait for such a model are ended first: by workers, which must hear of it as long."""
    view = catalogue.read()
    entries = {entry.name: entry for entry in view.models}
    held = {(s.model, s.version) for worker in view.workers for s in worker.models if s.state != "END"}
    for entry in view.models:
        stats = store.stats(entry.name) if entry.gone else None
        if stats and not (stats.waiting or stats.running or entry.name in {name for name, _ in held}):
            catalogue.retract_model(entry.name)
            log.info("%s is forgotten", entry.name)
    for spec in view.specs:
        known = entries.get(spec.name)
        offered = known and (spec.version in known.versions or spec.version in dict(known.labels).values())
        if not offered and (spec.name, spec.version) not in held:
            catalogue.retract_spec(spec.name, spec.version)
