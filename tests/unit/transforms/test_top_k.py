"""Scores to labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from predict_worker.core.errors import ModelLoadError
from predict_worker.core.spec import Signature, TensorSpec
from predict_worker.transforms import Options, Transform
from predict_worker.transforms.top_k import softmax, top_k

X = TensorSpec("x", "float32", (-1, 2))
SCORES = np.array([[0.1, 0.7, 0.2], [0.5, 0.2, 0.3]], np.float32)


def made(shape: Any = (-1, 3), dtype: str = "float32", *others: TensorSpec, **options: Any) -> Transform:
    outputs = TensorSpec("probabilities", dtype, shape), *others
    directories = options.pop("directories", ())
    return top_k(Signature("serving_default", (X,), outputs), Options(options, directories))


def converted(transform: Transform, scores: Any = SCORES, **others: Any) -> dict[str, Any]:
    return {n: np.asarray(a) for n, a in transform.convert({"probabilities": scores, **others}).items()}


def test_the_best_come_first_with_their_scores() -> None:
    transform = made(k=2)
    assert transform.specs == (
        TensorSpec("labels", "string", (-1, 2)),
        TensorSpec("scores", "float32", (-1, 2)),
    )
    found = converted(transform)
    assert found["labels"].tolist() == [[b"1", b"2"], [b"0", b"2"]]
    np.testing.assert_allclose(found["scores"], [[0.7, 0.2], [0.5, 0.3]])
    assert found["scores"].dtype == np.float32


def test_labels_are_the_lines_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("cat\ndog\nhäschen\n")
    found = converted(made(labels="labels.txt", directories=(tmp_path,)))
    assert [label.decode() for label in found["labels"][0]] == ["dog", "häschen", "cat"]


def test_labels_of_a_version_win_over_those_of_the_model(tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    (tmp_path / "labels.txt").write_text("a\nb\nc")
    (tmp_path / "1" / "labels.txt").write_text("d\ne\nf")
    found = converted(made(labels="labels.txt", k=1, directories=(tmp_path / "1", tmp_path)))
    assert found["labels"].tolist() == [[b"e"], [b"d"]]


def test_fewer_classes_than_asked_for_are_all_there_are() -> None:
    assert made().specs[0].shape == (-1, 3)
    assert converted(made())["labels"].shape == (2, 3)


def test_an_open_number_of_classes_is_settled_by_the_answer(tmp_path: Path) -> None:
    transform = made((-1, -1), k=2)
    assert transform.specs[0].shape == (-1, -1)
    assert converted(transform)["labels"].shape == (2, 2)
    (tmp_path / "labels.txt").write_text("a\nb\n")
    with pytest.raises(IndexError):
        converted(made((-1, -1), labels="labels.txt", directories=(tmp_path,)))


def test_logits_become_probabilities_where_that_is_asked_for() -> None:
    found = converted(made(softmax=True), np.array([[1000.0, 1001.0, -1000.0]], np.float32))
    np.testing.assert_allclose(found["scores"], [[0.7310586, 0.26894143, 0]], rtol=1e-5)


def test_equal_scores_keep_the_order_of_the_classes() -> None:
    assert converted(made(), np.zeros((1, 3), np.float32))["labels"].tolist() == [[b"0", b"1", b"2"]]


@pytest.mark.parametrize("dtype", ["uint8", "int8", "float16", "float64"])
def test_scores_of_other_dtypes_are_ranked_as_numbers(dtype: str) -> None:
    found = converted(made(dtype=dtype), np.array([[3, 120, 7]], dtype))
    assert found["labels"].tolist() == [[b"1", b"2", b"0"]]
    assert found["scores"].tolist() == [[120, 7, 3]]


def test_other_outputs_of_the_model_stay() -> None:
    embedding = TensorSpec("embedding", "float32", (-1, 4))
    transform = made((-1, 3), "float32", embedding, output="probabilities")
    assert transform.specs[2] == embedding
    rows = np.ones((2, 4), np.float32)
    assert converted(transform, embedding=rows)["embedding"] is rows


@pytest.mark.parametrize(
    ("arguments", "options", "says"),
    [
        (((-1,),), {}, "expected scores [batch, classes], probabilities is float32 of shape [-1]"),
        ((None,), {}, "of shape []"),
        (((-1, 3), "string"), {}, "probabilities is string"),
        (((-1, 3), "float32", TensorSpec("scores", "float32", (-1,))), {}, "top_k.output: expected one of"),
        (
            ((-1, 3), "float32", TensorSpec("scores", "float32", (-1,))),
            {"output": "probabilities"},
            "an output scores of its own",
        ),
        (((-1, 3),), {"output": "z"}, "top_k.output: expected one of probabilities, got 'z'"),
        (((-1, 3),), {"labels": "none.txt"}, "no file none.txt beside the model"),
    ],
)
def test_a_model_without_scores_to_rank_is_refused_at_load(arguments: Any, options: Any, says: str) -> None:
    with pytest.raises(ModelLoadError) as refused:
        made(*arguments, **options)
    assert says in refused.value.detail


def test_labels_that_do_not_fit_the_classes_are_refused_at_load(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("cat\ndog\n")
    with pytest.raises(ModelLoadError, match=r"top_k.labels: expected 3 lines, labels.txt has 2"):
        made(labels="labels.txt", directories=(tmp_path,))


@given(hnp.arrays(np.float32, (3, 7), elements=st.floats(-100, 100, width=32)))
def test_softmax_sums_to_one_and_keeps_the_order(scores: Any) -> None:
    found = softmax(scores)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-5)
    ordered = np.argsort(scores, axis=1, kind="stable")
    assert (np.diff(np.take_along_axis(found, ordered, axis=1)) >= 0).all()
