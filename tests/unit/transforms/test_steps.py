"""Transforms around a model: what callers see, what runs, and what fails alone."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from predict_worker.batch import run_batch
from predict_worker.codec import Columnar, pack, pack_raw, unpack
from predict_worker.core.errors import InvalidRequest, ModelLoadError
from predict_worker.core.ports import Entry, Outcome
from predict_worker.core.spec import ModelRef, Signature, TensorSpec
from predict_worker.direct import run_request
from predict_worker.public import raw_inputs
from predict_worker.registry import LoadedModel
from predict_worker.service import PredictRequest
from predict_worker.transforms import Options, Transform
from tests.pictures import BROKEN, NOT_IMAGES, plain
from tests.unit.models import transformed

X = TensorSpec("x", "float32", (-1, 2, 2, 1))
Y = TensorSpec("y", "float32", (-1, 3))
OWN = Signature("serving_default", (X,), (Y,))
OTHER = Signature("other", (X,), (Y,))
IMAGE = "[image]\nscale = '0..255'\n"
LIGHT, DARK = plain(200), plain(10)


def levels(x: Any) -> dict[str, Any]:
    """For each row the level of its first pixel, 100 and 0."""
    rest = np.tile(np.array([100, 0], np.float32), (len(x), 1))
    return {"y": np.concatenate([x[:, 0, 0], rest], axis=1)}


def entry(payload: Any, **fields: Any) -> Entry:
    """``payload``: files, one a row, or an array, or the payload itself."""
    if isinstance(payload, list):
        payload = np.array(payload, object)
    rows = len(payload)
    if isinstance(payload, np.ndarray):
        payload = pack({"x": payload})
    known = {"signature_name": "serving_default", "outputs": (), "rows": rows, "range_index": 0, **fields}
    return Entry("e", "0-a", version=1, pinned=False, attempt=1, queue_ms=0.0, payload=payload, **known)


def run(model: LoadedModel, *entries: Entry) -> list[Any]:
    """The outputs of each, or its error."""

    def shown(outcome: Outcome) -> Any:
        if outcome.error:
            return f"{outcome.error.code}: {outcome.error.detail}"
        found = unpack(outcome.payload or b"")
        return {name: array.tolist() for name, array in found.items()}

    return [shown(outcome) for outcome in run_batch(lambda version: model, entries)]


# ---------------------------------------------------------------- what callers see


def test_callers_see_what_they_may_send_and_what_comes_back() -> None:
    model, _ = transformed(f"{IMAGE}[top_k]\nk = 2", levels, OWN, OTHER)
    seen = model.spec.signatures
    assert seen["serving_default"].inputs[0].encoded == "image"
    assert [output.name for output in seen["serving_default"].outputs] == ["labels", "scores"]
    assert seen["other"] == OTHER
    assert model.runnable.signatures["serving_default"] == OWN


def test_a_model_without_transforms_is_seen_as_it_is() -> None:
    model, _ = transformed("", levels, OWN)
    assert model.spec.signatures == {"serving_default": OWN}


def test_transforms_need_the_default_signature() -> None:
    with pytest.raises(ModelLoadError, match="the signature serving_default, which is missing"):
        transformed(IMAGE, levels, OTHER)


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (lambda signature, options: None, "own: expected a Transform, got NoneType"),
        (
            lambda signature, options: Transform((TensorSpec("x", "text", (-1,)),), dict),
            "own: expected a TensorSpec with one of bool",
        ),
        (lambda signature, options: options.path("none"), "no file none beside the model"),
    ],
)
def test_a_transform_that_is_none_is_refused_at_load(made: Any, says: str) -> None:
    with pytest.raises(ModelLoadError, match=says):
        transformed("[transforms]\npre = 'own'", levels, OWN, own=made)


# ---------------------------------------------------------------- batches


def test_images_and_arrays_of_different_jobs_share_a_call() -> None:
    model, calls = transformed(IMAGE, levels, OWN)
    native = np.full((2, 2, 2, 1), 7, np.float32)
    found = run(model, entry([LIGHT]), entry(native), entry([DARK, LIGHT]))
    assert [[row[0] for row in outputs["y"]] for outputs in found] == [[200], [7, 7], [10, 200]]
    assert calls == [5]


def test_images_are_padded_to_the_policys_sizes_as_tensors() -> None:
    model, calls = transformed(f"{IMAGE}[batch]\npad_to = [4]", levels, OWN)
    assert len(run(model, entry([LIGHT]))[0]["y"]) == 1
    assert calls == [4]


@pytest.mark.parametrize("bad", [*NOT_IMAGES.values(), *BROKEN.values()], ids=[*NOT_IMAGES, *BROKEN])
def test_a_bad_image_fails_alone(bad: bytes) -> None:
    model, calls = transformed(IMAGE, levels, OWN)
    first, failed, last = run(model, entry([LIGHT]), entry([LIGHT, bad]), entry([DARK]))
    assert failed.startswith("invalid_input: inputs.x[1]: expected ")
    assert (first["y"][0][0], last["y"][0][0]) == (200, 10)
    assert calls == [2]


def test_the_row_of_a_later_range_says_which_range() -> None:
    model, _ = transformed(IMAGE, levels, OWN)
    (failed,) = run(model, entry([BROKEN["truncated"]], range_index=3))
    assert failed.endswith("is truncated, in row range 3 of the job")


def test_outputs_pass_the_transform_job_by_job_after_the_call() -> None:
    model, calls = transformed(f"{IMAGE}[top_k]\nk = 1", levels, OWN)
    found = run(model, entry([LIGHT, DARK]), entry([DARK]), entry([LIGHT], outputs=("labels",)))
    assert found == [
        {"labels": [[b"0"], [b"1"]], "scores": [[200], [100]]},
        {"labels": [[b"1"]], "scores": [[100]]},
        {"labels": [[b"0"]]},
    ]
    assert calls == [4]


def test_outputs_are_asked_for_as_callers_see_them() -> None:
    model, _ = transformed("[top_k]", levels, OWN)
    (failed,) = run(model, entry(np.zeros((1, 2, 2, 1), np.float32), outputs=("y",)))
    assert failed == "invalid_input: outputs[0]: expected one of labels, scores, got 'y'"


def test_another_signature_is_left_as_it_is() -> None:
    model, _ = transformed(f"{IMAGE}[top_k]", levels, OWN, OTHER)
    zeros = np.zeros((1, 2, 2, 1), np.float32)
    found = run(model, entry(zeros, signature_name="other"), entry([LIGHT], signature_name="other"))
    assert found[0] == {"y": [[0, 100, 0]]}
    assert found[1] == "invalid_input: inputs.x: expected an array of float32, got texts or files (string)"


def test_inputs_nobody_has_checked_may_be_images_too() -> None:
    model, _ = transformed(IMAGE, levels, OWN)
    raw = pack_raw(Columnar([{"b64": base64.b64encode(LIGHT).decode()}]))
    assert run(model, entry(raw, rows=1))[0]["y"][0][0] == 200
    unnamed = pack({"": np.array([LIGHT, DARK], object)})
    assert [row[0] for row in run(model, entry(unnamed, rows=2))[0]["y"]] == [200, 10]


def test_jobs_whose_answers_have_no_rows_for_callers_still_share_a_call() -> None:
    def total(signature: Signature, options: Options) -> Transform:
        return Transform((TensorSpec("total", "float32", ()),), lambda arrays: {"total": arrays["y"].sum()})

    model, calls = transformed("[transforms]\npost = 'total'", levels, OWN, total=total)
    rows = [np.full((n, 2, 2, 1), n, np.float32) for n in (1, 2)]
    assert run(model, *map(entry, rows)) == [{"total": 101}, {"total": 204}]
    assert calls == [3]


def test_the_models_own_answer_is_checked_before_it_is_transformed() -> None:
    def wide(x: Any) -> Any:
        return {"y": np.zeros((len(x), 4), np.float32)}

    model, _ = transformed("[top_k]", wide, OWN)
    (failed,) = run(model, entry(np.zeros((1, 2, 2, 1), np.float32)))
    assert failed == "wrong_answer_shape: output y has shape (1, 4), declared is (-1, 3)"


# ---------------------------------------------------------------- bounds


def test_a_job_longer_than_a_batch_is_decoded_part_by_part() -> None:
    held: list[int] = []

    def note(signature: Signature, options: Options) -> Transform:
        def convert(arrays: Any) -> Any:
            held.append(len(arrays["x"]))
            return {"x": np.zeros((len(arrays["x"]), 2, 2, 1), np.float32)}

        return Transform((TensorSpec("x", "string", (-1,)),), convert)

    model, calls = transformed("[batch]\nmax_rows = 4\n[transforms]\npre = 'note'", levels, OWN, note=note)
    (found,) = run(model, entry([b"a"] * 10))
    assert len(found["y"]) == 10
    assert held == calls == [4, 4, 2]


def test_a_bad_row_in_a_later_part_fails_the_whole_job_and_no_other() -> None:
    model, _ = transformed(f"{IMAGE}[batch]\nmax_rows = 2", levels, OWN)
    failed, good = run(model, entry([LIGHT, LIGHT, BROKEN["truncated"]]), entry([DARK]))
    assert failed.startswith("invalid_input: inputs.x[0]: expected a whole")
    assert good["y"][0][0] == 10


def test_no_more_is_decoded_ahead_than_a_call_takes() -> None:
    ahead: list[str] = []

    def answer(x: Any) -> Any:
        ahead.append(f"run {len(x)}")
        return levels(x)

    def note(signature: Signature, options: Options) -> Transform:
        def convert(arrays: Any) -> Any:
            ahead.append("decode")
            return {"x": np.zeros((1, 2, 2, 1), np.float32)}  # 16 bytes of one

        return Transform((TensorSpec("x", "string", (-1,)),), convert)

    toml = "[batch]\nmax_bytes = 32\n[transforms]\npre = 'note'"
    model, _ = transformed(toml, answer, OWN, note=note)
    run(model, *(entry([b"a"]) for _ in range(5)))
    assert ahead == ["decode"] * 3 + ["run 2"] + ["decode"] * 2 + ["run 2", "run 1"]


# ---------------------------------------------------------------- a transform's own mistakes


def broken(convert: Any, specs: Any = None) -> Any:
    return lambda signature, options: Transform(specs or signature.inputs, convert)


def fail(arrays: Any) -> Any:
    raise ZeroDivisionError("no")


def refuse(arrays: Any) -> Any:
    raise InvalidRequest("inputs.x[0]", "a weight above 0", "-1")


@pytest.mark.parametrize(
    ("convert", "says"),
    [
        (fail, "transform_failed: own: ZeroDivisionError: no"),
        (refuse, "invalid_input: inputs.x[0]: expected a weight above 0, got -1"),
        (lambda arrays: None, "transform_failed: own: TypeError: expected a dictionary of x, got NoneType"),
        (lambda arrays: {"z": 1}, "transform_failed: own: TypeError: expected a dictionary of x, got ['z']"),
        (
            lambda arrays: {"x": arrays["x"].astype("f8")},
            "transform_failed: own: ValueError: x: declared float32",
        ),
        (lambda arrays: {"x": arrays["x"][:, :1]}, "transform_failed: own: ValueError: x: declared float32"),
        (lambda arrays: {"x": arrays["x"][:0]}, "transform_failed: own: ValueError: [0, 1] rows in and out"),
    ],
)
def test_a_transform_that_fails_fails_its_job(convert: Any, says: str) -> None:
    model, calls = transformed("[transforms]\npre = 'own'", levels, OWN, own=broken(convert))
    (failed,) = run(model, entry(np.zeros((1, 2, 2, 1), np.float32)))
    assert failed.startswith(says)
    assert calls == []


def test_a_transform_of_outputs_fails_one_job_and_not_its_neighbours() -> None:
    def picky(arrays: Any) -> Any:
        if (arrays["y"][:, 0] == 13).any():
            raise ValueError("unlucky")
        return arrays

    own = broken(picky, OWN.outputs)
    model, calls = transformed("[transforms]\npost = 'own'", levels, OWN, own=own)
    rows = [np.full((1, 2, 2, 1), n, np.float32) for n in (1, 13, 2)]
    first, failed, last = run(model, *map(entry, rows))
    assert failed == "transform_failed: own: ValueError: unlucky"
    assert (first["y"][0][0], last["y"][0][0]) == (1, 2)
    assert calls == [3], "the model is not run again"


def test_answers_that_are_not_finite_are_seen_before_they_are_ranked() -> None:
    def nowhere(x: Any) -> Any:
        return {"y": np.full((len(x), 3), np.nan, np.float32)}

    model, _ = transformed("outputs_finite = true\n[top_k]", nowhere, OWN)
    (failed,) = run(model, entry(np.zeros((1, 2, 2, 1), np.float32)))
    assert failed == "output_not_finite: output y, row 0"


def test_inputs_that_are_not_finite_are_refused_beside_images() -> None:
    model, _ = transformed(f"inputs_finite = true\n{IMAGE}", levels, OWN)
    failed, good = run(model, entry(np.full((1, 2, 2, 1), np.nan, np.float32)), entry([LIGHT]))
    assert failed == "invalid_input: inputs.x[0][0][0][0]: expected a finite number, got nan"
    assert good["y"][0][0] == 200


# ---------------------------------------------------------------- options, other doors


def test_an_own_transform_gets_its_section_and_its_files(tmp_path: Path) -> None:
    (tmp_path / "factor.txt").write_text("3")

    def scaled(signature: Signature, options: Options) -> Transform:
        factor = float(options.lines(options.get("file"))[0]) * options.get("more", 1)
        return Transform(signature.inputs, lambda arrays: {"x": arrays["x"] * np.float32(factor)})

    toml = "[transforms]\npre = 'scaled'\n[scaled]\nfile = 'factor.txt'"
    model, _ = transformed(toml, levels, OWN, directory=tmp_path, scaled=scaled)
    assert run(model, entry(np.full((1, 2, 2, 1), 2, np.float32)))[0]["y"][0][0] == 6


def test_a_prediction_without_a_job_passes_the_same_transforms() -> None:
    model, _ = transformed(f"{IMAGE}[top_k]\nk = 1", levels, OWN)
    request = PredictRequest(ModelRef("m"), raw_inputs([LIGHT, DARK], None))
    outputs = run_request(lambda version: model, request, 10_000)
    assert outputs["labels"].tolist() == [[b"0"], [b"1"]]
    refused = PredictRequest(ModelRef("m"), raw_inputs([LIGHT, b"GIF89a"], None))
    with pytest.raises(InvalidRequest, match=r"inputs\[1\]: expected a PNG, JPEG or WebP image"):
        run_request(lambda version: model, refused, 10_000)
