"""TensorFlow Serving's REST API on TensorFlow Serving's own model."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.docs_runner import Example, examples
from tests.system.stack import ROOT, Stack, until

FIXTURES = ROOT / "tests" / "fixtures" / "tensorflow_serving"
NAME = "half_plus_two"
OK = {"error_code": "OK", "error_message": ""}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Serves both versions."""
    model = tmp_path_factory.mktemp("models") / NAME
    shutil.copytree(FIXTURES / "saved_model_half_plus_two_2_versions", model)
    (model / "model.toml").write_text('[versions]\npolicy = "all"\n[labels]\nstable = 123\nnext = 124\n')
    shared = Stack(tmp_path_factory.mktemp("stack"), model.parent)
    try:
        yield shared.start()
    finally:
        shared.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("docs")


def ask(stack: Stack, at: str, body: Any, **headers: str) -> tuple[int, Any]:
    response = stack.http.post(f"/v1/models/{at}", content=json.dumps(body), headers=headers)
    return response.status_code, response.json()


def test_status_tells_of_both_versions(stack: Stack) -> None:
    both = [{"version": version, "state": "AVAILABLE", "status": OK} for version in ("124", "123")]
    assert stack.http.get(f"/v1/models/{NAME}").json() == {"model_version_status": both}
    for at in ("versions/123", "labels/stable"):
        assert stack.http.get(f"/v1/models/{NAME}/{at}").json() == {"model_version_status": both[1:]}


def test_metadata_is_what_tensorflow_serving_says(stack: Stack) -> None:
    golden = json.loads((FIXTURES / "saved_model_half_plus_two_2_versions_metadata.json").read_text())
    golden["model_spec"]["name"] = NAME
    assert stack.http.get(f"/v1/models/{NAME}/versions/123/metadata").json() == golden


@pytest.mark.parametrize("at", ["", "/versions/123", "/versions/124", "/labels/stable", "/labels/next"])
def test_every_way_to_a_version_predicts(stack: Stack, at: str) -> None:
    rows = ask(stack, f"{NAME}{at}:predict", {"instances": [2.0, 3.0, 4.0]})
    assert rows == (200, {"predictions": [3.0, 3.5, 4.0]})
    assert ask(stack, f"{NAME}{at}:predict", {"inputs": [[2.0]]}) == (200, {"outputs": [[3.0]]})


@pytest.mark.parametrize(
    ("verb", "signature", "told"),
    [
        ("classify", "classify_x_to_y", [[["", 3.0]], [["", 3.5]]]),
        ("regress", "regress_x_to_y", [3.0, 3.5]),
        ("regress", "regress_x_to_y2", [4.0, 4.5]),
    ],
)
def test_examples_are_classified_and_regressed(stack: Stack, verb: str, signature: str, told: Any) -> None:
    asked = {"signature_name": signature, "examples": [{"x": 2.0}, {"x": 3.0}]}
    assert ask(stack, f"{NAME}:{verb}", asked) == (200, {"results": told})


def test_an_example_that_the_model_does_not_take_fails_alone(stack: Stack) -> None:
    asked = {"signature_name": "regress_x_to_y", "examples": [{"x": "two"}]}
    status, told = ask(stack, f"{NAME}:regress", asked)
    assert (status, list(told)) == (500, ["error"])


@pytest.mark.parametrize(
    ("at", "body", "status", "text"),
    [
        ("null:predict", {"instances": [1.0]}, 404, "Servable not found for request: Latest(null)"),
        (f"{NAME}/labels/x:predict", {"instances": [1.0]}, 400, "Unrecognized servable version label: x"),
        (f"{NAME}:predict", {}, 400, "Missing 'inputs' or 'instances' key"),
        (f"{NAME}:predict", {"instances": ["a"]}, 400, "not of expected type: float"),
        (f"{NAME}:guess", {}, 400, f"Malformed request: POST /v1/models/{NAME}:guess"),
    ],
)
def test_errors_are_told_in_its_words(stack: Stack, at: str, body: Any, status: int, text: str) -> None:
    found, told = ask(stack, at, body)
    assert found == status
    assert text in told["error"]


def test_a_job_is_polled_to_its_predictions(stack: Stack) -> None:
    at = f"/v1/models/{NAME}/labels/stable:predict"
    accepted = stack.http.post(at, json={"instances": [2.0]}, headers={"Prefer": "respond-async"})
    assert accepted.status_code == 202
    location = accepted.headers["Location"]
    found = until(lambda: _once_done(stack, location), what="the job's end")
    assert found == {"predictions": [3.0]}
    assert stack.job(accepted.json()["job"])["version"] == "123"


def _once_done(stack: Stack, location: str) -> Any:
    response = stack.http.get(location)
    assert response.status_code in (200, 202), response.text
    return response.json() if response.status_code == 200 else None


@pytest.mark.parametrize("example", examples("tfserving"), ids=str)
def test_the_page_does_what_it_says(stack: Stack, folder: Path, example: Example) -> None:
    example.run(f"127.0.0.1:{stack.port}", folder)


def test_the_page_has_its_examples() -> None:
    assert len(examples("tfserving")) == 11
