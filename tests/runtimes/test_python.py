"""Python models: the contract of ``model.py``, and each way to break it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from predict_worker.core.errors import ModelLoadError
from predict_worker.core.spec import Signature, TensorSpec
from predict_worker.registry import LoadedModel, ModelRegistry
from predict_worker.repository.artefact import Artefact
from predict_worker.repository.directory import ModelRepository
from predict_worker.repository.manifest import Manifest
from predict_worker.runtimes.base import parent_imports, runtime_for
from predict_worker.runtimes.python import PythonRuntime

SIGNED = """
import numpy as np
from predict_worker.core.spec import Signature, TensorSpec
X, Y = TensorSpec("x", "float32", (-1, 2)), TensorSpec("y", "float32", (-1, 2))
SIGNATURES = (Signature("serving_default", (X,), (Y,)),)
"""
DOUBLING = SIGNED + "def load(directory):\n    return lambda x: {'y': x * 2}\n"
X = np.ones((1, 2), np.float32)


def load(folder: Path, source: str) -> Any:
    path = folder / "m" / "1" / "model.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(source)
    return PythonRuntime().load(Artefact("python", path, ""), Manifest())


def answering(folder: Path, answer: str) -> Any:
    return load(folder, f"{SIGNED}def load(directory):\n    return lambda x: {answer}\n")


def registered(repository: Path, *, allowed: bool) -> LoadedModel:
    runtimes = partial(runtime_for, allow_python=allowed)
    return ModelRegistry(ModelRepository(repository), runtimes).load("m", 1)


def test_a_model_says_what_it_takes_and_answers(tmp_path: Path) -> None:
    model = load(tmp_path, DOUBLING)
    spec = TensorSpec("x", "float32", (-1, 2))
    assert model.signatures == {
        "serving_default": Signature("serving_default", (spec,), (TensorSpec("y", "float32", (-1, 2)),))
    }
    assert model.run("serving_default", {"x": X})["y"].tolist() == [[2, 2]]


def test_it_is_loaded_only_where_that_is_allowed(tmp_path: Path) -> None:
    load(tmp_path, f"open({str(tmp_path / 'ran')!r}, 'w').close()\n{DOUBLING}")
    (tmp_path / "ran").unlink()
    with pytest.raises(ModelLoadError, match=r"runs its own code.*ALLOW_PYTHON_MODELS"):
        registered(tmp_path, allowed=False)
    with pytest.raises(ModelLoadError, match="ALLOW_PYTHON_MODELS"):
        runtime_for("python")
    assert not (tmp_path / "ran").exists()
    assert registered(tmp_path, allowed=True).spec.artefact == "python"
    assert (tmp_path / "ran").exists()


def test_what_lies_beside_it_is_read_from_its_directory(tmp_path: Path) -> None:
    (tmp_path / "m" / "1").mkdir(parents=True)
    np.save(tmp_path / "m" / "1" / "factor.npy", np.float32(5))
    source = (
        "def load(directory):\n    f = np.load(directory / 'factor.npy')\n    return lambda x: {'y': x * f}\n"
    )
    assert load(tmp_path, SIGNED + source).run("serving_default", {"x": X})["y"].tolist() == [[5, 5]]


def test_two_versions_do_not_see_each_other(tmp_path: Path) -> None:
    counting = (
        SIGNED + "n = []\ndef load(directory):\n    n.append(1)\n    return lambda x: {'y': x * len(n)}\n"
    )
    first, second = (load(tmp_path, counting) for _ in range(2))
    for model in (first, second):
        assert model.run("serving_default", {"x": X})["y"].tolist() == [[1, 1]]


def test_numbers_and_texts_are_brought_into_their_canonical_form(tmp_path: Path) -> None:
    assert (
        answering(tmp_path, "{'y': np.asfortranarray(x)[::-1]}")
        .run("serving_default", {"x": X})["y"]
        .flags.c_contiguous
    )
    source = SIGNED.replace('"float32", (-1, 2)', '"string", (-1,)')
    model = load(tmp_path, source + "def load(directory):\n    return lambda x: {'y': ['é', 'b']}\n")
    answer = model.run("serving_default", {"x": np.array([b"a", b"b"], object)})["y"]
    assert answer.tolist() == ["é".encode(), b"b"]


@pytest.mark.parametrize(
    ("answer", "error", "told"),
    [
        ("x", TypeError, "expected a dictionary of y, got ndarray"),
        ("{'z': x}", TypeError, r"expected a dictionary of y, got \['z'\]"),
        ("{'y': x, 'z': x}", TypeError, "got \\['y', 'z'\\]"),
        ("{'y': x.astype('f8')}", ValueError, "declared float32 .* got float64"),
        (
            "{'y': x[:, :1]}",
            ValueError,
            r"declared float32 of shape \(-1, 2\), got float32 of shape \(1, 1\)",
        ),
        ("{'y': None}", TypeError, "bytes, not NoneType"),
        ("{'y': [[1, 2], [3]]}", ValueError, "inhomogeneous"),
        ("{'y': np.array(['2020'], 'M8')}", TypeError, "no tensor has NumPy's dtype datetime"),
    ],
)
def test_an_answer_that_is_not_as_declared_is_an_error(
    tmp_path: Path, answer: str, error: type[Exception], told: str
) -> None:
    with pytest.raises(error, match=told):
        answering(tmp_path, answer).run("serving_default", {"x": X})


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("", "SIGNATURES: expected a tuple"),
        ("SIGNATURES = ()", "SIGNATURES: expected a tuple"),
        ("SIGNATURES = ['x']", "expected a Signature, got 'x'"),
        (DOUBLING.replace("float32", "float8"), "one of bool, int8.* got TensorSpec.*float8"),
        (SIGNED, r"no function load\(directory\)"),
        (SIGNED + "load = 3", r"no function load\(directory\)"),
        (SIGNED + "def load(directory): pass", "a function for each of serving_default, got NoneType"),
        (SIGNED + "def load(directory): return {'other': print}", r"serving_default, got \['other'\]"),
    ],
)
def test_a_model_that_does_not_keep_to_the_contract_is_not_loaded(
    tmp_path: Path, source: str, told: str
) -> None:
    with pytest.raises(ModelLoadError, match=told):
        load(tmp_path, source)


def test_what_the_file_raises_is_told_at_load(tmp_path: Path) -> None:
    for source in ("1 / 0", SIGNED + "def load(directory): 1 / 0", DOUBLING.replace("x * 2", "x * missing")):
        path = tmp_path / "m" / "1" / "model.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
        with pytest.raises(ModelLoadError, match=r"m, version 1: .*(division by zero|missing)"):
            registered(tmp_path, allowed=True)


def test_nothing_is_imported_for_it_before_the_fork() -> None:
    assert parent_imports(["python"]) == frozenset()
