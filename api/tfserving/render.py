"""Outputs as the dialect writes them."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np

from predict_worker.codec import BARE, to_json
from predict_worker.codec.dtypes import Array

from .errors import InvalidArgument
from .parse import Form
from .widen import narrowed


def body(outputs: Mapping[str, Array], form: Form) -> dict[str, Any]:
    """Raises InvalidArgument where the outputs cannot be written in this form."""
    if form in (Form.FLAT_ROWS, Form.FLAT_COLUMNS):
        outputs = narrowed(outputs)
    match form:
        case Form.ROWS | Form.FLAT_ROWS:
            return {"predictions": _rows(outputs)}
        case Form.CLASSES:
            return {"results": _classes(outputs)}
        case Form.VALUES:
            return {"results": _values(outputs)}
    return {"outputs": _unless_alone({name: _tensor(name, array) for name, array in outputs.items()})}


def _unless_alone(named: dict[str, Any]) -> Any:
    """The name of the only output is left out."""
    return next(iter(named.values())) if len(named) == 1 else named


def _rows(outputs: Mapping[str, Array]) -> Any:
    rows = 0
    for name, array in outputs.items():
        if not array.ndim:
            raise InvalidArgument(f"Tensor name: {name} has no shape information")
        if not len(array) or rows not in (0, len(array)):
            expected = f" expecting batch size: {rows}" if rows else ""
            raise InvalidArgument(f"Tensor name: {name} has invalid batch size: {len(array)}{expected}")
        rows = len(array)
    columns = {name: _tensor(name, array) for name, array in outputs.items()}
    if len(columns) == 1:
        return _unless_alone(columns)
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _tensor(name: str, array: Array) -> Any:
    """Strings of an output that is named ``..._bytes`` are always in base64."""
    if array.dtype != object or not name.endswith("_bytes"):
        return to_json(array, BARE)
    coded = np.empty(array.size, object)
    coded[:] = [{"b64": base64.b64encode(element).decode()} for element in array.reshape(-1)]
    return coded.reshape(array.shape).tolist()


def _classes(outputs: Mapping[str, Array]) -> list[list[tuple[Any, Any]]]:
    """For each example its labels with their scores; what a model does not give is empty, or 0."""
    labels, scores = outputs.get("classes"), outputs.get("scores")
    given = [array for array in (labels, scores) if array is not None]
    shapes = {array.shape for array in given}
    if len(shapes) != 1 or len(shape := shapes.pop()) != 2:
        told = ", ".join(f"{name} {list(array.shape)}" for name, array in outputs.items())
        raise InvalidArgument(f"Expected classes and scores of shape [batch_size num_classes] but got {told}")
    count, width = shape
    texts = [[""] * width] * count if labels is None else to_json(labels, BARE)
    numbers = [[0.0] * width] * count if scores is None else to_json(scores, BARE)
    return [list(zip(texts[i], numbers[i], strict=True)) for i in range(count)]


def _values(outputs: Mapping[str, Array]) -> Any:
    array = outputs.get("outputs")
    if array is None or array.ndim not in (1, 2) or array.shape[1:] not in ((), (1,)):
        told = ", ".join(f"{name} {list(array.shape)}" for name, array in outputs.items())
        raise InvalidArgument(f"Expected outputs of shape [batch_size] but got {told}")
    return to_json(array.reshape(-1), BARE)
