"""Every example of docs/webhooks.md does what the page says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs_runner import Example, examples
from tests.system.stack import Stack, until

PAGE = "webhooks"
_MODEL = """
from predict_worker.core.spec import Signature, TensorSpec
import numpy as np

X, Y = TensorSpec("x", "float32", (-1, 8, 8, 1)), TensorSpec("probabilities", "float32", (-1, 10))
SIGNATURES = (Signature("serving_default", (X,), (Y,)),)

def load(directory):
    return lambda x: {"probabilities": np.full((len(x), 10), 0.1, np.float32)}
"""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    models = tmp_path_factory.mktemp("models")
    (models / "digits" / "1").mkdir(parents=True)
    (models / "digits" / "1" / "model.py").write_text(_MODEL)
    settings = {"PREDICT_WORKER_ALLOW_PYTHON_MODELS": "1", "PREDICT_WORKER_WEBHOOK_ALLOW": "127.0.0.1"}
    shared = Stack(tmp_path_factory.mktemp("stack"), models, **settings)
    try:
        yield shared.start(children=1)
    finally:
        shared.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one example writes another reads."""
    return tmp_path_factory.mktemp("examples")


@pytest.mark.parametrize("example", examples(PAGE), ids=str)
def test_example(example: Example, stack: Stack, folder: Path) -> None:
    def pending() -> bool:
        deliveries = stack.http.get("/api/hooks/deliveries").json()["deliveries"]
        return any(delivery["state"] == "pending" for delivery in deliveries)

    if "deliveries?limit=1" in example.code:  # a reader is slower than this test
        until(lambda: not pending(), 10, "the note of the delivery")
    example.run(f"127.0.0.1:{stack.port}", folder)


def test_there_are_examples() -> None:
    assert len(examples(PAGE)) == 7
