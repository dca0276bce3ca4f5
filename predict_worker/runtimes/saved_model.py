"""TensorFlow SavedModels: every signature, called as a traced function."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from ..core.errors import ModelLoadError
from ..repository.artefact import Artefact
from ..repository.manifest import Manifest
from .traced import PREDICT, TracedFunction, TracedModel, Unservable

logger = logging.getLogger(__name__)

_SERVE = "serve"
_INIT_OP = "__saved_model_init_op"


class SavedModelRuntime:
    def load(self, artefact: Artefact, manifest: Manifest) -> TracedModel:
        """Raises ModelLoadError when no signature can be served, else what TensorFlow raises."""
        proto = _read_proto(artefact.path)
        loaded = _load(artefact.path, proto)
        methods = _methods(proto)
        functions: dict[str, TracedFunction] = {}
        for name, inner in loaded.signatures.items():
            if name == _INIT_OP:
                continue
            try:
                functions[name] = _traced(name, inner, methods.get(name) or PREDICT)
            except Unservable as reason:
                logger.warning("%s: signature %s is not served: %s", artefact.path, name, reason)
        if not functions:
            raise ModelLoadError(f"no signature of {artefact.path.name}/ can be served")
        return TracedModel(loaded, functions)


def _traced(name: str, inner: Any, method_name: str) -> TracedFunction:
    positional, by_name = inner.structured_input_signature
    if positional or not all(isinstance(spec, tf.TensorSpec) for spec in by_name.values()):
        raise Unservable("it takes something else than tensors by name")
    return TracedFunction(name, inner, by_name, method_name)


def _load(path: Path, proto: saved_model_pb2.SavedModel | None) -> Any:
    several = proto is not None and len(proto.meta_graphs) > 1
    try:
        return tf.saved_model.load(str(path), tags=[_SERVE] if several else None)
    except Exception as error:
        if proto is None or len(proto.meta_graphs) != 1:
            raise
        try:
            loaded = _load_graph_alone(path, proto)
        except Exception:
            logger.info("%s: its graph alone does not load either", path, exc_info=True)
            raise error from None
        logger.warning("%s: loaded without its Python objects, which fail with: %s", path, error)
        return loaded


def _load_graph_alone(path: Path, proto: saved_model_pb2.SavedModel) -> Any:
    """By the graph, signatures and variables, as TensorFlow 1 did.

    The Python objects that an export describes besides are for more training. Those of TensorFlow 2.3 to
    2.5 with an optimizer are refused by later ones ("'_UserObject' object has no attribute 'add_slot'").
    TensorFlow takes its older loader when they are missing.
    """
    graph = proto.meta_graphs[0]
    graph.ClearField("object_graph_def")
    # That loader would make the initialiser a signature too, which fails where it reads assets. The graph
    # names it in a collection besides.
    graph.signature_def.pop(_INIT_OP, None)
    with tempfile.TemporaryDirectory() as folder:
        bare = Path(folder)
        for part in path.iterdir():
            if part.name != "saved_model.pb":
                (bare / part.name).symlink_to(part.resolve())
        (bare / "saved_model.pb").write_bytes(proto.SerializeToString())
        return tf.saved_model.load(folder, tags=None)


def _read_proto(path: Path) -> saved_model_pb2.SavedModel | None:
    """None for the text form."""
    binary = path / "saved_model.pb"
    return saved_model_pb2.SavedModel.FromString(binary.read_bytes()) if binary.exists() else None


def _methods(proto: saved_model_pb2.SavedModel | None) -> dict[str, str]:
    """The method name of each signature; of the text form nothing is known."""
    graphs = proto.meta_graphs if proto is not None else []
    served = next((g for g in graphs if _SERVE in g.meta_info_def.tags), graphs[0] if graphs else None)
    signatures = {} if served is None else dict(served.signature_def.items())
    return {name: definition.method_name for name, definition in signatures.items()}
