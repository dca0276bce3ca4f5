"""A model's status and metadata, as TensorFlow Serving's messages in JSON."""

from __future__ import annotations

from typing import Any

from predict_worker.catalogue import Resolved
from predict_worker.connect import service
from predict_worker.core.errors import ModelNotFound
from predict_worker.core.ports import VersionStatus
from predict_worker.core.spec import Signature, TensorSpec
from predict_worker.service import ModelView

from .dtypes import data_type
from .targets import Target

_STATES = ("AVAILABLE", "LOADING", "START", "UNLOADING", "END")
"""What a version is of which workers say different things: the first of these."""


def status(target: Target) -> dict[str, Any]:
    """Raises ModelNotFound, InvalidArgument for an unknown label."""
    try:
        model = service().model(target.name)
    except ModelNotFound:
        raise ModelNotFound(f"Could not find any versions of model {target.name}") from None
    version = target.version if target.label is None else target.resolve().version
    if version is None:
        shown = _versions(model)
        if not shown:
            raise ModelNotFound(f"Could not find any versions of model {target.name}")
    elif version in {*_versions(model), *model.entry.versions}:
        shown = [version]
    else:
        raise ModelNotFound(f"Could not find version {version} of model {target.name}")
    return {"model_version_status": [_version_status(model, version) for version in shown]}


def _versions(model: ModelView) -> list[int]:
    """The newest first; while no worker knows the model, the one that is to be served."""
    known = {status.version for status in _told(model)}
    return sorted(known or {max(model.entry.versions, default=0)} - {0}, reverse=True)


def _told(model: ModelView) -> list[VersionStatus]:
    return [s for worker in model.workers for s in worker.models if s.model == model.entry.name]


def _version_status(model: ModelView, version: int) -> dict[str, Any]:
    told = [status for status in _told(model) if status.version == version]
    best = min(told, key=lambda s: _STATES.index(s.state), default=VersionStatus("", version, "START"))
    error = best.error
    return {
        "version": str(version),
        "state": best.state,
        "status": {"error_code": "UNKNOWN" if error else "OK", "error_message": error},
    }


def metadata(target: Target) -> dict[str, Any]:
    """Raises ModelNotFound, also while nobody has loaded the model; InvalidArgument for an unknown label."""
    resolved = target.resolve()
    if resolved.spec is None:
        raise ModelNotFound(target.unknown)
    signatures = {name: _signature(signature) for name, signature in resolved.spec.signatures.items()}
    return {
        "model_spec": model_spec(resolved, ""),
        "metadata": {"signature_def": {"signature_def": signatures}},
    }


def model_spec(resolved: Resolved, signature_name: str) -> dict[str, Any]:
    return {
        "name": resolved.entry.name,
        "signature_name": signature_name,
        "version": str(resolved.version),
    }


def _signature(signature: Signature) -> dict[str, Any]:
    return {
        "inputs": {spec.name: _tensor(spec) for spec in signature.inputs},
        "outputs": {spec.name: _tensor(spec) for spec in signature.outputs},
        "method_name": signature.method_name,
        "defaults": {},
    }


def _tensor(spec: TensorSpec) -> dict[str, Any]:
    dims = [{"size": str(size), "name": ""} for size in spec.shape or ()]
    return {
        "dtype": data_type(spec.dtype),
        "tensor_shape": {"dim": dims, "unknown_rank": spec.shape is None},
        "name": spec.graph_name,
    }
