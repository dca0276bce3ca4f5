"""Which model, version and signature a path means."""

from __future__ import annotations

from predict_worker.catalogue import Resolved
from predict_worker.connect import service
from predict_worker.core.spec import DEFAULT_SIGNATURE, ModelRef, ModelSpec, Signature

from .errors import NotReady


def model_ref(name: str, version: str | None) -> ModelRef:
    """``version`` is a number, or a label."""
    if version is None or (version.isascii() and version.isdigit() and len(version) <= 18):
        return ModelRef(name, None if version is None else int(version))
    return ModelRef(name, label=version)


def published(ref: ModelRef) -> tuple[Resolved, ModelSpec]:
    """Raises ModelNotFound, NotReady where no worker has published what the model takes."""
    resolved = service().resolve(ref)
    if resolved.spec is None:
        raise NotReady(f"model {ref.name!r}: no worker has loaded version {resolved.version}")
    return resolved, resolved.spec


def default_signature(spec: ModelSpec) -> Signature:
    """The protocol knows one of each model."""
    return spec.signatures.get(DEFAULT_SIGNATURE) or next(iter(spec.signatures.values()))
