"""From an error that is marked retryable to the job that runs again."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from predict_worker import Retryable, get_job, submit
from predict_worker.batch import run_batch
from predict_worker.codec import pack
from predict_worker.core.errors import InvalidRequest
from predict_worker.core.job import JobState
from predict_worker.core.ports import Entry, Outcome
from predict_worker.core.spec import ModelSpec, RetryPolicy
from predict_worker.registry import LoadedModel
from predict_worker.testing import FakeModel, eager
from predict_worker.transforms.registration import Transform
from tests.unit.models import X, double, loaded, transformed

AWAY = -1.0
"""A row for which the model asks for more time."""


def away(x: Any) -> Any:
    if (x == AWAY).any():
        raise Retryable("the service did not answer")
    return double(x)


def run(model: LoadedModel, *rows: float, retries: int = 0) -> list[Outcome]:
    entries = [
        Entry(
            id=str(number),
            job_id="0-a",
            range_index=0,
            rows=1,
            version=1,
            pinned=False,
            signature_name="serving_default",
            outputs=(),
            attempt=1,
            queue_ms=1.0,
            payload=pack({"x": np.array([[row, 0]], np.float32)}),
            retries=retries,
        )
        for number, row in enumerate(rows)
    ]
    return run_batch(lambda _: model, entries)


# ---------------------------------------------------------------- the pause


def test_pauses_double_up_to_the_longest() -> None:
    policy = RetryPolicy(attempts=9, backoff_s=1.0, max_backoff_s=5.0)
    assert [policy.pause_s(retries, 1.0) for retries in range(8)] == [1, 2, 4, 5, 5, 5, 5, 5]


def test_a_pause_is_spread_over_its_upper_half() -> None:
    policy = RetryPolicy(backoff_s=8.0)
    assert [policy.pause_s(0, share) for share in (0.0, 0.5, 1.0)] == [4, 6, 8]


def test_after_the_last_attempt_there_is_no_pause() -> None:
    assert RetryPolicy(attempts=3).pause_s(1, 0.5) is not None
    assert RetryPolicy(attempts=3).pause_s(2, 0.5) is None
    assert RetryPolicy(attempts=1).pause_s(0, 0.5) is None


def test_a_pause_is_finite_however_often_it_has_doubled() -> None:
    assert RetryPolicy(attempts=10**9, max_backoff_s=60).pause_s(10**8, 1.0) == 60


def test_policy_is_published_and_what_another_release_wrote_is_read() -> None:
    model, _ = loaded(retry=RetryPolicy(5, 0.5, 2.0))
    raw = model.spec.to_dict()
    assert ModelSpec.from_dict(raw).retry == RetryPolicy(5, 0.5, 2.0)
    del raw["retry"]
    assert ModelSpec.from_dict(raw).retry == RetryPolicy()


# ---------------------------------------------------------------- in a batch


def test_entry_that_may_succeed_later_is_retried_and_its_neighbours_are_answered() -> None:
    model, _ = loaded(away, retry=RetryPolicy(backoff_s=4.0))
    good, retried, other = run(model, 1.0, AWAY, 2.0)
    assert good.error is None
    assert other.error is None
    assert retried.error is not None
    assert (retried.error.code, retried.error.detail) == (
        "model_error",
        "Retryable: the service did not answer",
    )
    assert retried.retry_in_s is not None
    assert 2 <= retried.retry_in_s <= 4
    assert not retried.given_up


def test_pauses_of_neighbours_differ() -> None:
    model, _ = loaded(away)
    pauses = {outcome.retry_in_s for outcome in run(model, *[AWAY] * 5)}
    assert len(pauses) == 5


def test_entry_that_was_retried_often_enough_is_given_up() -> None:
    model, _ = loaded(away, retry=RetryPolicy(attempts=3))
    (outcome,) = run(model, AWAY, retries=2)
    assert (outcome.retry_in_s, outcome.given_up) == (None, True)


def test_error_that_is_not_marked_is_not_retried() -> None:
    def broken(x: Any) -> Any:
        raise ValueError("for good")

    (outcome,) = run(loaded(broken)[0], 1.0)
    assert outcome.error is not None
    assert (outcome.retry_in_s, outcome.given_up) == (None, False)


def test_error_that_comes_of_a_marked_one_is_marked_too() -> None:
    def wrapped(x: Any) -> Any:
        try:
            return away(x)
        except Retryable as error:
            raise RuntimeError("no features") from error

    (outcome,) = run(loaded(wrapped)[0], AWAY)
    assert outcome.retry_in_s is not None


@pytest.mark.parametrize("stage", ["pre", "post"])
def test_transforms_may_ask_for_more_time_too(stage: str) -> None:
    def convert(arrays: Any) -> Any:
        if any((array < 0).any() for array in arrays.values()):
            raise Retryable("the tokeniser is busy")
        return arrays

    def make(signature: Any, options: Any) -> Transform:
        return Transform(signature.inputs if stage == "pre" else signature.outputs, convert)

    text = f'[transforms]\n{stage} = "own"\n'
    good, retried = run(transformed(text, double, own=make)[0], 1.0, AWAY)
    assert good.error is None
    assert retried.error is not None
    assert retried.error.code == "transform_failed"
    assert "the tokeniser is busy" in retried.error.detail
    assert retried.retry_in_s is not None


def test_bad_input_is_never_retried() -> None:
    def refuses(arrays: Any) -> Any:
        raise InvalidRequest("inputs.x", "a picture", "none")

    def make(signature: Any, options: Any) -> Transform:
        return Transform((X,), refuses)

    (outcome,) = run(transformed('[transforms]\npre = "own"\n', double, own=make)[0], 1.0)
    assert outcome.error is not None
    assert (outcome.retry_in_s, outcome.given_up) == (None, False)


# ---------------------------------------------------------------- at once, in tests of a project


def flaky(failures: int) -> Callable[[Any], Any]:
    left = [None] * failures

    def model(x: Any) -> Any:
        if left:
            left.pop()
            raise Retryable("not yet")
        return x

    return model


def test_eager_job_is_retried_without_a_pause() -> None:
    with eager(models={"m": flaky(2)}) as predictions:
        job = get_job(submit("m", np.ones((1, 1), np.float32)).id).job
    assert (job.state, job.attempts, len(predictions.calls)) == (JobState.SUCCEEDED, 3, 3)


def test_eager_job_is_given_up_as_the_models_file_says() -> None:
    model = FakeModel(flaky(9), model_toml="[retry]\nattempts = 2\nbackoff_s = 60\n")
    with eager(models={"m": model}) as predictions:
        job = get_job(submit("m", np.ones((1, 1), np.float32)).id).job
    assert job.error is not None
    assert (job.state, len(predictions.calls), len(job.error.attempts)) == (JobState.FAILED, 2, 2)


# ---------------------------------------------------------------- its name


def test_the_mark_is_imported_without_tensorflow_or_django() -> None:
    code = (
        "import sys; from predict_worker import Retryable; "
        "assert not {'tensorflow', 'django', 'celery'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
