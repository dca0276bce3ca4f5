"""docs/schema.md says what happens."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs_runner import Example, examples
from tests.system.stack import Stack

_DIGITS = """
import numpy as np
from predict_worker.core.spec import Signature, TensorSpec

X = TensorSpec("x", "float32", (-1, 8, 8, 1))
PROBABILITIES = TensorSpec("probabilities", "float32", (-1, 10))
SIGNATURES = (Signature("serving_default", (X,), (PROBABILITIES,)),)

def load(directory):
    return lambda x: {"probabilities": np.full((len(x), 10), 0.1, np.float32)}
"""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    models = tmp_path_factory.mktemp("models")
    (models / "digits" / "1").mkdir(parents=True)
    (models / "digits" / "1" / "model.py").write_text(_DIGITS)
    shared = Stack(tmp_path_factory.mktemp("stack"), models, PREDICT_WORKER_ALLOW_PYTHON_MODELS="1")
    try:
        yield shared.start(children=1)
    finally:
        shared.close()


@pytest.mark.parametrize("example", examples("schema"), ids=str)
def test_example(example: Example, stack: Stack, tmp_path: Path) -> None:
    example.run(f"127.0.0.1:{stack.port}", tmp_path)


def test_there_are_examples() -> None:
    assert len(examples("schema")) == 2
