"""The Celery task: how it is called, where it goes, what comes back."""

from __future__ import annotations

import io
import json
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from celery import Celery
from celery.backends.base import BaseBackend

from predict_worker import predict
from predict_worker.celery_config import celery_defaults
from predict_worker.core.errors import (
    InvalidRequest,
    ModelLoadError,
    ModelNotFound,
    PredictionError,
    PredictionFailed,
)
from predict_worker.testing import FakeModel, TensorSpec, eager
from predict_worker.wakeup import PREDICT, route_predict

HALF = FakeModel(
    lambda x: x / 2,
    inputs=[TensorSpec("x", "float32", (-1, 2))],
    outputs=[TensorSpec("y", "float32", (-1, 2))],
)
ROW = [[2.0, 3.0]]
ANSWER = {"y": [[1.0, 1.5]]}


def npy(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


@pytest.fixture(autouse=True)
def _models() -> Iterator[None]:
    pair = FakeModel(
        lambda a, b: {"sum": a + b, "none": a * np.nan, "name": ["ä"]},
        inputs=[TensorSpec("a", "float32", (-1,)), TensorSpec("b", "float32", (-1,))],
        outputs=[TensorSpec(name, "float32", (-1,)) for name in ("sum", "none")]
        + [TensorSpec("name", "string", (-1,))],
    )
    with eager(models={"half": HALF, "pair": pair}):
        yield


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        (("half", ROW), {}),
        (("half", {"x": ROW}), {}),
        (("half",), {"inputs": ROW}),
        (("half",), {"instances": ROW}),
        ((ROW,), {"model": "half"}),
        (("half", npy(np.array(ROW, np.float32))), {"version": 1}),
        (("half", {"x": npy(np.array(ROW, np.float32))}), {}),
        ((), {"model": "half", "inputs": ROW, "outputs": ["y"]}),
    ],
)
def test_inputs_are_lists_or_npy_and_the_model_may_be_a_keyword(args: Any, kwargs: Any) -> None:
    assert predict(*args, **kwargs) == ANSWER


def test_answer_is_what_json_can_hold() -> None:
    answer = predict("pair", {"a": [1.0], "b": [2.0]})
    assert answer == {"sum": [3.0], "none": ["NaN"], "name": ["ä"]}
    assert json.loads(json.dumps(answer)) == answer


@pytest.mark.parametrize(
    ("args", "kwargs", "error", "says"),
    [
        (("none", ROW), {}, ModelNotFound, "'none'"),
        (("half", ROW), {"version": 2}, ModelNotFound, "version 2"),
        (("half", [[1.0]]), {}, InvalidRequest, r"inputs\[0\]: expected a list of 2"),
        (("half", b"no npy"), {}, InvalidRequest, "inputs: expected a .npy file"),
        (("half", ROW), {"outputs": ["z"]}, InvalidRequest, r"outputs\[0\]"),
        (("half", ROW), {"signature_name": "z"}, InvalidRequest, "signature_name"),
        (("half",), {}, InvalidRequest, "inputs: expected either inputs or instances"),
        ((ROW, "half"), {}, InvalidRequest, "model: expected a name, got a list of 1"),
        (("../half", ROW), {}, InvalidRequest, "model: expected a name"),
        (("half", ROW, 1), {}, TypeError, "model and inputs by position, got 3"),
        (("half", ROW), {"label": "stable"}, TypeError, "label"),
    ],
)
def test_what_is_wrong_is_said(args: Any, kwargs: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        predict(*args, **kwargs)


def test_failure_of_the_model_names_the_code_a_job_would_show() -> None:
    def broken(x: Any) -> Any:
        raise ZeroDivisionError("sorry")

    failed = r"Model failed \(model_error\): ZeroDivisionError: sorry"
    with eager(models={"broken": broken}), pytest.raises(PredictionFailed, match=failed):
        predict("broken", ROW)


ERRORS = [
    InvalidRequest("inputs[0]", "a number", "null"),
    ModelNotFound("no model"),
    ModelLoadError("no file"),
    PredictionFailed("no answer"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_error_survives_a_result_backend(error: PredictionError) -> None:
    backend = BaseBackend(Celery(set_as_current=False))
    stored = json.loads(json.dumps(backend.prepare_exception(error, serializer="json")))
    for again in (backend.exception_to_python(stored), pickle.loads(pickle.dumps(error))):
        assert type(again) is type(error)
        assert str(again) == str(error)
        assert vars(again) == vars(error)


# ---------------------------------------------------------------- where it goes


@pytest.mark.parametrize(
    ("name", "args", "kwargs", "route"),
    [
        (PREDICT, ("half", ROW), {}, {"queue": "model.half"}),
        (PREDICT, (ROW,), {"model": "half"}, {"queue": "model.half"}),
        (PREDICT, (ROW,), {}, None),
        (PREDICT, ("no model's name",), {}, None),
        (PREDICT, (), {}, None),
        ("shop.tasks.notify", ("half",), {}, None),
    ],
)
def test_only_predictions_are_routed_to_their_models_queue(
    name: str, args: Any, kwargs: Any, route: Any
) -> None:
    assert route_predict(name, args, kwargs, {}, task=None) == route


@pytest.fixture
def web() -> Iterator[Celery]:
    """The app of a web process, on a broker in memory."""
    app = Celery("web", broker="memory://", set_as_current=False)
    app.add_defaults(lambda: {**celery_defaults(), "broker_url": "memory://", "broker_transport_options": {}})
    yield app
    app.close()


def waiting(app: Celery, queue: str) -> Any:
    """The body of the next message."""
    with app.connection_for_read() as connection, connection.SimpleQueue(queue) as messages:
        message = messages.get(timeout=5)
        message.ack()
        return message.payload


def test_message_waits_in_the_models_queue_with_npy_as_base64(web: Celery) -> None:
    array = npy(np.array(ROW, np.float32))
    web.tasks[PREDICT].delay("half", array)
    args, kwargs, _ = waiting(web, "model.half")
    assert predict(*args, **kwargs) == ANSWER


def test_queue_that_is_named_wins(web: Celery) -> None:
    web.tasks[PREDICT].s("half", ROW).set(queue="slow").delay()
    assert waiting(web, "slow")[0] == ["half", ROW]


WEB = """
import json, sys
import django
from django.conf import settings
settings.configure(INSTALLED_APPS=["predict_worker"])
django.setup()
from celery import Celery
app = Celery("web", broker="memory://")
from predict_worker import predict
(predict.s("digits", [[1.0]]) | predict.si("digits", [[2.0]])).delay()
predict.apply_async(("digits", [[3.0]]), queue="model.digits")
print(json.dumps(sorted(sys.modules)))
"""


def test_web_process_sends_it_without_the_workers_side() -> None:
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", WEB], cwd=root, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    modules = set(json.loads(done.stdout))
    assert "predict_worker.canvas" in modules
    sides = ("tasks", "boot", "node", "batch", "registry", "runtimes.base")
    assert not modules & {"tensorflow", *(f"predict_worker.{name}" for name in sides)}
