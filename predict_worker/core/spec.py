"""What a model is: its name as a caller asks for it, and one exact version of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from .errors import InvalidRequest

MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}\Z")
DEFAULT_SIGNATURE = "serving_default"
DYNAMIC = -1
"""A dimension that any size fits."""


@dataclass(frozen=True, slots=True)
class ModelRef:
    """What a caller asks for: a name, and a version or a label if any."""

    name: str
    version: int | None = None
    label: str | None = None

    def __post_init__(self) -> None:
        if not MODEL_NAME.match(self.name):
            raise InvalidRequest("model", f"a name matching {MODEL_NAME.pattern[:-2]}", repr(self.name))
        if self.version is not None and self.label is not None:
            raise InvalidRequest("label", "either version or label, not both", "both")

    def __str__(self) -> str:
        if self.version is not None:
            return f"{self.name}, version {self.version}"
        return f"{self.name}, label {self.label!r}" if self.label else self.name


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """Name, dtype (TensorFlow's name) and shape of one input or output.

    ``shape`` is None when even the rank is unknown; -1 marks a dynamic dimension. ``encoded`` says what
    a caller may send instead, one byte string a row: an ``image`` (PNG, JPEG, WebP) or a ``text``, of
    which a transform in the worker makes the tensor. ``graph_name`` is the tensor's in a TensorFlow graph
    (``x:0``), where one is known: shown to callers, nothing else.
    """

    name: str
    dtype: str
    shape: tuple[int, ...] | None
    encoded: str = ""
    graph_name: str = field(default="", compare=False)

    @property
    def batched(self) -> bool:
        return bool(self.shape) and self.shape is not None and self.shape[0] == DYNAMIC


@dataclass(frozen=True, slots=True)
class Signature:
    """One callable of a model: named inputs to named outputs."""

    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    method_name: str = "tensorflow/serving/predict"

    @property
    def batched(self) -> bool:
        """True when rows of different jobs may be stacked along the first dimension."""
        return bool(self.inputs) and all(spec.batched for spec in (*self.inputs, *self.outputs))

    @property
    def divisible(self) -> bool:
        """True when the rows of one job may also run in different batches: all answers then have rows of
        one shape, and can be joined."""
        return self.batched and not any(DYNAMIC in (spec.shape or ())[1:] for spec in self.outputs)

    def input(self, name: str) -> TensorSpec | None:
        return next((spec for spec in self.inputs if spec.name == name), None)


@dataclass(frozen=True, slots=True)
class BatchPolicy:
    """How far jobs are merged into one call."""

    max_rows: int = 64
    max_bytes: int = 16 * 1024 * 1024
    linger_ms: float = 0.0
    pad_to: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """What follows an error that is marked retryable: up to ``attempts`` runs in all, after pauses that
    double from ``backoff_s`` up to ``max_backoff_s``."""

    attempts: int = 3
    backoff_s: float = 1.0
    max_backoff_s: float = 60.0

    def pause_s(self, retries: int, share: float) -> float | None:
        """Before the next run, after so many retries; None if there is none. ``share`` from 0 to 1 spreads
        the pauses over the upper half of their range, so that what failed together comes back apart."""
        if retries + 1 >= self.attempts:
            return None
        longest_s = min(self.backoff_s * 2.0 ** min(retries, 100), self.max_backoff_s)
        return longest_s * (1 + share) / 2


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """One exact version of a model, as published by a worker that has loaded it."""

    name: str
    version: int
    artefact: str
    digest: str
    signatures: Mapping[str, Signature]
    batch: BatchPolicy = field(default_factory=BatchPolicy)
    timeout_s: float = 30.0
    queue_max_jobs: int = 10_000
    inputs_finite: bool = False
    outputs_finite: bool = False
    retry: RetryPolicy = field(default_factory=RetryPolicy)

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "signatures": [asdict(s) for s in self.signatures.values()]}

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> ModelSpec:
        fields = dict(raw)
        signatures = [_signature(s) for s in fields.pop("signatures")]
        batch = fields.pop("batch")
        retry = fields.pop("retry", {})
        return cls(
            **fields,
            signatures={s.name: s for s in signatures},
            batch=BatchPolicy(**{**batch, "pad_to": tuple(batch["pad_to"])}),
            retry=RetryPolicy(**retry),
        )


def _signature(raw: Mapping[str, Any]) -> Signature:
    return Signature(
        raw["name"],
        tuple(_tensor_spec(t) for t in raw["inputs"]),
        tuple(_tensor_spec(t) for t in raw["outputs"]),
        raw["method_name"],
    )


def _tensor_spec(raw: Mapping[str, Any]) -> TensorSpec:
    shape = raw["shape"]
    known = None if shape is None else tuple(shape)
    return TensorSpec(raw["name"], raw["dtype"], known, raw.get("encoded", ""), raw.get("graph_name", ""))
