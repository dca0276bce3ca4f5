"""What a path names: a model, and a version or label if any."""

from __future__ import annotations

from dataclasses import dataclass

from predict_worker.catalogue import Resolved
from predict_worker.connect import service
from predict_worker.core.errors import ModelNotFound
from predict_worker.core.spec import MODEL_NAME, ModelRef, ModelSpec, Signature

from .errors import InvalidArgument


@dataclass(frozen=True, slots=True)
class Target:
    name: str
    version: int | None = None
    label: str | None = None

    def __str__(self) -> str:
        return f"Latest({self.name})" if self.version is None else f"Specific({self.name}, {self.version})"

    @property
    def ref(self) -> ModelRef:
        """Raises ModelNotFound for what can be no model's name."""
        if not MODEL_NAME.match(self.name):
            raise ModelNotFound(self.unknown)
        return ModelRef(self.name, self.version, self.label)

    @property
    def unknown(self) -> str:
        return f"Servable not found for request: {self}"

    def resolve(self) -> Resolved:
        """Raises ModelNotFound, InvalidArgument for a label that the model does not have."""
        try:
            return service().resolve(self.ref)
        except ModelNotFound:
            if self.label is not None:
                raise InvalidArgument(f"Unrecognized servable version label: {self.label}") from None
            raise ModelNotFound(self.unknown) from None


def signature_of(spec: ModelSpec | None, name: str) -> Signature | None:
    """None while no worker has published the version. Raises InvalidArgument."""
    if spec is None:
        return None
    signature = spec.signatures.get(name)
    if signature is None:
        raise InvalidArgument(f'Serving signature name: "{name}" not found in signature def')
    return signature
