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
from tests.pictures import BROKEN, plain
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


def test_loaded_versions_are_asked_for_by_number_or_the_newest(registry, put):
    for version in (1, 2, 3):
        put(f"m/{version}/saved_model.pb")
    for version in (3, 2):
        registry.load("m", version)
    assert registry.loads == 2
    assert registry.versions("m") == (2, 3)
    assert registry.get("m", None).spec.version == 3
    assert registry.get("m", 2).spec.version == 2
    with pytest.raises(ModelNotFound, match="m, version 1, is not loaded"):
        registry.get("m", 1)


def test_of_the_preferred_versions_the_newest_is_meant(registry, put):
    for version in (1, 2):
        put(f"m/{version}/saved_model.pb")
    for version in (1, 2):
        registry.load("m", version)
    registry.prefer("m", (1,))
    assert registry.get("m", None).spec.version == 1
    registry.prefer("m", (3,))
    assert registry.get("m", None).spec.version == 2, "what is preferred is not loaded"


def test_a_version_is_unloaded_once(registry, put):
    put("m/1/saved_model.pb")
    registry.load("m", 1)
    assert registry.names() == ("m",)
    for _ in range(2):
        registry.unload("m", 1)
    assert registry.names() == registry.versions("m") == ()
    with pytest.raises(ModelNotFound, match="m is not loaded"):
        registry.get("m", None)


def test_a_spec_says_what_was_loaded(registry, put, tmp_path):
    put("m/model.toml", "timeout_s = 5\nqueue_max_jobs = 7\noutputs_finite = true\n[batch]\nmax_rows = 3")
    put("m/7/saved_model.pb")
    registry.load("m", 7)
    (spec,) = registry.specs()
    assert (spec.name, spec.version, spec.artefact) == ("m", 7, "saved_model")
    assert spec.digest == ModelRepository(tmp_path).artefact("m", 7).digest
    assert spec.signatures == {"serving_default": Signature("serving_default", (X,), (Y,))}
    assert (spec.batch.max_rows, spec.timeout_s, spec.queue_max_jobs, spec.outputs_finite) == (3, 5, 7, True)
    assert registry.timeout_s("m") == 5


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("m/1/saved_model.pb", "broken", "m, version 1: OSError: file is truncated"),
        ("m/1/model.onnx", "", "no runtime for onnx"),
        ("m/2/saved_model.pb", "", "version 1: not in the repository"),
    ],
)
def test_what_does_not_load_says_why(registry, put, name, content, says):
    put(name, content)
    with pytest.raises(ModelLoadError, match=says):
        registry.load("m", 1)
    assert (registry.loads, registry.versions("m")) == (0, ())


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


# ---------------------------------------------------------------- transforms

PICTURES = Signature("serving_default", (TensorSpec("x", "float32", (-1, 2, 2, 1)),), (Y,))


def first_two(x: Any) -> Any:
    return {"y": x[:, 0, :, 0]}


def test_a_spec_shows_what_callers_may_send(tmp_path, put):
    put("m/1/saved_model.pb", "first_two")
    put("m/model.toml", "[image]\n[top_k]\nk = 1\nlabels = 'labels.txt'")
    put("m/labels.txt", "left\nright\n")
    runtimes = Functions(PICTURES, first_two=first_two)
    model = ModelRegistry(ModelRepository(tmp_path), runtimes).load("m", 1)
    seen = model.spec.signatures["serving_default"]
    assert [(tensor.name, tensor.encoded) for tensor in seen.inputs] == [("x", "image")]
    assert [tensor.name for tensor in seen.outputs] == ["labels", "scores"]
    assert runtimes.made[0].calls == [1, 64], "made-up inputs are the model's own"


def test_examples_pass_the_transforms_as_a_caller_would_send_them(tmp_path, put):
    put("m/1/saved_model.pb", "first_two")
    put(
        "m/model.toml",
        "[image]\n[batch]\nmax_rows = 1\n[[warmup]]\nfile = 'a.png'\n[[warmup]]\nfile = 'b.npy'",
    )
    (tmp_path / "m/a.png").write_bytes(plain())
    np.save(tmp_path / "m/b.npy", np.ones((3, 2, 2, 1), np.float32))
    assert warmed(tmp_path, put, Functions(PICTURES, first_two=first_two)) == [1, 3, 1]


@pytest.mark.parametrize(
    ("toml", "says"),
    [
        (
            "[transforms]\npre = 'mine'",
            "m, version 1: no pre-transform 'mine' is registered; there are decode",
        ),
        ("[top_k]\nlabels = 'none.txt'", "m, version 1: no file none.txt beside the model"),
        ("[image]", "m, version 1: image: x of shape [-1, 2] with no sizes in model.toml"),
        ("[[warmup]]\nfile = 'a.png'", "warm-up with a.png: inputs: expected an array of float32, got texts"),
    ],
)
def test_a_model_whose_transforms_do_not_fit_is_not_loaded(registry, put, tmp_path, toml, says):
    put("m/1/saved_model.pb")
    put("m/model.toml", toml)
    (tmp_path / "m/a.png").write_bytes(plain())
    with pytest.raises(ModelLoadError) as caught:
        registry.load("m", 1)
    assert says in str(caught.value)


def test_a_broken_picture_among_the_examples_fails_the_load(tmp_path, put):
    put("m/1/saved_model.pb", "first_two")
    put("m/model.toml", "[image]\n[[warmup]]\nfile = 'a.png'")
    (tmp_path / "m/a.png").write_bytes(BROKEN["truncated"])
    with pytest.raises(ModelLoadError, match=r"warm-up with a\.png: inputs\.x\[0\]: expected a whole PNG"):
        warmed(tmp_path, put, Functions(PICTURES, first_two=first_two))
