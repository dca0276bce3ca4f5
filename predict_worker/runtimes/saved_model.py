"""TensorFlow SavedModels: every signature, called as a traced function."""

from __future__ import annotations

import logging
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2

from ..codec import Arrays
from ..core.errors import ModelLoadError
from ..core.spec import Signature
from ..inputs import bind
from ..repository.artefact import Artefact
from ..repository.manifest import Manifest
from . import recorded
from .traced import PREDICT, TracedFunction, TracedModel, Unservable

logger = logging.getLogger(__name__)

_RECORDED_MAX_BYTES = 1 << 31  # as large as a message of TensorFlow Serving can be
_SERVE = "serve"
_SHAPED_PLACEHOLDERS = 24  # the version of graphs from which a placeholder's empty shape is a scalar's
_INIT_OP = "__saved_model_init_op"
_UNKNOWN = meta_graph_pb2.SignatureDef()


class SavedModelRuntime:
    def load(self, artefact: Artefact, manifest: Manifest) -> TracedModel:
        """Raises ModelLoadError when no signature can be served, else what TensorFlow raises."""
        proto = _read_proto(artefact.path)
        loaded = _load(artefact.path, proto)
        definitions = _definitions(proto)
        functions: dict[str, TracedFunction] = {}
        for name, inner in loaded.signatures.items():
            if name == _INIT_OP:
                continue
            try:
                functions[name] = _traced(name, inner, definitions.get(name, _UNKNOWN))
            except Unservable as reason:
                logger.warning("%s: signature %s is not served: %s", artefact.path, name, reason)
        if not functions:
            raise ModelLoadError(f"no signature of {artefact.path.name}/ can be served")
        model = TracedModel(loaded, functions)
        _run_recorded(artefact.path, model)
        return model


def _run_recorded(path: Path, model: TracedModel) -> None:
    """Raises ModelLoadError: who has recorded a request wants to know that the model refuses it."""
    for position, (name, arrays) in enumerate(recorded.requests(path)):
        if name not in model.signatures:
            raise ModelLoadError(f"warm-up: recorded request {position} is for the signature {name}")
        try:
            bound = bind(model.signatures[name], Arrays(arrays), max_bytes=_RECORDED_MAX_BYTES)
            model.run(name, bound.arrays)
        except Exception as error:
            raise ModelLoadError(f"warm-up: recorded request {position}: {error}") from error


def _traced(name: str, inner: Any, definition: meta_graph_pb2.SignatureDef) -> TracedFunction:
    positional, by_name = inner.structured_input_signature
    if positional or not all(isinstance(spec, tf.TensorSpec) for spec in by_name.values()):
        raise Unservable("it takes something else than tensors by name")
    function = TracedFunction(name, inner, by_name, definition.method_name or PREDICT)
    function.signature = _with_graph_names(function.signature, definition)
    return function


def _with_graph_names(signature: Signature, definition: meta_graph_pb2.SignatureDef) -> Signature:
    return replace(
        signature,
        inputs=tuple(
            replace(spec, graph_name=definition.inputs[spec.name].name) for spec in signature.inputs
        ),
        outputs=tuple(
            replace(spec, graph_name=definition.outputs[spec.name].name) for spec in signature.outputs
        ),
    )


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
    _leave_shapes_open(graph)
    with tempfile.TemporaryDirectory() as folder:
        bare = Path(folder)
        for part in path.iterdir():
            if part.name != "saved_model.pb":
                (bare / part.name).symlink_to(part.resolve())
        (bare / "saved_model.pb").write_bytes(proto.SerializeToString())
        return tf.saved_model.load(folder, tags=None)


def _leave_shapes_open(graph: meta_graph_pb2.MetaGraphDef) -> None:
    """TensorFlow 1.0 left out shapes that it did not know; later ones read a scalar there."""
    for definition in graph.signature_def.values():
        for tensor in (*definition.inputs.values(), *definition.outputs.values()):
            if not tensor.HasField("tensor_shape"):
                tensor.tensor_shape.unknown_rank = True
    if graph.graph_def.versions.producer < _SHAPED_PLACEHOLDERS:
        for node in graph.graph_def.node:
            if node.op == "Placeholder" and not node.attr["shape"].shape.dim:
                node.attr["shape"].shape.unknown_rank = True


def _read_proto(path: Path) -> saved_model_pb2.SavedModel | None:
    """None for the text form."""
    binary = path / "saved_model.pb"
    return saved_model_pb2.SavedModel.FromString(binary.read_bytes()) if binary.exists() else None


def _definitions(proto: saved_model_pb2.SavedModel | None) -> dict[str, meta_graph_pb2.SignatureDef]:
    """What the file says of each signature; of the text form nothing is known."""
    graphs = proto.meta_graphs if proto is not None else []
    served = next((g for g in graphs if _SERVE in g.meta_info_def.tags), graphs[0] if graphs else None)
    return {} if served is None else dict(served.signature_def.items())
