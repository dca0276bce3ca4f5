"""docs/open-inference-protocol.md says what happens."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs_runner import Example, examples
from tests.system.stack import Stack

PAGE = "open-inference-protocol"
_MODEL = """
from predict_worker.core.spec import Signature, TensorSpec

X, Y = (TensorSpec(name, "float32", (-1, 2)) for name in "xy")
SIGNATURES = (Signature("serving_default", (X,), (Y,)),)

def load(directory):
    return lambda x: {"y": x / 2 + 2}
"""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    models = tmp_path_factory.mktemp("models")
    (models / "half_plus_two" / "1").mkdir(parents=True)
    (models / "half_plus_two" / "1" / "model.py").write_text(_MODEL)
    shared = Stack(tmp_path_factory.mktemp("stack"), models, PREDICT_WORKER_ALLOW_PYTHON_MODELS="1")
    try:
        yield shared.start(children=1)
    finally:
        shared.close()


@pytest.mark.parametrize("example", examples(PAGE), ids=str)
def test_example(example: Example, stack: Stack, tmp_path: Path) -> None:
    example.run(f"127.0.0.1:{stack.port}", tmp_path)


def test_there_are_examples() -> None:
    assert len(examples(PAGE)) == 15
