"""Models and workers as the API shows them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from predict_worker.core.job import from_micros
from predict_worker.core.ports import Heartbeat, QueueStats, VersionStatus
from predict_worker.core.spec import ModelSpec, Signature, TensorSpec
from predict_worker.job_object import rfc3339
from predict_worker.service import ModelView


def summary(model: ModelView) -> dict[str, Any]:
    """``versions`` exist in the repository; ``ready`` counts the workers that have one loaded, by version."""
    entry = model.entry
    return {
        "name": entry.name,
        "versions": [str(version) for version in entry.versions],
        "labels": {label: str(version) for label, version in entry.labels},
        "ready": {str(version): count for version, count in sorted(model.ready.items())},
        "error": entry.error or None,
    }


def model_object(model: ModelView, stats: QueueStats | None) -> dict[str, Any]:
    """With its queue, what each published version takes and gives, and its state on each worker."""
    versions = sorted({*model.entry.versions, *model.specs, *_known_to_workers(model)})
    shown = [_version(model, version) for version in versions]
    return {**summary(model), **queue(stats), **labels(model), "shadows": _shadows(model), "versions": shown}


def _shadows(model: ModelView) -> list[dict[str, Any]]:
    """What the living workers have counted together, by the version that shadows."""
    counted = [
        counts for worker in model.workers for counts in worker.shadows if counts.model == model.entry.name
    ]
    sums = ("compared", "different", "failed", "dropped")
    return [
        {
            "version": str(version),
            **{name: sum(getattr(counts, name) for counts in group) for name in sums},
            "max_difference": max(counts.max_difference for counts in group),
        }
        for version in sorted({counts.version for counts in counted})
        if (group := [counts for counts in counted if counts.version == version])
    ]


def labels(model: ModelView) -> dict[str, Any]:
    """``moved_labels``: those that ``model.toml`` does not decide."""
    return {
        "name": model.entry.name,
        "labels": {label: str(version) for label, version in model.entry.labels},
        "moved_labels": sorted(model.moved),
        "canary": dict(model.entry.canary),
    }


def queue(stats: QueueStats | None) -> dict[str, Any]:
    """``state`` is what operators want: serving, paused or draining. Null while Redis is away."""
    if stats is None:
        return {"state": None, "queue": None}
    return {"state": stats.mode, "queue": {"waiting": stats.waiting, "running": stats.running}}


def worker_object(worker: Heartbeat) -> dict[str, Any]:
    return {
        "consumer": worker.consumer,
        "host": worker.host,
        "pid": worker.pid,
        "state": worker.state,
        "started_at": rfc3339(from_micros(worker.started_us)),
        "age_s": round(worker.age_s, 3),
        "loads": worker.loads,
        "batches": worker.batches,
        "error": worker.error or None,
        "models": [{"model": s.model, "version": str(s.version), **_status(s)} for s in worker.models],
    }


def _known_to_workers(model: ModelView) -> set[int]:
    return {s.version for worker in model.workers for s in worker.models if s.model == model.entry.name}


def _version(model: ModelView, version: int) -> dict[str, Any]:
    """What no worker has published is null."""
    spec = model.specs.get(version)
    return {
        "version": str(version),
        "in_repository": version in model.entry.versions,
        **(_published(spec) if spec else dict.fromkeys(_PUBLISHED)),
        "workers": [
            {"consumer": worker.consumer, **_status(status)}
            for worker in model.workers
            for status in worker.models
            if (status.model, status.version) == (model.entry.name, version)
        ],
    }


_PUBLISHED = ("artefact", "digest", "signatures", "batch", "timeout_s")


def _published(spec: ModelSpec) -> dict[str, Any]:
    return {
        "artefact": spec.artefact,
        "digest": spec.digest,
        "signatures": {name: _signature(signature) for name, signature in spec.signatures.items()},
        "batch": asdict(spec.batch),
        "timeout_s": spec.timeout_s,
    }


def _signature(signature: Signature) -> dict[str, Any]:
    return {
        "inputs": {tensor.name: _tensor(tensor) for tensor in signature.inputs},
        "outputs": {tensor.name: _tensor(tensor) for tensor in signature.outputs},
    }


def _tensor(tensor: TensorSpec) -> dict[str, Any]:
    """A ``shape`` of null: not even the rank is known; -1: any size. ``encoded``: what may be sent instead,
    one string a row."""
    return {"dtype": tensor.dtype, "shape": tensor.shape, "encoded": tensor.encoded or None}


def _status(status: VersionStatus) -> dict[str, Any]:
    return {"state": status.state, "error": status.error or None, "load_ms": status.load_ms}
