"""Transforms of the installed apps: found by name, and only when a model asks for one."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from predict_worker.core.errors import ModelLoadError
from predict_worker.core.spec import Signature
from predict_worker.repository.transforms import SHIPPED
from predict_worker.transforms import Options, discovery, registration
from tests.unit.apps import installed

GOOD = """
from predict_worker.transforms import Transform, post, pre

@pre("kilograms")
def kilograms(signature, options):
    return Transform(signature.inputs, dict)

@post("kilograms")
def pounds(signature, options):
    return Transform(signature.outputs, dict)
"""
SHIPPED_NAME = GOOD.replace("kilograms", "decode_image")
SIGNATURE = Signature("serving_default", (), ())


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    """Every test is a process that has looked for nothing yet."""
    before = dict(registration._registered)
    for stage, name in before:
        if name not in SHIPPED[stage]:
            del registration._registered[stage, name]
    discovery.import_all.cache_clear()
    yield
    discovery.import_all.cache_clear()
    registration._registered.clear()
    registration._registered.update(before)


def test_an_apps_transforms_are_found_by_stage_and_name(tmp_path: Path) -> None:
    with installed(tmp_path, weights=GOOD):
        assert discovery.find("pre", "kilograms").__name__ == "kilograms"
        assert discovery.find("post", "kilograms").__name__ == "pounds"
        transform = discovery.find("pre", "kilograms")(SIGNATURE, Options())
        assert transform.convert is dict


def test_no_app_is_imported_for_what_is_shipped(tmp_path: Path) -> None:
    with installed(tmp_path, weights=GOOD):
        assert discovery.find("pre", "decode_image").__name__ == "decode_image"
        assert "weights.transforms" not in sys.modules


def test_an_unknown_name_is_refused_with_those_that_there_are(tmp_path: Path) -> None:
    with installed(tmp_path, weights=GOOD), pytest.raises(ModelLoadError) as refused:
        discovery.find("pre", "stones")
    says = "no pre-transform 'stones' is registered; there are decode_image, tokenise, kilograms"
    assert refused.value.detail == says


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("import nothing_of_this_name", "ModuleNotFoundError: No module named 'nothing_of_this_name'"),
        ("def broken(:", "SyntaxError"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        (SHIPPED_NAME, "ValueError: a pre-transform 'decode_image' is registered already, by predict_worker"),
    ],
)
def test_an_app_that_cannot_be_imported_is_named_and_leaves_the_others(
    tmp_path: Path, text: str, says: str
) -> None:
    with installed(tmp_path, broken=text, weights=GOOD):
        assert discovery.find("pre", "kilograms").__name__ == "kilograms"
        with pytest.raises(ModelLoadError) as refused:
            discovery.find("pre", "stones")
    assert "broken.transforms cannot be imported: " in refused.value.detail
    assert says in refused.value.detail


def test_one_name_in_two_apps_is_the_first_ones(tmp_path: Path) -> None:
    with installed(tmp_path, first=GOOD, second=GOOD):
        assert discovery.find("pre", "kilograms").__module__ == "first.transforms"
        with pytest.raises(ModelLoadError, match=r"second\.transforms cannot be imported: ValueError"):
            discovery.find("pre", "stones")


def test_each_app_is_imported_once(tmp_path: Path) -> None:
    with installed(tmp_path, broken="import sys\nsys.tries = getattr(sys, 'tries', 0) + 1\n1 / 0"):
        for _ in range(3):
            with pytest.raises(ModelLoadError):
                discovery.find("pre", "stones")
        assert sys.tries == 1  # type: ignore[attr-defined]
        del sys.tries  # type: ignore[attr-defined]
