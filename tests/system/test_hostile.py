"""Models and rows that misbehave: each ends in its own outcome, and costs its neighbours nothing."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.system.hostile import LOAD_S, POISON, make_hostile
from tests.system.stack import Stack, lines, until

Jobs = list[dict[str, Any]]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One child for all models but ``slow``, which has a worker of its own."""
    models = make_hostile(tmp_path_factory.mktemp("hostile"))
    shared = Stack(tmp_path_factory.mktemp("stack"), models, PREDICT_WORKER_ALLOW_PYTHON_MODELS="1")
    names = [path.name for path in models.iterdir() if path.name != "slow"]
    try:
        yield shared.start(queues=",".join(f"model.{name}" for name in names))
    finally:
        shared.close()


def together(stack: Stack, model: str, rows: list[float]) -> Jobs:
    """The ends of jobs of one row each, that were in one batch: they came while the model was paused."""
    assert stack.http.post(f"/api/models/{model}/pause").status_code == 200
    with ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(lambda row: stack.predict(model, [[row]]).json()["id"], rows))
    assert stack.http.post(f"/api/models/{model}/resume").status_code == 200
    return [stack.final(job_id, 60) for job_id in ids]


def rows_around_poison(neighbours: int) -> list[float]:
    rows = [float(100 + n) for n in range(neighbours)]
    rows.insert(neighbours // 2, POISON)
    return rows


def split_off_poison(jobs: Jobs, rows: list[float]) -> tuple[dict[str, Any], Jobs]:
    """The job of the poison; and the others, all of which have their answers."""
    others = [(job, row) for job, row in zip(jobs, rows, strict=True) if row != POISON]
    for job, row in others:
        assert (job["state"], job["outputs"]) == ("succeeded", {"y": [[2 * row]]}), job
    (poison,) = [job for job, row in zip(jobs, rows, strict=True) if row == POISON]
    return poison, [job for job, _ in others]


@pytest.mark.parametrize(
    ("model", "code", "told"),
    [
        ("raises", "model_error", "ValueError: unlucky, one of 1"),
        ("short", "wrong_answer_count", "output y has shape (0, 1) for 1 rows of input"),
        ("nan", "output_not_finite", "output y, row 0"),
        ("greedy", "model_error", "MemoryError: Unable to allocate 1.00 EiB"),
        ("lies", "model_error", "y: declared float32 of shape (-1, 1), got float32 of shape (1, 2)"),
    ],
)
def test_row_that_makes_the_model_fail_fails_alone(stack: Stack, model: str, code: str, told: str) -> None:
    rows = rows_around_poison(20)
    poison, others = split_off_poison(together(stack, model, rows), rows)
    assert poison["state"] == "failed"
    assert poison["error"]["code"] == code
    assert told in poison["error"]["detail"]
    assert {job["attempts"] for job in (poison, *others)} == {1}


@pytest.mark.parametrize("model", ["kills", "aborts", "exits"])
def test_poison_that_ends_its_process_costs_its_fifty_neighbours_nothing(stack: Stack, model: str) -> None:
    rows = rows_around_poison(50)
    poison, others = split_off_poison(together(stack, model, rows), rows)
    assert (poison["state"], poison["error"]["code"]) == ("failed", "worker_died")
    assert [(a["loss"], a["alone"]) for a in poison["error"]["attempts"]] == [
        ("child", False),
        *[("child", True)] * 3,
    ]
    assert {job["attempts"] for job in others} == {2}


def test_hang_that_keeps_the_interpreter_lock_is_killed_and_costs_its_neighbours_nothing(
    stack: Stack,
) -> None:
    rows = rows_around_poison(20)
    poison, others = split_off_poison(together(stack, "hangs", rows), rows)
    assert (poison["state"], poison["error"]["code"]) == ("failed", "timeout")
    assert [a["loss"] for a in poison["error"]["attempts"]] == ["timeout"] * 4
    assert {job["attempts"] for job in others} == {2}


def test_model_whose_answers_change_their_shape_answers_each_job_in_its_own(stack: Stack) -> None:
    first, second = (stack.predict("widens", [[1.0]], wait_s=20).json()["outputs"]["y"] for _ in range(2))
    assert len(second[0]) == len(first[0]) + 1
    assert {value for row in (*first, *second) for value in row} == {2.0}


def test_job_whose_batches_are_answered_in_different_shapes_fails(stack: Stack) -> None:
    job = stack.predict("widens", [[float(n)] for n in range(10)], wait_s=20).json()
    assert (job["state"], job["error"]["code"]) == ("failed", "model_error")
    assert "must match exactly" in job["error"]["detail"]


def test_model_that_loads_for_long_holds_up_nobody_and_answers_what_came_meanwhile(stack: Stack) -> None:
    early = stack.predict("slow", [[1.0]])
    assert early.status_code == 202, lines(early)
    worker = stack.worker(queues="model.slow", name="slow")
    others = [stack.predict("raises", [[float(n)]], wait_s=5) for n in range(5)]
    assert [response.json()["state"] for response in others] == ["succeeded"] * 5
    assert stack.job(early.json()["id"])["state"] == "queued"
    assert stack.final(early.json()["id"], 60)["outputs"] == {"y": [[2.0]]}
    (status,) = [m for w in stack.workers() for m in w["models"] if m["model"] == "slow"]
    assert status["load_ms"] >= LOAD_S * 1000
    assert stack.end(worker) == 0


@pytest.mark.parametrize("model", ["fatal", "leaves"])
def test_model_whose_load_ends_the_process_is_left_alone_and_answers_why(stack: Stack, model: str) -> None:
    job = stack.predict(model, [[1.0]], wait_s=20).json()
    assert (job["state"], job["error"]["code"]) == ("failed", "model_unavailable")
    assert "its load has ended 3 processes in a row" in job["error"]["detail"]
    assert stack.log("worker").count(f"a child died while it loaded {model}") == 3


def test_after_all_that_the_child_is_well(stack: Stack) -> None:
    def ready() -> list[dict[str, Any]]:
        return [worker for worker in stack.workers() if worker["state"] == "ready"]

    (child,) = until(ready, what="a ready child")
    unwell = {model["model"] for model in child["models"] if model["state"] != "AVAILABLE"}
    assert unwell == {"fatal", "leaves"}
    assert stack.predict("raises", [[1.0]], wait_s=20).json()["outputs"] == {"y": [[2.0]]}
