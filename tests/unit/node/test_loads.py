"""Loads that end their process are left alone, for a while."""

from __future__ import annotations

import multiprocessing
import os
import threading

import pytest

from predict_worker.node.loads import LEFT_ALONE_S, MAX_DEATHS, Loads

LONGEST = "m" * 64


class Node(Loads):
    """With a clock that a test moves."""

    def __init__(self) -> None:
        self.now = 5.0
        super().__init__(max_children=4, monotonic=lambda: self.now)


@pytest.fixture
def loads() -> Node:
    return Node()


INDEXES, REPLACED = range(3), {-1, -2, -3}
"""The pool after a death."""


def die_loading(loads: Loads, index: int, name: str) -> list[tuple[int, str]]:
    """A process does not come back from a load (this one, as the memory tells it); what the parent sees."""
    with pytest.raises(SystemExit), loads.loading(index, name):
        raise SystemExit
    return loads.died(INDEXES, REPLACED)


def test_a_death_in_a_load_is_told_apart_from_others(loads: Loads) -> None:
    assert loads.died(INDEXES, REPLACED) == []
    with loads.loading(0, LONGEST):
        assert loads.died(INDEXES, {os.getpid(), -2}) == []
    assert loads.died(INDEXES, REPLACED) == []
    assert die_loading(loads, 2, LONGEST) == [(2, LONGEST)]
    assert loads.died(INDEXES, REPLACED) == []


def test_a_model_is_left_alone_after_so_many_deaths_in_a_row(loads: Loads) -> None:
    for death in range(1, MAX_DEATHS + 2):
        die_loading(loads, 0, "bad")
        die_loading(loads, 1, f"other{death}")
        assert loads.deaths("bad") == (death if death >= MAX_DEATHS else 0)
    assert loads.deaths("other1") == loads.deaths("never") == 0


def test_a_load_that_is_survived_clears_the_count(loads: Loads) -> None:
    for _ in range(MAX_DEATHS - 1):
        die_loading(loads, 0, "shaky")
    with loads.loading(1, "shaky"):
        pass
    die_loading(loads, 0, "shaky")
    assert loads.deaths("shaky") == 0


def test_it_is_tried_again_later(loads: Node) -> None:
    for _ in range(MAX_DEATHS):
        die_loading(loads, 0, "bad")
    assert loads.deaths("bad") == MAX_DEATHS
    loads.now += LEFT_ALONE_S
    assert loads.deaths("bad") == 0
    die_loading(loads, 0, "bad")
    assert loads.deaths("bad") == MAX_DEATHS + 1


def test_more_models_than_there_is_room_for_are_not_counted(loads: Loads) -> None:
    for number in range(300):
        for _ in range(MAX_DEATHS):
            assert die_loading(loads, 0, f"m{number}") == [(0, f"m{number}")]
    assert loads.deaths("m0") == MAX_DEATHS
    assert loads.deaths("m299") == 0


def test_loads_take_turns_and_one_that_dies_gives_its_back(loads: Loads) -> None:
    begun, dies = multiprocessing.Pipe(), multiprocessing.Pipe()

    def other() -> None:
        with loads.turn():
            begun[1].send("begun")
            dies[0].recv()
            os._exit(1)

    process = multiprocessing.get_context("fork").Process(target=other)
    process.start()
    assert begun[0].recv() == "begun"
    had: list[bool] = []

    def this() -> None:
        with loads.turn():
            had.append(process.is_alive())

    thread = threading.Thread(target=this)
    thread.start()
    thread.join(0.3)
    assert had == []
    dies[1].send("die")
    process.join(5)
    thread.join(5)
    assert had == [False]
