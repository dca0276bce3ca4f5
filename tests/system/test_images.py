"""Images and texts over HTTP: raw, in forms and in JSON, to labels; what is broken fails alone."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.pictures import BOMB, BROKEN, NOT_IMAGES, plain
from tests.system.stack import Stack, lines

_MODEL = """
import time
import numpy as np
from predict_worker.core.spec import Signature, TensorSpec

X = TensorSpec("x", "{dtype}", {shape})
SIGNATURES = (Signature("serving_default", (X,), (TensorSpec("scores", "float32", (-1, 2)),)),)

def load(directory):
    def predict(x):
        time.sleep({pause_s})
        part = {part}
        return {{"scores": np.stack([1 - part, part], axis=1).astype(np.float32)}}

    return predict
"""
_LIGHT = {"dtype": "float32", "shape": (-1, 4, 4, 1), "part": "x.mean(axis=(1, 2, 3))"}
_MOOD = {"dtype": "int64", "shape": (-1, 6), "part": "(x == 2).any(axis=1)", "pause_s": 0}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``light`` tells dark images from light ones, ``slow`` too, ``mood`` bad texts from good ones."""
    root = tmp_path_factory.mktemp("models")
    image = "[image]\n[top_k]\nk = 1\nlabels = 'labels.txt'\n[batch]\nmax_rows = 4\n"
    for name, source, manifest, labels in (
        ("light", {**_LIGHT, "pause_s": 0}, image, "dark\nlight\n"),
        ("slow", {**_LIGHT, "pause_s": 0.5}, image, "dark\nlight\n"),
        ("mood", _MOOD, "[tokenise]\nvocabulary = 'v.txt'\n[top_k]\nlabels = 'labels.txt'\n", "bad\ngood\n"),
    ):
        (root / name / "1").mkdir(parents=True)
        (root / name / "1" / "model.py").write_text(_MODEL.format(**source))
        (root / name / "model.toml").write_text(manifest)
        (root / name / "labels.txt").write_text(labels)
    (root / "mood" / "v.txt").write_text("[PAD]\n[UNK]\ngood\n")
    return root


@pytest.fixture(scope="module")
def stack(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    shared = Stack(tmp_path_factory.mktemp("stack"), models, PREDICT_WORKER_ALLOW_PYTHON_MODELS="1")
    try:
        yield shared.start(children=1)
    finally:
        shared.close()


def send(stack: Stack, data: bytes, model: str = "light", wait_s: int = 20) -> httpx.Response:
    headers = {"Content-Type": "image/png", **({"Prefer": f"wait={wait_s}"} if wait_s else {})}
    return stack.http.post(f"/api/jobs?model={model}", content=data, headers=headers)


def labels(response: httpx.Response) -> Any:
    assert response.status_code == 200, lines(response)
    job = response.json()
    assert job["state"] == "succeeded", lines(response)
    return [label for (label,) in job["outputs"]["labels"]]


def test_raw_images_of_any_kind_and_size_are_answered_with_labels(stack: Stack) -> None:
    assert labels(send(stack, plain(250, (300, 200)))) == ["light"]
    assert labels(send(stack, plain((9, 9, 9), (7, 5), "RGB", "JPEG"))) == ["dark"]
    assert labels(send(stack, plain((9, 9, 9), (64, 64), "RGB", "WEBP"))) == ["dark"]


def test_a_form_of_several_files_is_a_job_of_as_many_rows(stack: Stack) -> None:
    shades = [250, 10, 240, 20, 230, 5, 200]
    files = [("inputs", (f"{shade}.png", plain(shade))) for shade in shades]
    response = stack.http.post(
        "/api/jobs", data={"model": "light"}, files=files, headers={"Prefer": "wait=20"}
    )
    assert labels(response) == ["light" if shade > 127 else "dark" for shade in shades]
    scores = [score for (score,) in response.json()["outputs"]["scores"]]
    assert scores == pytest.approx([max(shade, 255 - shade) / 255 for shade in shades], abs=1e-5)


def test_json_takes_images_in_base64_and_tensors_as_before(stack: Stack) -> None:
    encoded = {"b64": base64.b64encode(plain(250)).decode()}
    assert labels(stack.predict("light", [encoded], wait_s=20)) == ["light"]
    assert labels(stack.predict("light", [[[[0.1]] * 4] * 4], wait_s=20)) == ["dark"]


def test_texts_are_answered_with_labels(stack: Stack) -> None:
    response = stack.predict("mood", ["All is GOOD!", "all is not well"], wait_s=20)
    assert response.status_code == 200, lines(response)
    outputs = response.json()["outputs"]
    assert outputs == {"labels": [["good", "bad"], ["bad", "good"]], "scores": [[1, 0], [1, 0]]}


def test_broken_images_fail_alone_among_good_ones(stack: Stack) -> None:
    """The first keeps the only child busy while the others gather."""
    sent = [send(stack, plain(9), "slow", wait_s=0)]
    for data in BROKEN.values():
        sent += [send(stack, data, "slow", wait_s=0), send(stack, plain(250), "slow", wait_s=0)]
    jobs = [stack.final(response.json()["id"]) for response in sent]
    good, bad = [jobs[0], *jobs[2::2]], jobs[1::2]
    assert [job["outputs"]["labels"] for job in good] == [[["dark"]], *[[["light"]]] * len(BROKEN)]
    assert max(job["timings"]["batch_rows"] for job in good) > 1
    assert {(job["state"], job["error"]["code"]) for job in bad} == {("failed", "invalid_input")}
    assert all(job["error"]["detail"].startswith("inputs.x[0]: expected ") for job in bad)
    assert all(job["attempts"] == 1 for job in jobs)


def test_a_bomb_costs_the_worker_nothing(stack: Stack) -> None:
    (child,) = [worker["pid"] for worker in stack.workers()]
    labels(send(stack, plain()))
    before = psutil.Process(child).memory_info().rss
    for _ in range(3):
        job = send(stack, BOMB).json()
        assert "at most 25000000 pixels" in job["error"]["detail"]
    assert psutil.Process(child).memory_info().rss - before < 20_000_000


def test_what_is_no_image_is_refused_before_it_is_queued(stack: Stack) -> None:
    for data in NOT_IMAGES.values():
        problem = send(stack, data)
        assert problem.status_code == 400, lines(problem)
        assert problem.json()["field"] in ("inputs[0]", "body")
    problem = send(stack, plain(), "mood").json()
    assert (problem["status"], problem["expected"]) == (400, "a text in UTF-8")


def test_the_web_has_no_library_for_images(stack: Stack) -> None:
    labels(send(stack, plain()))
    processes = psutil.Process().children(recursive=True)
    web = [process for process in processes if "granian" in " ".join(process.cmdline())]
    mapped = " ".join(m.path for process in web for m in process.memory_maps())
    assert "numpy" in mapped
    assert "PIL" not in mapped
