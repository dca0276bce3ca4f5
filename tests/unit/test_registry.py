"""Loaded versions: what loads, what fails alone, and which one answers."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from predict_worker.core.errors import InvalidRequest, ModelLoadError, ModelNotFound
from predict_worker.core.spec import BatchPolicy, Signature, TensorSpec
from predict_worker.registry import ModelRegistry
from predict_worker.repository.artefact import Artefact
from predict_worker.repository.directory import ModelRepository
from predict_worker.repository.manifest import Manifest
from predict_worker.runtimes.base import Runnable, Runtime
from tests.unit.models import FunctionRunnable, X, Y, double, loaded


class Functions:
    """A runtime whose artefacts' text names a function: fine, broken (cannot be loaded), or one given."""

    def __init__(
        self, signature: Signature | None = None, **functions: Callable[..., Mapping[str, Any]]
    ) -> None:
        self._functions = {"fine": double, **functions}
        self._signatures = [signature] if signature else []
        self.made: list[FunctionRunnable] = []

    def __call__(self, kind: str) -> Runtime:
        if kind != "saved_model":
            raise ModelLoadError(f"no runtime for {kind}")
        return self

    def load(self, artefact: Artefact, manifest: Manifest) -> Runnable:
        text = (artefact.path / "saved_model.pb").read_text()
        if text == "broken":
            raise OSError("file is truncated")
        self.made.append(FunctionRunnable(self._functions[text], *self._signatures))
        return self.made[-1]


@pytest.fixture
def put(tmp_path: Path) -> Callable[..., None]:
    def write(name: str, content: str = "fine") -> None:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)

    return write


@pytest.fixture
def registry(tmp_path: Path) -> ModelRegistry:
    return ModelRegistry(ModelRepository(tmp_path), Functions())


def states(statuses: Any) -> Any:
    return [(s.model, s.version, s.state) for s in statuses]


def test_the_versions_to_serve_are_loaded_once(registry, put):
    put("m/model.toml", "[versions]\ncount = 2")
    for version in (1, 2, 3):
        put(f"m/{version}/saved_model.pb")
    assert states(registry.load_model("m")) == [("m", 2, "AVAILABLE"), ("m", 3, "AVAILABLE")]
    assert states(registry.load_model("m")) == [("m", 2, "AVAILABLE"), ("m", 3, "AVAILABLE")]
    assert registry.loads == 2
    assert registry.versions("m") == (2, 3)
    assert registry.get("m", None).spec.version == 3
    assert registry.get("m", 2).spec.version == 2
    with pytest.raises(ModelNotFound, match="m, version 1, is not loaded"):
        registry.get("m", 1)


def test_a_spec_says_what_was_loaded(registry, put, tmp_path):
    put("m/model.toml", "timeout_s = 5\nqueue_max_jobs = 7\noutputs_finite = true\n[batch]\nmax_rows = 3")
    put("m/7/saved_model.pb")
    registry.load_model("m")
    (spec,) = registry.specs()
    assert (spec.name, spec.version, spec.artefact) == ("m", 7, "saved_model")
    assert spec.digest == ModelRepository(tmp_path).artefact("m", 7).digest
    assert spec.signatures == {"serving_default": Signature("serving_default", (X,), (Y,))}
    assert (spec.batch.max_rows, spec.timeout_s, spec.queue_max_jobs, spec.outputs_finite) == (3, 5, 7, True)
    assert registry.timeout_s("m") == 5


def test_a_model_that_fails_to_load_fails_alone(registry, put):
    put("bad/1/saved_model.pb", "broken")
    put("good/1/saved_model.pb")
    put("strange/1/model.onnx")
    put("typo/1/saved_model.pb")
    put("typo/model.toml", "timeout = 3")
    put("twice/model.toml", '[versions]\npolicy = "all"')
    put("twice/1/saved_model.pb", "broken")
    put("twice/2/saved_model.pb")
    put("empty/1/notes.txt")
    statuses = registry.load_all(["bad", "good", "strange", "typo", "twice", "empty", "absent"])
    assert states(statuses) == [
        ("bad", 1, "END"),
        ("good", 1, "AVAILABLE"),
        ("strange", 1, "END"),
        ("typo", 0, "END"),
        ("twice", 1, "END"),
        ("twice", 2, "AVAILABLE"),
        ("empty", 1, "END"),
        ("absent", 0, "END"),
    ]
    errors = {(s.model, s.version): s.error for s in statuses if s.error}
    assert errors["bad", 1] == "bad, version 1: OSError: file is truncated"
    assert "no runtime for onnx" in errors["strange", 1]
    assert "unknown key 'timeout'" in errors["typo", 0]
    assert registry.loads == 2
    assert registry.versions("bad") == ()
    with pytest.raises(ModelNotFound, match="bad is not loaded"):
        registry.get("bad", None)


