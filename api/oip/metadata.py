"""The server, its health, and what is known of a model."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from django.http import HttpResponse
from rest_framework.request import Request

from predict_worker.connect import service
from predict_worker.core.ports import Mode
from predict_worker.core.spec import ModelRef, ModelSpec, TensorSpec
from predict_worker.encoded import IMAGE

from ..views import json_response
from . import datatypes
from .errors import OipView
from .refs import default_signature, model_ref, published

EXTENSIONS = (
    *("binary_tensor_data", "classification", "model_configuration", "model_repository"),
    *("parameters", "schedule_policy", "statistics"),
)
PLATFORMS: Mapping[str, str] = {
    "saved_model": "tensorflow_savedmodel",
    "keras": "keras_keras",
    "h5": "keras_h5",
    "onnx": "onnx_onnxv1",
    "tflite": "tensorflow_tflite",
    "python": "python_python",
}
"""``<project>_<format>``, as the protocol wants it."""
CHANNELS = (1, 3, 4)
"""An image may have so many."""


class Server(OipView):
    def get(self, request: Request) -> HttpResponse:
        return json_response({"name": "predict-worker", "version": _version(), "extensions": EXTENSIONS})


class Live(OipView):
    authentication_classes = ()
    permission_classes = ()

    def get(self, request: Request) -> HttpResponse:
        return json_response({"live": True})


class Ready(OipView):
    """Redis answers, and some model has a ready worker."""

    authentication_classes = ()
    permission_classes = ()

    def get(self, request: Request) -> HttpResponse:
        service().ping()
        if any(model.ready for model in service().models()):
            return json_response({"ready": True})
        return json_response({"ready": False, "error": "no model has a ready worker"}, 503)


class Model(OipView):
    def get(self, request: Request, name: str, version: str | None = None) -> HttpResponse:
        resolved, spec = published(model_ref(name, version))
        signature = default_signature(spec)
        return json_response(
            {
                "name": name,
                "versions": [str(number) for number in resolved.entry.versions],
                "platform": PLATFORMS.get(spec.artefact, spec.artefact),
                "inputs": [_tensor(tensor) for tensor in signature.inputs],
                "outputs": [_tensor(tensor) for tensor in signature.outputs],
            }
        )


class ModelReady(OipView):
    def get(self, request: Request, name: str, version: str | None = None) -> HttpResponse:
        why_not = unready(model_ref(name, version))
        if why_not:
            return json_response({"name": name, "ready": False, "error": why_not}, 503)
        return json_response({"name": name, "ready": True})


class Config(OipView):
    """As far as Triton's model configuration has words for it."""

    def get(self, request: Request, name: str, version: str | None = None) -> HttpResponse:
        _, spec = published(model_ref(name, version))
        return json_response(_config(spec))


def unready(ref: ModelRef) -> str:
    """Why the model, in that version if one is named, would not answer now; empty: it would.

    Raises ModelNotFound, StoreUnavailable.
    """
    resolved, model = service().resolve(ref), service().model(ref.name)
    if not (model.ready.get(resolved.version) if resolved.settled else model.ready):
        return f"no ready worker has loaded version {resolved.version}"
    mode = service().queues.stats(ref.name).mode
    return "" if mode is Mode.SERVING else f"the model is {mode}"


def _tensor(spec: TensorSpec) -> dict[str, Any]:
    """An unknown rank is one open dimension: the protocol has no word for it."""
    shape = (-1,) if spec.shape is None else spec.shape
    return {"name": spec.name, "datatype": datatypes.datatype(spec.dtype), "shape": shape}


def _config(spec: ModelSpec) -> dict[str, Any]:
    signature, batch = default_signature(spec), spec.batch
    skip = 1 if signature.batched else 0

    def tensor(given: TensorSpec) -> dict[str, Any]:
        datatype = datatypes.datatype(given.dtype)
        data_type = f"TYPE_{'STRING' if datatype == 'BYTES' else datatype}"
        return {"name": given.name, "data_type": data_type, "dims": (given.shape or (-1,))[skip:]}

    config = {
        "name": spec.name,
        "platform": PLATFORMS.get(spec.artefact, spec.artefact),
        "max_batch_size": batch.max_rows if signature.batched else 0,
        "input": [{**tensor(given), "format": _format(given)} for given in signature.inputs],
        "output": [tensor(given) for given in signature.outputs],
    }
    if signature.batched:
        delay_us = int(batch.linger_ms * 1000)
        sizes = {"preferred_batch_size": batch.pad_to, "max_queue_delay_microseconds": delay_us}
        config["dynamic_batching"] = {**sizes, "priority_levels": 3, "default_priority_level": 2}
    return config


def _format(spec: TensorSpec) -> str:
    """How a file becomes a row, for clients that make tensors themselves; of no image ``FORMAT_NONE``."""
    if spec.encoded != IMAGE or len(spec.shape or ()) != 4:
        return "FORMAT_NONE"
    _, first, _, last = spec.shape or ()
    return "FORMAT_NCHW" if last not in CHANNELS and first in CHANNELS else "FORMAT_NHWC"


@cache
def _version() -> str:
    try:
        return version("predict-worker")
    except PackageNotFoundError:  # run from its sources
        return "0"
