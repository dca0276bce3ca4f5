"""ONNX models, by ONNX Runtime on the CPU."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnxruntime

from ..codec.dtypes import STRING, Array, byte_strings
from ..core.errors import ModelLoadError
from ..core.spec import DEFAULT_SIGNATURE, DYNAMIC, Signature, TensorSpec
from ..repository.artefact import Artefact
from ..repository.manifest import Manifest
from .threads import threads

logger = logging.getLogger(__name__)

_DTYPES = {
    **{f"tensor({name})": name for name in ("bool", "int8", "int16", "int32", "int64", "float16", "string")},
    **{f"tensor({name})": name for name in ("uint8", "uint16", "uint32", "uint64")},
    "tensor(float)": "float32",
    "tensor(double)": "float64",
}


class OnnxRuntime:
    def load(self, artefact: Artefact, manifest: Manifest) -> OnnxModel:
        """Raises ModelLoadError for an input that is no tensor which can be sent, else what ONNX Runtime
        raises."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads()
        options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(
            str(artefact.path), options, providers=["CPUExecutionProvider"]
        )
        return OnnxModel(session, artefact.path.name)


class OnnxModel:
    """The graph is the one signature. A dimension with a name, or unknown, is dynamic.

    Outputs that are no tensors (the lists of dictionaries of some converted classifiers) are left out.
    """

    def __init__(self, session: Any, title: str) -> None:
        self._session = session
        inputs = _specs(session.get_inputs())
        outputs = [node for node in session.get_outputs() if node.type in _DTYPES]
        for node in session.get_outputs():
            if node not in outputs:
                logger.warning("%s: output %s is left out: it is a %s", title, node.name, node.type)
        if not outputs:
            raise ModelLoadError(f"no output of {title} is a tensor that can be sent")
        self._names = [node.name for node in outputs]
        self._strings = {spec.name for spec in inputs if spec.dtype == STRING}
        self.signatures: Mapping[str, Signature] = {
            DEFAULT_SIGNATURE: Signature(DEFAULT_SIGNATURE, inputs, _specs(outputs))
        }

    def run(self, signature_name: str, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Raises UnicodeDecodeError for a string that is not UTF-8: ONNX Runtime takes no other."""
        given = {n: _texts(array) if n in self._strings else array for n, array in inputs.items()}
        answers = self._session.run(self._names, given)
        return {n: _array(answer) for n, answer in zip(self._names, answers, strict=True)}


def _specs(nodes: Sequence[Any]) -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(node.name, _dtype(node), _shape(node.shape)) for node in nodes)


def _dtype(node: Any) -> str:
    if node.type not in _DTYPES:
        raise ModelLoadError(f"input {node.name} is a {node.type}, which cannot be sent")
    return _DTYPES[node.type]


def _shape(sizes: Sequence[Any]) -> tuple[int, ...] | None:
    """None where there are no dimensions: ONNX Runtime tells a scalar so, and an unknown rank too."""
    return tuple(size if isinstance(size, int) else DYNAMIC for size in sizes) or None


def _texts(array: Array) -> Array:
    out = np.empty(array.shape, object)
    out.reshape(-1)[:] = [element.decode() for element in array.reshape(-1).tolist()]
    return out


def _array(answer: Any) -> Array:
    array = np.asarray(answer)
    return byte_strings(array) if array.dtype == object else array
