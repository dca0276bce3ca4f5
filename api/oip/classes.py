"""The classification extension: the highest values of an output as ``value:index``.

https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_classification.md
"""

from __future__ import annotations

from math import prod

import numpy as np

from predict_worker.codec.dtypes import Array
from predict_worker.core.errors import InvalidRequest


def highest(name: str, array: Array, count: int) -> Array:
    """Of each row (of an output of one dimension: of all) the ``count`` highest, or as many as there are, the
    highest first: a string tensor ``(row, class)``, or ``(class,)``.

    Raises InvalidRequest for an output without an order.
    """
    if array.dtype.kind not in "iuf" or not array.ndim:
        got = f"shape {list(array.shape)} of {'strings' if array.dtype == object else array.dtype}"
        raise InvalidRequest(f"outputs.{name}.classification", "an output of numbers", got)
    rows = array.reshape(len(array) if array.ndim > 1 else 1, prod(array.shape[1:] or array.shape))
    # From behind, so that of equal values the first comes first; what is not a number comes last.
    backwards = np.where(np.isnan(rows), -np.inf, rows)[:, ::-1] if rows.dtype.kind == "f" else rows[:, ::-1]
    order = rows.shape[1] - 1 - np.argsort(backwards, axis=1, kind="stable")[:, ::-1][:, :count]
    out = np.empty(order.shape, object)
    for row, column in np.ndindex(*order.shape):
        index = order[row, column]
        out[row, column] = f"{rows[row, index]!s}:{index}".encode()  # its dtype's shortest form
    return out if array.ndim > 1 else out[0]