def test_a_model_repaired_later_loads_then(registry, put):
    put("m/1/saved_model.pb", "broken")
    registry.load_model("m")
    put("m/1/saved_model.pb")
    assert states(registry.load_model("m")) == [("m", 1, "AVAILABLE")]


def test_the_newest_of_the_versions_to_serve_answers(registry, put):
    for version in (1, 2):
        put(f"m/{version}/saved_model.pb")
    registry.load_model("m")
    put("m/model.toml", '[versions]\npolicy = "specific"\nspecific = [1]')
    registry.load_model("m")
    assert registry.versions("m") == (1, 2)
    assert registry.get("m", None).spec.version == 1
    registry.unload("m", 2)
    assert registry.versions("m") == (1,)
    registry.unload("m", 2)


def test_the_timeout_of_a_model_that_is_not_loaded_is_the_default(registry):
    assert registry.timeout_s("m") == Manifest().timeout_s


def warmed(tmp_path: Path, put: Any, runtimes: Functions) -> list[int]:
    registry = ModelRegistry(ModelRepository(tmp_path), runtimes)
    registry.load("m", 1)
    return runtimes.made[0].calls


def test_a_model_is_warmed_with_one_row_a_full_batch_and_the_padded_sizes(tmp_path, put):
    put("m/1/saved_model.pb")
    put("m/model.toml", "[batch]\nmax_rows = 32\npad_to = [8, 16]")
    assert warmed(tmp_path, put, Functions()) == [1, 8, 16, 32]


def test_the_full_batch_of_the_warm_up_keeps_to_the_bytes_of_the_policy(tmp_path, put):
    put("m/1/saved_model.pb")
    put("m/model.toml", "[batch]\nmax_bytes = 40")
    assert warmed(tmp_path, put, Functions()) == [1, 5]


def test_without_a_batch_dimension_one_call_warms(tmp_path, put):
    put("m/1/saved_model.pb")
    scalar = Signature("serving_default", (TensorSpec("x", "float32", ()),), (Y,))
    assert warmed(tmp_path, put, Functions(scalar)) == [1]


def fails(**_: Any) -> Any:
    raise ValueError("bad input")


def test_a_model_that_fails_its_warm_up_is_not_loaded(tmp_path, put):
    put("m/1/saved_model.pb", "fails")
    registry = ModelRegistry(ModelRepository(tmp_path), Functions(fails=fails))
    with pytest.raises(
        ModelLoadError, match=r"m, version 1: warm-up of signature serving_default.*bad input"
    ):
        registry.load("m", 1)
    assert registry.loads == 0


@pytest.mark.parametrize(
    "tensor",
    [TensorSpec("x", "string", (-1,)), TensorSpec("x", "int64", (-1, -1)), TensorSpec("x", "float32", None)],
)
def test_inputs_that_nobody_can_make_up_do_not_fail_the_warm_up(tmp_path, put, tensor):
    put("m/1/saved_model.pb", "fails")
    assert warmed(tmp_path, put, Functions(Signature("other", (tensor,), (Y,)), fails=fails)) == [1]


def test_the_owners_examples_are_run_too(tmp_path, put):
    put("m/1/saved_model.pb")
    put("m/model.toml", '[batch]\nmax_rows = 2\n[[warmup]]\nfile = "a.npy"\n[[warmup]]\nfile = "b.npz"')
    np.save(tmp_path / "m/a.npy", np.ones((5, 2), np.float32))
    np.savez(tmp_path / "m/b.npz", x=np.ones((6, 2), np.float32))
    assert warmed(tmp_path, put, Functions()) == [5, 6, 1, 2]


@pytest.mark.parametrize("content", [None, "no array"])
def test_an_example_that_does_not_fit_fails_the_load(registry, put, content):
    put("m/1/saved_model.pb")
    put("m/model.toml", '[[warmup]]\nfile = "a.npy"')
    if content:
        put("m/a.npy", content)
    with pytest.raises(ModelLoadError, match=r"warm-up with a\.npy"):
        registry.load("m", 1)


@pytest.mark.parametrize("array", [np.ones((1, 3), "f4"), np.ones(2, "f4"), np.ones((1, 2), "f8")])
def test_a_wrong_shape_or_dtype_never_reaches_the_model(array):
    model, calls = loaded(batch=BatchPolicy())
    with pytest.raises(InvalidRequest, match=r"inputs\.x"):
        model.run("serving_default", {"x": array})
    assert calls == []
