"""The first runs of a freshly loaded model: libraries plan and allocate then, not at the first job."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from .codec import Arrays, read_npy, read_npz
from .codec.dtypes import DTYPES, STRING, Array
from .core.errors import ModelLoadError, PredictionError
from .core.spec import DEFAULT_SIGNATURE, DYNAMIC, BatchPolicy, ModelSpec, Signature, TensorSpec
from .encoded import image_type
from .inputs import bind
from .runtimes.base import Runnable
from .transforms.steps import Steps

logger = logging.getLogger(__name__)


def warm(spec: ModelSpec, runnable: Runnable, steps: Steps, examples: tuple[Path, ...]) -> None:
    """Run the owner's examples through the default signature as a caller would send them, transforms
    included, and made-up inputs through each of the model's own at the batch sizes that will be common.

    Raises ModelLoadError when an example, or made-up input of a fully known shape, is refused.
    """
    for example in examples:
        run_example(spec, runnable, steps, example)
    for name, signature in runnable.signatures.items():
        for rows in _sizes(signature, spec.batch):
            inputs = {tensor.name: _ones(tensor, rows) for tensor in signature.inputs}
            try:
                runnable.run(name, inputs)
            except Exception as error:
                if _certain(signature):
                    raise ModelLoadError(f"warm-up of signature {name} with {rows} rows: {error}") from error
                logger.info("%s: signature %s does not take made-up inputs: %s", spec.name, name, error)
                break


def run_example(spec: ModelSpec, runnable: Runnable, steps: Steps, example: Path) -> None:
    """An owner's example as a caller would send it. Raises ModelLoadError."""
    if DEFAULT_SIGNATURE not in spec.signatures:
        raise ModelLoadError(
            f"warm-up: {example.name} is for the signature {DEFAULT_SIGNATURE}, which is missing"
        )
    try:
        limit = spec.batch.max_bytes
        arrays = _arrays(example.suffix, example.read_bytes(), limit)
        bound = bind(spec.signatures[DEFAULT_SIGNATURE], Arrays(arrays), max_bytes=limit)
        inputs = steps.before(DEFAULT_SIGNATURE, bound.arrays)
        steps.after(DEFAULT_SIGNATURE, runnable.run(DEFAULT_SIGNATURE, inputs))
    except (PredictionError, OSError) as error:
        raise ModelLoadError(f"warm-up with {example.name}: {error}") from error


def _arrays(suffix: str, data: bytes, max_bytes: int) -> dict[str, Array]:
    if suffix == ".npz":
        return read_npz(data, max_bytes)
    return {"": np.array([data], object) if image_type(data) else read_npy(data, "inputs")}


def _sizes(signature: Signature, policy: BatchPolicy) -> Iterator[int]:
    """Rows of the calls to warm: one, the padded sizes, and a full batch as far as its bytes allow."""
    if not signature.batched:
        yield 1
        return
    row_bytes = sum(_ones(tensor, 1).nbytes for tensor in signature.inputs)
    most = max(1, min(policy.max_rows, policy.max_bytes // max(row_bytes, 1)))
    yield from sorted({1, most, *(size for size in policy.pad_to if size <= most)})


def _ones(tensor: TensorSpec, rows: int) -> Array:
    """Ones rather than zeros: they divide, have a logarithm, and are a valid index of most tables."""
    sizes = tensor.shape or ()
    shape = tuple(
        size if size != DYNAMIC else rows if position == 0 else 1 for position, size in enumerate(sizes)
    )
    return np.full(shape, b"1", object) if tensor.dtype == STRING else np.ones(shape, DTYPES[tensor.dtype])


def _certain(signature: Signature) -> bool:
    """Whether made-up inputs are inputs that the model must take: numbers of fully known shapes."""
    return all(
        tensor.dtype != STRING and tensor.shape is not None and DYNAMIC not in tensor.shape[1:]
        for tensor in signature.inputs
    )
