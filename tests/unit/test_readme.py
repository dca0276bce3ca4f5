"""The README's Python code does what it says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from celery import Celery, current_app
from django.test import override_settings
from django.urls import include, path

from predict_worker import get_job, submit
from predict_worker.celery_config import celery_defaults
from predict_worker.repository.manifest import parse_manifest
from predict_worker.testing import FakeModel, TensorSpec, eager

README = Path(__file__).parents[2] / "README.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", README.read_text("utf-8"), re.DOTALL | re.MULTILINE)
MANIFESTS = re.findall(r"^```toml\n(.*?)^```", README.read_text("utf-8"), re.DOTALL | re.MULTILINE)
DIGITS = FakeModel(
    lambda x: np.full((len(x), 10), 0.1),
    inputs=[TensorSpec("x", "float32", (-1, 8, 8, 1))],
    outputs=[TensorSpec("probabilities", "float32", (-1, 10))],
)


@pytest.fixture
def names() -> Iterator[dict[str, Any]]:
    """What the code takes for granted."""
    before: Any = current_app._get_current_object()  # type: ignore[attr-defined]
    app = Celery("yours", broker="memory://")
    images = [np.zeros((8, 8, 1)).tolist()] * 2
    told: list[Any] = []

    @app.task(name="load", shared=False)
    def load(name: str) -> Any:
        return images

    @app.task(name="notify", shared=False)
    def notify(outputs: Any) -> None:
        told.append(outputs)

    @app.task(name="best", shared=False)
    def best(parts: list[Any]) -> None:
        told.extend(parts)

    yield {
        "__name__": "readme",
        "app": app,
        "celery_defaults": celery_defaults,
        "include": include,
        "path": path,
        "INSTALLED_APPS": [],
        "urlpatterns": [],
        "images": images,
        "load": load,
        "notify": notify,
        "best": best,
        "told": told,
    }
    before.set_current()


@pytest.mark.parametrize("code", BLOCKS, ids=lambda code: code.strip().splitlines()[-1][:40])
def test_code_runs(code: str, names: dict[str, Any]) -> None:
    with override_settings(CELERY_TASK_ALWAYS_EAGER=True), eager(models={"digits": DIGITS}):
        names["app"].conf.task_always_eager = True
        exec(code, names)
        for name in [name for name in names if name.startswith("test_")]:
            names[name]()
    answers = names["told"]
    assert all(np.shape(answer["probabilities"])[1] == 10 for answer in answers)
    assert len(answers) == (4 if "chord" in code else 0)


def test_there_is_code() -> None:
    assert len(BLOCKS) == 5


@pytest.mark.parametrize("text", [part for block in MANIFESTS for part in block.split("\n\n")])
def test_every_section_of_model_toml_is_as_it_says(text: str) -> None:
    parse_manifest(text)


def test_the_transform_does_what_it_says() -> None:
    (code,) = [block for block in BLOCKS if "@pre" in block]
    exec(code, {"__name__": "readme"})
    weighing = FakeModel(
        lambda x: x,
        inputs=[TensorSpec("x", "float32", (-1,))],
        outputs=[TensorSpec("y", "float32", (-1,))],
        model_toml='[transforms]\npre = "kilograms"\n[kilograms]\nfactor = 0.5',
    )
    with eager(models={"weights": weighing}):
        found = get_job(submit("weights", [2.0, 3.0]).id).outputs
    assert found is not None
    assert found["y"].tolist() == [1.0, 1.5]
