"""Which of a model's tensors a transform is about."""

from __future__ import annotations

from collections.abc import Sequence

from ..core.errors import ModelLoadError
from ..core.spec import TensorSpec


def only(key: str, specs: Sequence[TensorSpec], name: str | None) -> TensorSpec:
    """The one of that name, or the only one there is. Raises ModelLoadError naming the ``key``."""
    names = ", ".join(spec.name for spec in specs)
    if name is None and len(specs) != 1:
        raise ModelLoadError(f"{key}: expected one of {names}, got nothing")
    for spec in specs:
        if name in (None, spec.name):
            return spec
    raise ModelLoadError(f"{key}: expected one of {names}, got {name!r}")
