"""The example of a Python model, from training to an answer."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from predict_worker.registry import ModelRegistry
from predict_worker.repository.directory import ModelRepository
from predict_worker.runtimes.base import runtime_for

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def test_the_scikit_learn_example_is_trained_loaded_and_right(tmp_path: Path) -> None:
    datasets = pytest.importorskip("sklearn.datasets")
    script = EXAMPLES / "sklearn_digits" / "train.py"
    environment = {**os.environ, "MODEL_REPOSITORY": str(tmp_path)}
    for said in ("held-out images are right", "is there already"):
        ran = subprocess.run(
            [sys.executable, script], env=environment, check=True, capture_output=True, text=True
        )
        assert said in ran.stdout
    registry = ModelRegistry(ModelRepository(tmp_path), partial(runtime_for, allow_python=True))
    model = registry.load("sklearn_digits", 1)
    assert model.spec.signatures["serving_default"].divisible
    digits = datasets.load_digits()
    answer = model.run("serving_default", {"x": digits.data.astype(np.float32)})["probabilities"]
    np.testing.assert_allclose(answer.sum(axis=1), 1, rtol=1e-5)
    assert np.mean(answer.argmax(axis=1) == digits.target) > 0.95
