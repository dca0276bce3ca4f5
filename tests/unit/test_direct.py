"""A prediction without a job."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from predict_worker.codec import Columnar
from predict_worker.core.errors import InvalidRequest, ModelNotFound, PayloadTooLarge, PredictionFailed
from predict_worker.core.spec import BatchPolicy, ModelRef
from predict_worker.direct import run_request
from predict_worker.registry import LoadedModel
from predict_worker.service import PredictRequest
from tests.unit.models import Function, double, loaded

MAX_BYTES = 1000


def request(rows: int = 1, version: int | None = None) -> PredictRequest:
    return PredictRequest(ModelRef("m", version), Columnar([[1.0, 2.0]] * rows))


def run(function: Function = double, rows: int = 1) -> dict[str, list[list[float]]]:
    model, _ = loaded(function)
    outputs = run_request(lambda version: model, request(rows), MAX_BYTES)
    return {name: array.tolist() for name, array in outputs.items()}


def test_outputs_come_by_name() -> None:
    assert run(rows=2) == {"y": [[2.0, 4.0]] * 2}


def test_each_batch_has_its_limit() -> None:
    model, calls = loaded(batch=BatchPolicy(max_rows=2))
    limited: list[int] = []

    @contextmanager
    def limit() -> Iterator[None]:
        before = len(calls)
        yield
        limited.append(len(calls) - before)

    outputs = run_request(lambda version: model, request(5), MAX_BYTES, limit)
    assert outputs["y"].shape == (5, 2)
    assert (calls, limited) == ([2, 2, 1], [1, 1, 1])


def test_one_version_answers_whatever_is_loaded_meanwhile() -> None:
    versions = iter([loaded(version=1, batch=BatchPolicy(max_rows=1))[0], loaded(version=2)[0]])
    run_request(lambda version: next(versions), request(3), MAX_BYTES)
    assert next(versions).spec.version == 2


def test_version_that_is_named_is_asked_for() -> None:
    def resolve(version: int | None) -> LoadedModel:
        raise ModelNotFound(f"asked for {version}")

    with pytest.raises(ModelNotFound, match="asked for 7"):
        run_request(resolve, request(version=7), MAX_BYTES)


def test_what_a_submit_would_refuse_is_refused() -> None:
    model, calls = loaded()
    with pytest.raises(PayloadTooLarge):
        run_request(lambda version: model, request(200), MAX_BYTES)
    with pytest.raises(InvalidRequest):
        run_request(lambda version: model, PredictRequest(ModelRef("m"), Columnar([["a"]])), MAX_BYTES)
    assert calls == []


def test_error_of_the_model_is_raised_with_its_code() -> None:
    def broken(x: object) -> dict[str, object]:
        raise ZeroDivisionError("sorry")

    with pytest.raises(PredictionFailed, match=r"\(model_error\): ZeroDivisionError: sorry"):
        run(broken)
    with pytest.raises(PredictionFailed, match="wrong_answer_count"):
        run(lambda x: {"y": x[:1]}, rows=2)
