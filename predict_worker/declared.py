"""Whether arrays are what a signature, or whoever declared them, says they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from .codec.dtypes import DTYPES, STRING, Array, byte_strings, canonical, dtype_name
from .core.errors import ModelLoadError
from .core.spec import DYNAMIC, TensorSpec


def shape_fits(shape: tuple[int, ...], wanted: tuple[int, ...] | None) -> bool:
    """Whether an array of ``shape`` fits a TensorSpec's shape."""
    if wanted is None or shape == wanted:
        return True
    if len(shape) != len(wanted):
        return False
    for size, needed in zip(shape, wanted, strict=True):  # noqa: SIM110 - of what all() takes a third
        if needed not in (DYNAMIC, size):
            return False
    return True


def check_specs(where: str, specs: Iterable[Any]) -> None:
    """Raises ModelLoadError for what is no TensorSpec, or of a dtype that no tensor has."""
    for spec in specs:
        if not isinstance(spec, TensorSpec) or (spec.dtype != STRING and spec.dtype not in DTYPES):
            known = ", ".join((*DTYPES, STRING))
            raise ModelLoadError(f"{where}: expected a TensorSpec with one of {known}, got {spec!r}")


def as_declared(specs: Iterable[TensorSpec], answer: Any) -> dict[str, Array]:
    """What somebody's function has answered, in canonical form: every name, in its dtype and shape.

    Raises TypeError, ValueError for anything else: a dtype is never converted.
    """
    declared = {spec.name: spec for spec in specs}
    if not isinstance(answer, Mapping) or answer.keys() != declared.keys():
        got = sorted(answer) if isinstance(answer, Mapping) else type(answer).__name__
        raise TypeError(f"expected a dictionary of {', '.join(declared)}, got {got}")
    return {name: _array(spec, answer[name]) for name, spec in declared.items()}


def _array(spec: TensorSpec, value: Any) -> Array:
    array = canonical(np.asarray(value))
    array = byte_strings(array) if array.dtype == object else array
    if dtype_name(array) != spec.dtype or not shape_fits(array.shape, spec.shape):
        got = f"{dtype_name(array)} of shape {array.shape}"
        raise ValueError(f"{spec.name}: declared {spec.dtype} of shape {spec.shape}, got {got}")
    return array
