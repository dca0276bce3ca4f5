"""Python models: a ``model.py`` that says what it takes and answers, and a function that does it.

::

    from predict_worker.core.spec import Signature, TensorSpec

    SIGNATURES = (
        Signature(
            "serving_default",
            inputs=(TensorSpec("x", "float32", (-1, 64)),),
            outputs=(TensorSpec("y", "float32", (-1,)),),
        ),
    )

    def load(directory):                          # the version's directory, a pathlib.Path
        weights = numpy.load(directory / "weights.npy")
        return lambda x: {"y": x @ weights}       # NumPy arrays by name in, by name out

``load`` is called once in each worker process. It returns the function of the only signature, or a
dictionary of functions by signature name. A function takes the inputs as keyword arguments and
returns every output in the dtype and shape that it has declared. Rows of several jobs are stacked
where the first dimension of all inputs and outputs is -1. Strings are object arrays of ``bytes``. What
a function raises fails the job; ``predict_worker.Retryable`` has it run again a little later.

The file is imported by its path: what lies beside it is read from ``directory``, code to be shared is
installed as a package.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from ..codec.dtypes import Array
from ..core.errors import ModelLoadError
from ..core.spec import Signature
from ..declared import as_declared, check_specs
from ..repository.artefact import Artefact
from ..repository.manifest import Manifest

Function = Callable[..., Mapping[str, Any]]


class PythonRuntime:
    def load(self, artefact: Artefact, manifest: Manifest) -> PythonModel:
        """Raises ModelLoadError where ``model.py`` does not keep to the contract, else what it raises."""
        module = _imported(artefact.path)
        signatures = _signatures(module)
        if not callable(getattr(module, "load", None)):
            raise ModelLoadError(f"{artefact.path.name} has no function load(directory)")
        return PythonModel(signatures, _functions(module.load(artefact.path.parent), signatures))


class PythonModel:
    def __init__(self, signatures: Mapping[str, Signature], functions: Mapping[str, Function]) -> None:
        self.signatures, self._functions = signatures, functions

    def run(self, signature_name: str, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Raises TypeError or ValueError for an answer that is not as declared; what the function raises."""
        answer = self._functions[signature_name](**inputs)
        return as_declared(self.signatures[signature_name].outputs, answer)


def _imported(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"{__name__}.of.{path.parent.parent.name}", path)
    if spec is None or spec.loader is None:
        raise ModelLoadError(f"{path.name} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _signatures(module: ModuleType) -> dict[str, Signature]:
    declared = getattr(module, "SIGNATURES", None)
    if not isinstance(declared, tuple | list) or not declared:
        raise ModelLoadError("SIGNATURES: expected a tuple of one Signature or more")
    for signature in declared:
        if not isinstance(signature, Signature):
            raise ModelLoadError(f"SIGNATURES: expected a Signature, got {signature!r}")
        check_specs(f"signature {signature.name}", (*signature.inputs, *signature.outputs))
    return {signature.name: signature for signature in declared}


def _functions(loaded: Any, signatures: Mapping[str, Signature]) -> Mapping[str, Function]:
    functions = dict.fromkeys(signatures, loaded) if callable(loaded) and len(signatures) == 1 else loaded
    if not isinstance(functions, Mapping) or functions.keys() != signatures.keys():
        got = sorted(functions) if isinstance(functions, Mapping) else type(functions).__name__
        raise ModelLoadError(f"load: expected a function for each of {', '.join(signatures)}, got {got}")
    return functions
