"""A logistic regression of scikit-learn as a Python model; the worker itself needs no scikit-learn.

``x``, float32 ``[-1, 64]``: the pixels of 8 x 8 images in 0..16; ``probabilities``, float32 ``[-1, 10]``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from predict_worker.core.spec import Signature, TensorSpec

Array = NDArray[np.float32]

SIGNATURES = (
    Signature(
        "serving_default",
        inputs=(TensorSpec("x", "float32", (-1, 64)),),
        outputs=(TensorSpec("probabilities", "float32", (-1, 10)),),
    ),
)


def load(directory: Path) -> Callable[..., Mapping[str, Array]]:
    with np.load(directory / "weights.npz") as weights:
        coefficients, intercepts = weights["coefficients"], weights["intercepts"]

    def predict(x: Array) -> Mapping[str, Array]:
        scores = x @ coefficients.T + intercepts
        powers = np.exp(scores - scores.max(axis=1, keepdims=True))
        return {"probabilities": powers / powers.sum(axis=1, keepdims=True)}

    return predict
