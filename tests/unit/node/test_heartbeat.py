"""When a worker's parent says that it is well."""

from __future__ import annotations

from pathlib import Path

import pytest

from predict_worker.core.errors import InvalidConfig
from predict_worker.node.heartbeat import SILENT_S, Heartbeat


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_loop_that_stops_turning_is_not_alive_for_long() -> None:
    clock = Clock()
    heartbeat = Heartbeat(None, clock)
    heartbeat.turned()
    clock.now = SILENT_S
    assert heartbeat.alive()
    clock.now += 0.1
    assert not heartbeat.alive()
    heartbeat.turned()
    assert heartbeat.alive()


def test_no_loop_is_expected_to_turn_before_the_first_or_after_it_was_left() -> None:
    clock = Clock()
    heartbeat = Heartbeat(None, clock)
    clock.now = 10 * SILENT_S
    assert heartbeat.alive()
    heartbeat.turned()
    heartbeat.left()
    clock.now += 10 * SILENT_S
    assert heartbeat.alive()


def test_the_file_is_there_from_the_start(tmp_path: Path) -> None:
    Heartbeat(tmp_path / "alive").start()
    assert (tmp_path / "alive").exists()


def test_a_file_that_cannot_be_written_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match=r"HEARTBEAT_FILE: .*missing/alive"):
        Heartbeat(tmp_path / "missing" / "alive").start()
