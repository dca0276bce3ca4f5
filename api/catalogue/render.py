"""Models and workers as the API shows them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from predict_worker.core.job import from_micros
from predict_worker.core.ports import Heartbeat, VersionStatus
from predict_worker.core.spec import ModelSpec, Signature, TensorSpec
from predict_worker.service import ModelView

from ..times import rfc3339


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


def model_object(model: ModelView) -> dict[str, Any]:
    """With what each published version takes and gives, and its state on each worker."""
    versions = sorted({*model.entry.versions, *model.specs, *_known_to_workers(model)})
    return {**summary(model), "versions": [_version(model, version) for version in versions]}


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
    """A ``shape`` of null: not even the rank is known; -1: any size."""
    return {"dtype": tensor.dtype, "shape": tensor.shape}


def _status(status: VersionStatus) -> dict[str, Any]:
    return {"state": status.state, "error": status.error or None, "load_ms": status.load_ms}
