"""A second version answers a copy of the traffic."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from predict_worker.batch import run_batch
from predict_worker.codec import Columnar, pack_raw
from predict_worker.core.errors import ModelNotFound
from predict_worker.core.ports import Entry, Outcome
from predict_worker.node.shadow import MAX_WAITING, Shadow, _difference
from predict_worker.repository.manifest import ShadowPolicy
from tests.contract.scene import eventually
from tests.unit.models import double, loaded


class Registry:
    def __init__(self, **functions: Callable[..., Any]) -> None:
        self._models = {int(v[1:]): loaded(f, version=int(v[1:]))[0] for v, f in functions.items()}

    def get(self, name: str, version: int | None) -> Any:
        if version not in self._models:
            raise ModelNotFound(f"{name}, version {version}, is not loaded")
        return self._models[version]


def entry(number: int) -> Entry:
    payload = pack_raw(Columnar([[1.0, 2.0]]))
    return Entry(str(number), f"0-{number}", 0, 1, 1, False, "serving_default", (), 1, 0.0, payload)


def answered(registry: Any, *numbers: int) -> list[Outcome]:
    return run_batch(lambda version: registry.get("m", version), [entry(number) for number in numbers])


def shadowed(function: Callable[..., Any], entries: int = 1, **policy: Any) -> Any:
    """The counts after so many answers of version 1, shadowed by version 2, which is that function."""
    registry: Any = Registry(v1=double, v2=function)
    shadow = Shadow(registry, lambda name: (2, ShadowPolicy(2, **policy)))
    shadow.ran("m", answered(registry, *range(entries)))
    assert not shadow.counts, "nothing runs before the answer is published"
    shadow.published()
    eventually(lambda: sum(c.compared + c.failed for c in shadow.counts) == entries)
    (counts,) = shadow.counts
    assert (counts.model, counts.version) == ("m", 2)
    return counts


def failing(x: Any) -> Any:
    raise ValueError("unlike the other")


def test_answers_that_are_near_are_compared_and_no_difference() -> None:
    off = np.array([[0.25], [0.125], [0]], np.float32)
    counts = shadowed(lambda x: {"y": x * 2 + off}, 3, tolerance=0.25)
    assert (counts.compared, counts.different, counts.max_difference) == (3, 0, 0.25)


@pytest.mark.parametrize(
    ("function", "largest"),
    [
        (lambda x: {"y": x * 2 + np.float32(0.5)}, 0.5),
        (lambda x: {"y": x * np.float32("nan")}, 0.0),
        (lambda x: {"y": x * 2, "z": x}, 0.0),
    ],
)
def test_answers_that_differ_are_counted(function: Callable[..., Any], largest: float) -> None:
    counts = shadowed(function, tolerance=0.25)
    assert (counts.compared, counts.different, counts.max_difference) == (1, 1, largest)


def test_shadow_that_fails_is_counted() -> None:
    counts = shadowed(failing)
    assert (counts.compared, counts.failed) == (0, 1)


@pytest.mark.parametrize(
    ("answer", "shadow", "difference"),
    [
        ([np.nan, 1.0, np.inf], [np.nan, 1.5, np.inf], 0.5),
        ([1.0, np.nan], [1.0, 2.0], None),
        ([1.0, np.inf], [1.0, -np.inf], None),
        ([1.0, 2.0], [1.0], None),
        ([b"seven"], [b"seven"], 0.0),
        ([b"seven"], [b"nine"], None),
        ([7], [b"seven"], None),
        ([2**63], [0], 2.0**63),
        ([True], [False], 1.0),
        ([], [], 0.0),
    ],
)
def test_difference_of_two_answers(answer: list[Any], shadow: list[Any], difference: float | None) -> None:
    one, other = ({"y": np.array(v, object if bytes in map(type, v) else None)} for v in (answer, shadow))
    assert _difference(one, other) == difference


def test_share_of_the_jobs_is_copied_and_always_the_same() -> None:
    registry: Any = Registry(v1=double, v2=double)
    shadow = Shadow(registry, lambda name: (2, ShadowPolicy(2, share=0.3)))
    for _ in range(2):
        shadow.ran("m", answered(registry, *range(200)))
    first, second = ([e.id for e, _ in copy.answered] for copy in shadow._kept)
    assert first == second
    assert 30 < len(first) < 90


def test_neither_failures_nor_answers_of_the_shadow_itself_are_copied() -> None:
    registry: Any = Registry(v1=failing, v2=double)
    shadow = Shadow(registry, lambda name: (2, ShadowPolicy(2)))
    outcomes = answered(registry, 1)
    outcomes += run_batch(lambda version: registry.get("m", 2), [entry(2)])
    shadow.ran("m", outcomes)
    assert shadow._kept == []


def test_busy_shadow_is_left_out_and_never_waited_for() -> None:
    running, go_on = threading.Event(), threading.Event()

    def slow(x: Any) -> Any:
        running.set()
        assert go_on.wait(10)
        return double(x)

    registry: Any = Registry(v1=double, v2=slow)
    shadow = Shadow(registry, lambda name: (2, ShadowPolicy(2)))
    for number in range(MAX_WAITING + 3):
        shadow.ran("m", answered(registry, number))
        shadow.published()
        assert running.wait(5)
    assert [counts.dropped for counts in shadow.counts] == [2]
    go_on.set()
    eventually(lambda: shadow.counts[0].compared == MAX_WAITING + 1)


def test_shadow_that_is_not_loaded_does_nothing() -> None:
    registry: Any = Registry(v1=double)
    shadow = Shadow(registry, lambda name: (2, ShadowPolicy(2)))
    shadow.ran("m", answered(registry, 1))
    (copy,) = shadow._kept
    shadow.compare(copy)
    assert shadow.counts == ()
