"""LiteRT (TensorFlow Lite) models, without TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from ..codec.dtypes import DTYPES, STRING, Array
from ..core.errors import ModelLoadError
from ..core.spec import DEFAULT_SIGNATURE, Signature, TensorSpec
from ..repository.artefact import Artefact
from ..repository.manifest import Manifest
from .threads import threads

_BFLOAT16 = "bfloat16"


class LiteRTRuntime:
    def load(self, artefact: Artefact, manifest: Manifest) -> LiteRTModel:
        """Raises ModelLoadError for a tensor of a dtype that cannot travel, else what LiteRT raises."""
        # By content: a mapped file that somebody copies over would change, or end, under the running model.
        content = artefact.path.read_bytes()
        return LiteRTModel(Interpreter(model_content=content, num_threads=threads()))


class LiteRTModel:
    """Quantised tensors are taken and answered as the model declares them. bfloat16, which NumPy does not
    have, is float32 outside of the model.

    A model of an old converter has no signatures: the names of its tensors serve instead.
    """

    def __init__(self, interpreter: Any) -> None:
        names = interpreter.get_signature_list()
        self._calls = (
            {name: _Signed(interpreter, name) for name in names}
            if names
            else {DEFAULT_SIGNATURE: _Unsigned(interpreter)}
        )
        self.signatures: Mapping[str, Signature] = {
            name: Signature(name, _specs(call.inputs), _specs(call.outputs))
            for name, call in self._calls.items()
        }

    def run(self, signature_name: str, inputs: Mapping[str, Array]) -> dict[str, Array]:
        call = self._calls[signature_name]
        given = {
            name: array.astype(call.inputs[name]["dtype"]) if _is_narrow(call.inputs[name]) else array
            for name, array in inputs.items()
        }
        return {
            name: array.astype(np.float32) if _is_narrow(call.outputs[name]) else array
            for name, array in call.run(given).items()
        }


class _Signed:
    """One signature. LiteRT plans its memory anew only when the size of an input has changed."""

    def __init__(self, interpreter: Any, name: str) -> None:
        self._runner = interpreter.get_signature_runner(name)
        self.inputs: Mapping[str, Any] = self._runner.get_input_details()
        self.outputs: Mapping[str, Any] = self._runner.get_output_details()

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        return dict(self._runner(**inputs))


class _Unsigned:
    """The only graph of a model without signatures."""

    def __init__(self, interpreter: Any) -> None:
        self._interpreter = interpreter
        self.inputs = {details["name"]: details for details in interpreter.get_input_details()}
        self.outputs = {details["name"]: details for details in interpreter.get_output_details()}
        interpreter.allocate_tensors()

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        for name, array in inputs.items():
            self._interpreter.resize_tensor_input(self.inputs[name]["index"], array.shape)
        self._interpreter.allocate_tensors()
        for name, array in inputs.items():
            self._interpreter.set_tensor(self.inputs[name]["index"], array)
        self._interpreter.invoke()
        return {name: self._interpreter.get_tensor(out["index"]) for name, out in self.outputs.items()}


def _specs(tensors: Mapping[str, Any]) -> tuple[TensorSpec, ...]:
    return tuple(
        TensorSpec(name, _dtype(name, details), tuple(map(int, details["shape_signature"])))
        for name, details in tensors.items()
    )


def _dtype(name: str, details: Any) -> str:
    if details["dtype"] is np.bytes_:
        return STRING
    dtype = str(np.dtype(details["dtype"]).name)
    if dtype == _BFLOAT16:
        return "float32"
    if dtype not in DTYPES:
        raise ModelLoadError(f"tensor {name} is of dtype {dtype}, which cannot be sent")
    return dtype


def _is_narrow(details: Any) -> bool:
    return details["dtype"] is not np.bytes_ and np.dtype(details["dtype"]).name == _BFLOAT16
