"""The eager mode for the tests of other projects."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from celery import Celery, chain, current_app
from django.db import connections, transaction
from django.db.utils import ConnectionHandler
from django.test import Client, override_settings
from kombu.serialization import dumps, loads

from predict_worker import connect, get_job, predict, submit, wait
from predict_worker.core.errors import InvalidRequest, ModelLoadError, ModelNotFound, PayloadTooLarge
from predict_worker.core.job import JobState
from predict_worker.core.spec import BatchPolicy
from predict_worker.testing import FakeModel, TensorSpec, eager
from tests.pictures import plain
from tests.unit.api.asking import post

X = TensorSpec("x", "float32", (-1, 2))
Y = TensorSpec("y", "float32", (-1, 2))
DOUBLE = FakeModel(lambda x: x * 2, inputs=[X], outputs=[Y], batch=BatchPolicy(max_rows=2))
ROW = [[1.0, 2.0]]


def outputs(job_id: str) -> dict[str, Any]:
    prediction = get_job(job_id)
    assert prediction.outputs is not None, prediction.job
    return {name: array.tolist() for name, array in prediction.outputs.items()}


def test_submitted_job_is_final_when_submit_returns() -> None:
    with eager(models={"double": DOUBLE}):
        job = submit("double", ROW, metadata={"order": 7})
        assert outputs(job.id) == {"y": [[2.0, 4.0]]}
        assert wait(job.id, timeout_s=0).job.metadata == {"order": 7}


def test_plain_function_is_a_model_of_one_float32_input() -> None:
    with eager(models={"sum": lambda x: x.sum(axis=1)}) as predictions:
        assert outputs(submit("sum", [[1, 2], [3, 4]]).id) == {"output": [3.0, 7.0]}
    (call,) = predictions.calls
    assert call.model == "sum"
    assert call.inputs["input"].dtype == np.float32


def test_inputs_are_checked_against_the_declared_signature() -> None:
    with eager(models={"double": DOUBLE}) as predictions:
        with pytest.raises(InvalidRequest, match=r"inputs\[0\]: expected a list of 2"):
            submit("double", [[1.0]])
        with pytest.raises(ModelNotFound, match="'single'"):
            submit("single", ROW)
        with pytest.raises(ModelNotFound, match="version 2"):
            submit("double", ROW, version=2)
    assert predictions.calls == []


def test_several_inputs_and_outputs_go_by_name() -> None:
    def both(a: Any, b: Any) -> Mapping[str, Any]:
        return {"sum": a + b, "names": [b"n"] * len(a)}

    a, b = TensorSpec("a", "int64", (-1,)), TensorSpec("b", "int64", (-1,))
    declared = [TensorSpec("sum", "float64", (-1,)), TensorSpec("names", "string", (-1,))]
    with eager(models={"both": FakeModel(both, inputs=[a, b], outputs=declared)}):
        found = get_job(submit("both", {"a": [1, 2], "b": [3, 4]}).id).outputs
    assert found is not None
    assert found["sum"].dtype == np.float64
    assert found["names"].tolist() == [b"n", b"n"]


def test_what_the_function_raises_fails_the_job() -> None:
    def broken(x: Any) -> Any:
        raise ZeroDivisionError("no model today")

    with eager(models={"broken": broken}):
        job = get_job(submit("broken", ROW).id).job
    assert job.state is JobState.FAILED
    assert job.error is not None
    assert (job.error.code, job.error.detail) == ("model_error", "ZeroDivisionError: no model today")


def test_rows_are_split_into_batches_as_the_policy_says() -> None:
    with eager(models={"double": DOUBLE}) as predictions:
        job = submit("double", np.ones((5, 2), np.float32))
        assert outputs(job.id) == {"y": [[2.0, 2.0]] * 5}
    assert sum(len(call.inputs["x"]) for call in predictions.calls) == 5
    assert max(len(call.inputs["x"]) for call in predictions.calls) == 2


LIGHTEST = FakeModel(
    lambda x: x.reshape(len(x), -1),
    inputs=[TensorSpec("x", "float32", (-1, 2, 1, 1))],
    outputs=[TensorSpec("levels", "float32", (-1, 2))],
    model_toml="[image]\nscale = '0..255'\n[top_k]\nk = 1\nlabels = 'labels.txt'",
)


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[Path]:
    """With the labels of ``lightest``, whose model is nowhere."""
    (tmp_path / "lightest").mkdir()
    (tmp_path / "lightest" / "labels.txt").write_text("upper\nlower\n")
    with override_settings(PREDICT_WORKER={"MODEL_REPOSITORY": tmp_path, "ALLOW_ANONYMOUS": True}):
        yield tmp_path


def test_transforms_are_those_of_the_models_file(repository: Path) -> None:
    with eager(models={"lightest": LIGHTEST}) as predictions:
        job = submit("lightest", [plain(7), plain(9)])
        assert outputs(job.id) == {"labels": [[b"upper"]] * 2, "scores": [[7], [9]]}
        posted = Client().post("/api/jobs?model=lightest", plain(8), content_type="image/png")
        assert outputs(posted.json()["id"]) == {"labels": [[b"upper"]], "scores": [[8]]}
        assert predict("lightest", [plain(5)]) == {"labels": [["upper"]], "scores": [[5]]}
        with pytest.raises(InvalidRequest, match=r"inputs\[0\]: expected a PNG, JPEG or WebP image"):
            submit("lightest", [b"GIF89a"])
        failed = get_job(submit("lightest", [plain(size=(50, 50))[:-30]]).id).job.error
        assert failed is not None
        assert failed.code == "invalid_input"
    assert predictions.calls[0].inputs["x"].tolist() == [[[[7]], [[7]]], [[[9]], [[9]]]]


def test_transforms_that_do_not_fit_are_told_at_once(repository: Path) -> None:
    models = {"lightest": replace(LIGHTEST, model_toml="[transforms]\npre = 'mine'")}
    with pytest.raises(ModelLoadError, match="no pre-transform 'mine'"), eager(models):
        pass
    (repository / "lightest" / "labels.txt").unlink()
    with pytest.raises(ModelLoadError, match=r"no file labels\.txt"), eager({"lightest": LIGHTEST}):
        pass


@override_settings(PREDICT_WORKER={"ALLOW_ANONYMOUS": True})
def test_api_answers_and_shows_the_models() -> None:
    with eager(models={"double": DOUBLE}):
        client = Client()
        body = {"model": "double", "inputs": ROW}
        accepted = post(client, body)
        assert accepted.status_code == 202
        assert client.get(accepted["Location"]).json()["outputs"] == {"y": [[2.0, 4.0]]}
        assert post(client, body, prefer="wait=5").status_code == 200
        assert client.get("/readyz").status_code == 200
        assert client.get("/api/models").json()["models"][0]["name"] == "double"


def test_settings_overridden_inside_are_honoured() -> None:
    with eager(models={"double": DOUBLE}):
        first = submit("double", ROW)
        with override_settings(PREDICT_WORKER={"MAX_BODY_BYTES": 1024}):
            with pytest.raises(PayloadTooLarge):
                submit("double", np.ones((500, 2), np.float32))
            assert outputs(first.id) == {"y": [[2.0, 4.0]]}
        submit("double", np.ones((500, 2), np.float32))


def test_before_and_after_the_block_nothing_is_changed() -> None:
    before = connect.service()
    with eager(models={"double": DOUBLE}):
        with eager(models={}), pytest.raises(ModelNotFound):
            submit("double", ROW)
        assert connect.service() is not before
        submit("double", ROW)
        assert predict("double", ROW) == {"y": [[2.0, 4.0]]}
    assert connect.service() is before
    with pytest.raises(ModelNotFound, match="serves no models"):
        predict("double", ROW)


@pytest.fixture
def celery() -> Iterator[Celery]:
    """The app of a project, configured by Django's settings before any test overrides them."""
    before: Any = current_app._get_current_object()  # type: ignore[attr-defined]
    app = Celery("project", broker="memory://")
    app.config_from_object("django.conf:settings", namespace="CELERY")
    assert not app.conf.task_always_eager
    yield app
    app.close()
    before.set_current()


