"""Numbers where rows of one element are asked for.

TensorFlow Serving does not compare shapes, so ``[2.0, 3.0]`` may be sent to an input of shape ``[-1, 1]``;
most graphs answer with numbers then. Here such rows are widened, and their answers narrowed again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from predict_worker.codec import Columnar, Instances
from predict_worker.codec.dtypes import Array
from predict_worker.core.spec import Signature


def widened(raw: Columnar | Instances, signature: Signature) -> tuple[Columnar | Instances, bool]:
    """The inputs as the signature asks for them, and whether any had to be widened."""
    depths = {
        spec.name: len(spec.shape) - 1
        for spec in signature.inputs
        if spec.batched and spec.shape and set(spec.shape[1:]) == {1} and not spec.encoded
    }
    if not depths:
        return raw, False
    if isinstance(raw, Columnar):
        columns, changed = _columns(raw.value, depths, signature)
        return Columnar(columns), changed
    first = raw.rows[0]
    if not _by_name(first):
        rows, changed = _columns(raw.rows, depths, signature)
        return Instances(rows), changed
    flat = {name: depth for name, depth in depths.items() if name in first and type(first[name]) is not list}
    rows = [_row(row, flat) if isinstance(row, dict) else row for row in raw.rows]
    return Instances(rows), bool(flat)


def narrowed(outputs: Mapping[str, Array]) -> dict[str, Array]:
    """Rows of one element as that element."""
    return {
        name: array.reshape(-1) if array.ndim and set(array.shape[1:]) == {1} else array
        for name, array in outputs.items()
    }


def _columns(value: Any, depths: Mapping[str, int], signature: Signature) -> tuple[Any, bool]:
    if _by_name(value):
        flat = {name: depth for name, depth in depths.items() if _is_flat(value.get(name))}
        wide = {
            name: [_nested(v, flat[name]) for v in column] if name in flat else column
            for name, column in value.items()
        }
        return wide, bool(flat)
    if len(signature.inputs) != 1 or not _is_flat(value):
        return value, False
    (depth,) = depths.values()
    return [_nested(element, depth) for element in value], True


def _row(row: Mapping[str, Any], flat: Mapping[str, int]) -> dict[str, Any]:
    return {name: _nested(value, flat[name]) if name in flat else value for name, value in row.items()}


def _is_flat(column: Any) -> bool:
    return isinstance(column, list) and bool(column) and type(column[0]) is not list


def _nested(value: Any, depth: int) -> Any:
    for _ in range(depth):
        value = [value]
    return value


def _by_name(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() != {"b64"}
