"""The demonstration's network reads digits that it has never seen, from image files of many kinds."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from predict_worker.batch import run_batch
from predict_worker.codec import pack, unpack
from predict_worker.core.ports import Entry
from predict_worker.registry import LoadedModel, ModelRegistry
from predict_worker.repository.directory import ModelRepository
from tests.pictures import BROKEN, NOT_IMAGES, deep, encoded

pytest.importorskip("tensorflow")
pytest.importorskip("sklearn")

from examples.digits.train import example, picture, split, write_example

ROOT = Path(__file__).parents[2]
LEAST_ACCURACY = 0.97
"""Of the 360 held-out digits, for every kind of file; of their arrays the network reads 98.6 %."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """Trained as ``make run`` does it."""
    repository = tmp_path_factory.mktemp("models")
    environment = {**os.environ, "MODEL_REPOSITORY": str(repository)}
    command = [sys.executable, "examples/digits/train.py"]
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
    return ModelRegistry(ModelRepository(repository)).load("digits", 1)


@pytest.fixture(scope="module")
def held_out() -> tuple[Any, Any]:
    _, images, _, digits = split()
    return images, digits


def answers(model: LoadedModel, files: Sequence[bytes]) -> list[Any]:
    """The digit that each is taken for, or its error; a job each, 64 at a time as a worker claims them."""
    payloads = [pack({"x": np.array([file], object)}) for file in files]
    entries = [
        Entry("e", "0-a", 0, 1, 1, False, "serving_default", (), 1, 0.0, payload) for payload in payloads
    ]
    outcomes = [
        outcome
        for start in range(0, len(entries), 64)
        for outcome in run_batch(lambda version: model, entries[start : start + 64])
    ]
    return [o.error if o.error else int(unpack(o.payload or b"")["probabilities"].argmax()) for o in outcomes]


def light(image: Any) -> Image.Image:
    """As the data set has it: light on dark."""
    return Image.fromarray(np.rint(image[..., 0] * (255 / 16)).astype(np.uint8))


def resized(image: Any, side: int, how: Image.Resampling = Image.Resampling.BICUBIC) -> Image.Image:
    return light(image).resize((side, side), how)


def alpha(image: Any) -> Image.Image:
    """Black ink of which the paper is transparent."""
    ink = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    ink.putalpha(resized(image, 64))
    return ink


def palette(image: Any) -> Image.Image:
    return resized(image, 64).convert("RGB").quantize(16)


def sheet(image: Any) -> Image.Image:
    """Ink somewhere on a large sheet of paper."""
    paper = Image.new("L", (400, 300), 245)
    paper.paste(picture(image), (190, 70))
    return paper


def narrow(image: Any) -> Image.Image:
    """Cut off at the sides, as far as there is no ink: of another shape than the network's input."""
    ink = np.flatnonzero((image[..., 0] > 0).any(axis=0))
    return picture(image).crop((int(ink[0]) * 20, 0, int(ink[-1] + 1) * 20, 160))


KINDS: dict[str, Callable[[Any], bytes]] = {
    "8 x 8": lambda image: encoded(light(image)),
    "16 x 16, hard edges": lambda image: encoded(resized(image, 16, Image.Resampling.NEAREST)),
    "28 x 28": lambda image: encoded(resized(image, 28)),
    "50 x 50, hard edges": lambda image: encoded(resized(image, 50, Image.Resampling.NEAREST)),
    "300 x 300": lambda image: encoded(resized(image, 300)),
    "500 x 500": lambda image: encoded(resized(image, 500)),
    "colour": lambda image: encoded(resized(image, 64).convert("RGB")),
    "palette": lambda image: encoded(palette(image)),
    "ink on paper": lambda image: encoded(picture(image)),
    "ink on paper, colour": lambda image: encoded(picture(image).convert("RGB")),
    "ink on nothing": lambda image: encoded(alpha(image)),
    "16 bits": lambda image: deep(np.rint(image[..., 0] * (65535 / 16))),
    "somewhere on a sheet": lambda image: encoded(sheet(image)),
    "cut at the sides": lambda image: encoded(narrow(image)),
    "jpeg": lambda image: encoded(picture(image), "JPEG"),
    "webp": lambda image: encoded(picture(image).convert("RGB"), "WEBP"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_held_out_digits_are_read_from_images(model: LoadedModel, held_out: Any, kind: str) -> None:
    images, digits = held_out
    found = answers(model, [KINDS[kind](image) for image in images])
    assert np.mean(np.array(found) == digits) >= LEAST_ACCURACY


def test_hostile_images_fail_alone_among_good_ones(model: LoadedModel, held_out: Any) -> None:
    images, _ = held_out
    hostile = {**NOT_IMAGES, **BROKEN}
    files = [KINDS["300 x 300"](image) for image in images[: len(hostile)]]
    found = answers(model, [data for pair in zip(files, hostile.values(), strict=True) for data in pair])
    good, bad = found[::2], found[1::2]
    assert good == answers(model, files)
    assert {error.code for error in bad} == {"invalid_input"}
    assert all(error.detail.startswith("inputs.x[0]: expected ") for error in bad)


def test_the_example_is_the_same_digit_twice(model: LoadedModel, tmp_path: Path) -> None:
    write_example(tmp_path / "var")
    digit = example()["metadata"]["digit"]
    assert answers(model, [(tmp_path / "var" / "digit.png").read_bytes()]) == [digit]
    assert f'"digit": {digit}' in (tmp_path / "var" / "digit.json").read_text()