def test_task_runs_at_once_where_celery_is_eager(celery: Celery) -> None:
    @celery.task(shared=False)
    def total(outputs: dict[str, Any]) -> float:
        return float(np.sum(outputs["y"]))

    with eager(models={"double": DOUBLE}), override_settings(CELERY_TASK_ALWAYS_EAGER=True):
        assert predict.delay("double", ROW).get() == {"y": [[2.0, 4.0]]}
        assert chain(predict.s("double", ROW), total.s()).delay().get() == 6.0


def test_images_travel_to_the_task_as_bytes(celery: Celery, repository: Path) -> None:
    with eager(models={"lightest": LIGHTEST}), override_settings(CELERY_TASK_ALWAYS_EAGER=True):
        found = predict.s("lightest", [plain(5)]).delay().get()
        assert found == {"labels": [["upper"]], "scores": [[5]]}
        kind, encoding, body = dumps({"inputs": [plain(5)]}, serializer="json")
        assert loads(body, kind, encoding) == {"inputs": [plain(5)]}


def test_job_submitted_on_commit_runs_when_the_transaction_ends() -> None:
    handler = ConnectionHandler(
        {"default": {}, "memory": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
    )
    connections["memory"] = handler["memory"]
    try:
        with eager(models={"double": DOUBLE}) as predictions:
            with transaction.atomic("memory"):
                transaction.on_commit(lambda: submit("double", ROW), using="memory")
                transaction.set_rollback(True, "memory")
            with transaction.atomic("memory"):
                transaction.on_commit(lambda: submit("double", ROW), using="memory")
                assert predictions.calls == []
            assert len(predictions.calls) == 1
    finally:
        handler["memory"].close()
        del connections["memory"]


ALONE = """
import sys
import django
from django.conf import settings
settings.configure(INSTALLED_APPS=["predict_worker"])
django.setup()
from predict_worker import get_job, submit
from predict_worker.testing import eager
with eager(models={"sum": lambda x: x.sum(axis=1)}):
    assert get_job(submit("sum", [[1.0, 2.0]]).id).outputs["output"].tolist() == [3.0]
print([name for name in ("tensorflow", "keras", "predict_worker.tasks") if name in sys.modules])
"""


def test_it_needs_neither_tensorflow_nor_a_server() -> None:
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", ALONE], cwd=root, capture_output=True, text=True, timeout=60)
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr
