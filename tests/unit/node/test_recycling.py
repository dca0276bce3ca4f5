"""When a child is replaced, and when it had better not be."""

from __future__ import annotations

import logging
import mmap
import os
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from billiard.pool import EX_RECYCLE

from predict_worker.node import recycling
from predict_worker.node.recycling import MEASURE_S, SHORTEST_LIFE_S, Recycling, own_memory_mb


class Machine:
    """A clock and a memory that a test sets."""

    def __init__(self) -> None:
        self.now = 100.0
        self.memory_mb: float | None = 50.0
        self.measured = 0

    def monotonic(self) -> float:
        return self.now

    def measure(self) -> float | None:
        self.measured += 1
        return self.memory_mb

    def bounds(self, max_batches: int = 0, max_memory_mb: float = 0) -> Recycling:
        return Recycling(max_batches, max_memory_mb, self.measure, self.monotonic)


@pytest.fixture
def machine() -> Machine:
    return Machine()


def test_without_bounds_a_child_stays_and_measures_nothing(machine: Machine) -> None:
    bounds = machine.bounds()
    machine.now += 1e6
    assert not bounds.due(10**9)
    assert machine.measured == 0


def test_a_child_is_replaced_after_its_batches(machine: Machine) -> None:
    bounds = machine.bounds(max_batches=3)
    assert [bounds.due(batches) for batches in (0, 2, 3, 7)] == [False, False, True, True]


def test_a_child_is_replaced_once_it_has_too_much_memory(machine: Machine) -> None:
    bounds = machine.bounds(max_memory_mb=100)
    machine.now += SHORTEST_LIFE_S
    assert not bounds.due(1)
    machine.memory_mb = 101
    machine.now += MEASURE_S
    assert bounds.due(1)


def test_memory_is_measured_now_and_then(machine: Machine) -> None:
    bounds = machine.bounds(max_memory_mb=100)
    machine.now += SHORTEST_LIFE_S
    before = machine.measured
    for _ in range(1000):
        bounds.due(1)
    assert machine.measured == before + 1


def test_a_child_that_is_over_its_bound_once_loaded_stays_and_says_so(
    machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    machine.memory_mb = 150
    with caplog.at_level(logging.WARNING):
        bounds = machine.bounds(max_memory_mb=100)
    assert "MAX_MEMORY_MB, which is 100, has no effect: with its models loaded" in caplog.text
    machine.now += 1e6
    assert not bounds.due(1)


def test_a_child_that_is_over_its_bound_soon_lives_for_a_while(machine: Machine) -> None:
    bounds = machine.bounds(max_memory_mb=100)
    machine.memory_mb = 150
    machine.now += SHORTEST_LIFE_S / 2
    assert not bounds.due(1)


def test_a_system_that_tells_nothing_is_told_of(machine: Machine, caplog: pytest.LogCaptureFixture) -> None:
    machine.memory_mb = None
    with caplog.at_level(logging.WARNING):
        bounds = machine.bounds(max_batches=5, max_memory_mb=100)
    assert "this system does not say" in caplog.text
    machine.now += 1e6
    assert not bounds.due(1)
    assert bounds.due(5)


@pytest.mark.skipif(own_memory_mb() is None, reason="no /proc/self/smaps_rollup")
def test_memory_shared_with_the_parent_is_not_counted() -> None:
    with mmap.mmap(-1, 64 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as block:
        block.write(b"x" * (64 << 20))
        read, write = os.pipe()
        if os.fork() == 0:
            try:
                before = own_memory_mb() or 0.0
                block[: 32 << 20] = b"y" * (32 << 20)
                os.write(write, f"{before} {own_memory_mb()}".encode())
            finally:
                os._exit(0)
        os.wait()
        before, after = map(float, os.read(read, 100).decode().split())
    assert before < 64
    assert 30 < after - before < 100


# ---------------------------------------------------------------- in the pool


def loop_of(monkeypatch: pytest.MonkeyPatch, target: Any) -> None:
    monkeypatch.setattr(recycling, "current_process", lambda: SimpleNamespace(_target=target))


def test_the_pools_loop_is_left_before_it_waits_for_the_next_task(monkeypatch: pytest.MonkeyPatch) -> None:
    over = iter([False, True])
    target = SimpleNamespace(wait_for_job=lambda: "task")
    loop_of(monkeypatch, target)
    recycling.leave_when(lambda: next(over))
    assert target.wait_for_job() == "task"
    with pytest.raises(SystemExit) as left:
        target.wait_for_job()
    assert left.value.code == EX_RECYCLE


@pytest.mark.parametrize("target", [None, object()])
def test_a_worker_that_runs_alone_says_that_nobody_replaces_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, target: Any
) -> None:
    loop_of(monkeypatch, target)
    due: Callable[[], bool] = lambda: sys.exit("asked")  # noqa: E731
    recycling.leave_when(due)
    assert "no effect in this pool" in caplog.text
