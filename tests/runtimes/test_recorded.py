"""Requests recorded for TensorFlow Serving's warm-up run when a SavedModel is loaded."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import tensorflow as tf

from predict_worker.core.errors import ModelLoadError
from predict_worker.repository.artefact import Artefact
from predict_worker.repository.manifest import Manifest
from predict_worker.runtimes.recorded import FILE
from predict_worker.runtimes.saved_model import SavedModelRuntime


def field(number: int, content: bytes) -> bytes:
    """A length-delimited field on the wire; contents of up to 16,383 bytes."""
    size = (
        bytes([len(content)]) if len(content) < 128 else bytes([len(content) & 127 | 128, len(content) >> 7])
    )
    return bytes([number << 3 | 2]) + size + content


def request(signature: str, **inputs: object) -> bytes:
    """A PredictionLog with metadata that nobody reads here, and a PredictRequest."""
    spec = field(1, field(1, b"model") + field(3, signature.encode()))
    entries = [
        field(2, field(1, name.encode()) + field(2, tf.make_tensor_proto(value).SerializeToString()))
        for name, value in inputs.items()
    ]
    return field(1, b"\x10\x01") + field(6, field(1, spec + b"".join(entries)))


def records(*given: bytes) -> bytes:
    return b"".join(struct.pack("<Q", len(one)) + b"\0" * 4 + one + b"\0" * 4 for one in given)


@pytest.fixture
def counting(tmp_path: Path) -> Callable[[bytes], int]:
    """Loads a model that counts the rows it has seen, with such a file; returns the count."""
    version = tmp_path / "model" / "1"
    module = tf.Module()
    module.seen = tf.Variable(0)

    @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32, name="x")])
    def serve(x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"seen": tf.reshape(module.seen.assign_add(tf.shape(x)[0]), [1])}

    module.serve = serve
    tf.saved_model.save(module, str(version), {"serving_default": serve})

    def load(content: bytes) -> int:
        (version / FILE).parent.mkdir(exist_ok=True)
        (version / FILE).write_bytes(content)
        model = SavedModelRuntime().load(Artefact("saved_model", version, ""), Manifest())
        seen = model.run("serving_default", {"x": tf.zeros([0, 2]).numpy()})["seen"]
        return int(seen[0])

    return load


def test_recorded_requests_run_in_their_shapes(counting: Callable[[bytes], int]) -> None:
    small, large = request("", x=[[1.0, 2.0]]), request("serving_default", x=[[0.0, 0.0]] * 200)
    other = field(3, b"a classify log")
    assert counting(records(small, other, large)) == 201


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (records(request("other", x=[[1.0, 2.0]])), "signature other"),
        (records(request("", y=[[1.0, 2.0]])), "inputs.y"),
        (records(request("", x=[[1.0, 2.0, 3.0]])), "shape"),
        (records(request("", x=[[1.0, 2.0]]))[:-30], "unreadable"),
        (records(b"\x0f"), "wire type"),
        (records(b"\x32\xff"), "unreadable"),
    ],
)
def test_what_the_model_would_refuse_is_told(
    counting: Callable[[bytes], int], content: bytes, told: str
) -> None:
    with pytest.raises(ModelLoadError, match=told):
        counting(content)
