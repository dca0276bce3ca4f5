"""Models without a library: plain functions behind the ports that the batch and the registry use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from predict_worker.core.spec import BatchPolicy, ModelSpec, Signature, TensorSpec
from predict_worker.registry import LoadedModel
from predict_worker.repository.manifest import parse_manifest
from predict_worker.transforms.registration import Factory, find_registered
from predict_worker.transforms.steps import make_steps

Function = Callable[..., Mapping[str, Any]]

X = TensorSpec("x", "float32", (-1, 2))
Y = TensorSpec("y", "float32", (-1, 2))


def double(x: Any) -> Mapping[str, Any]:
    return {"y": x * 2}


class FunctionRunnable:
    """Runs a function; remembers the rows of each call."""

    def __init__(self, function: Function = double, *signatures: Signature) -> None:
        self._function = function
        self.signatures = {s.name: s for s in signatures or (Signature("serving_default", (X,), (Y,)),)}
        self.calls: list[int] = []

    def run(self, signature_name: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
        first = next(iter(inputs.values()))
        self.calls.append(len(first) if np.ndim(first) else 1)
        return dict(self._function(**inputs))


def loaded(
    function: Function = double, *signatures: Signature, version: int = 1, **spec: Any
) -> tuple[LoadedModel, list[int]]:
    """A loaded model, and the rows of the calls that it gets."""
    runnable = FunctionRunnable(function, *signatures)
    fields = {"batch": BatchPolicy(), **spec}
    model = ModelSpec("m", version, "saved_model", f"sha256:{version}", runnable.signatures, **fields)
    return LoadedModel(model, runnable, 1.0), runnable.calls


def transformed(
    model_toml: str, function: Function, *signatures: Signature, directory: Path = Path(), **own: Factory
) -> tuple[LoadedModel, list[int]]:
    """As :func:`loaded`, with the transforms that ``model.toml`` chooses; ``own`` ones are not registered."""
    runnable = FunctionRunnable(function, *signatures)
    manifest = parse_manifest(model_toml)

    def find(stage: str, name: str) -> Factory:
        return own.get(name) or find_registered(stage, name)

    steps = make_steps(manifest, runnable.signatures, [directory], find)
    spec = ModelSpec(
        "m",
        1,
        "saved_model",
        "sha256:1",
        steps.published(runnable.signatures),
        batch=manifest.batch,
        inputs_finite=manifest.inputs_finite,
        outputs_finite=manifest.outputs_finite,
    )
    return LoadedModel(spec, runnable, 1.0, steps), runnable.calls
