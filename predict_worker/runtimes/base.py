"""What a runtime is, and which one loads which kind of artefact.

A runtime's module is imported when an artefact of its kind is first loaded, so a worker
imports only the libraries that its models need.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol, cast

from ..codec.dtypes import Array
from ..core.errors import ModelLoadError
from ..core.spec import Signature
from ..repository.artefact import Artefact
from ..repository.manifest import Manifest


class Runnable(Protocol):
    """A loaded artefact; its memory goes with the last reference to it."""

    @property
    def signatures(self) -> Mapping[str, Signature]:
        """By name. Every dtype is one of ``codec.DTYPES`` or string."""
        ...

    def run(self, signature_name: str, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """All outputs by name, in canonical form. ``inputs`` fit the signature; raises whatever
        the model raises."""
        ...


class Runtime(Protocol):
    def load(self, artefact: Artefact, manifest: Manifest) -> Runnable:
        """Raises whatever the library raises for an artefact that it cannot load."""
        ...


@dataclass(frozen=True, slots=True)
class _Adapter:
    """``"module:Class"``, and the library that takes long to import and may be imported before the fork."""

    target: str
    library: str = ""


_ADAPTERS: Mapping[str, _Adapter] = {
    "saved_model": _Adapter("predict_worker.runtimes.saved_model:SavedModelRuntime", "tensorflow"),
    "keras": _Adapter("predict_worker.runtimes.keras:KerasRuntime", "tensorflow"),
    "h5": _Adapter("predict_worker.runtimes.keras:KerasRuntime", "tensorflow"),
    "tflite": _Adapter("predict_worker.runtimes.litert:LiteRTRuntime", "ai_edge_litert.interpreter"),
    "onnx": _Adapter("predict_worker.runtimes.onnx:OnnxRuntime", "onnxruntime"),
    "python": _Adapter("predict_worker.runtimes.python:PythonRuntime"),
}


def runtime_for(kind: str, *, allow_python: bool = False) -> Runtime:
    """Raises ModelLoadError for a kind that nothing here can load, or whose library is not installed; for
    Python models, which run whatever code lies in the repository, unless they are allowed."""
    if kind not in _ADAPTERS:
        raise ModelLoadError(
            f"no runtime loads artefacts of kind {kind}; there is one for {', '.join(_ADAPTERS)}"
        )
    if kind == "python" and not allow_python:
        raise ModelLoadError(
            "a Python model runs its own code: it is loaded only where ALLOW_PYTHON_MODELS is set"
        )
    module, _, name = _ADAPTERS[kind].target.partition(":")
    try:
        return cast(Runtime, getattr(import_module(module), name)())
    except ImportError as error:
        raise ModelLoadError(f"the runtime for {kind} cannot be imported: {error}") from error


def parent_imports(kinds: Iterable[str]) -> frozenset[str]:
    """The libraries that a worker's parent imports for its children; it must not run anything in them."""
    return frozenset(_ADAPTERS[kind].library for kind in kinds if kind in _ADAPTERS) - {""}
