"""``top_k``: scores become the k best labels with their scores."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..codec.dtypes import DTYPES, Array
from ..core.errors import ModelLoadError
from ..core.spec import DYNAMIC, Signature, TensorSpec
from .registration import Arrays, Options, Transform, post
from .tensors import only

LABELS, SCORES = "labels", "scores"
DEFAULT_K = 5


@post("top_k")
def top_k(signature: Signature, options: Options) -> Transform:
    """``labels`` string and ``scores`` float32, each ``[batch, k]``, best first, in the place of the output
    that holds the scores; the model's other outputs stay."""
    source = only("top_k.output", signature.outputs, options.get("output"))
    shape = source.shape or ()
    if len(shape) != 2 or source.dtype not in DTYPES or DTYPES[source.dtype].kind not in "fiu":
        text = f"expected scores [batch, classes], {source.name} is {source.dtype} of shape {list(shape)}"
        raise ModelLoadError(f"top_k: {text}")
    batch, classes = shape
    labels = _labels(options, classes)
    k = options.get("k", DEFAULT_K)
    others = tuple(spec for spec in signature.outputs if spec is not source)
    if taken := {spec.name for spec in others} & {LABELS, SCORES}:
        raise ModelLoadError(f"top_k: the model has an output {taken.pop()} of its own")

    def convert(arrays: Arrays) -> Mapping[str, Array]:
        scores = arrays[source.name].astype(np.float32)
        if options.get("softmax", False):
            scores = softmax(scores)
        best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        names = labels if labels is not None else _numbers(scores.shape[1])
        rest = {spec.name: arrays[spec.name] for spec in others}
        return {LABELS: names[best], SCORES: np.take_along_axis(scores, best, axis=1), **rest}

    best_k = batch, DYNAMIC if classes == DYNAMIC else min(k, classes)
    given = TensorSpec(LABELS, "string", best_k), TensorSpec(SCORES, "float32", best_k)
    return Transform((*given, *others), convert)


def softmax(scores: Array) -> Array:
    """Along the last axis."""
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    quotient: Array = powers / powers.sum(axis=-1, keepdims=True)
    return quotient


def _labels(options: Options, classes: int) -> Array | None:
    file = options.get("labels")
    if file is None:
        return None
    lines = options.lines(file)
    if classes not in (DYNAMIC, len(lines)):
        raise ModelLoadError(f"top_k.labels: expected {classes} lines, {file} has {len(lines)}")
    return np.array([line.encode() for line in lines], object)


def _numbers(count: int) -> Array:
    return np.array([b"%d" % number for number in range(count)], object)
