"""How often a caller may ask."""

from __future__ import annotations

import pytest

from predict_worker.core.ports import JobStore
from predict_worker.core.rates import Taken, parse_rates
from tests.contract.scene import eventually

MINUTE = parse_rates("3/60s")


def remaining(taken: Taken) -> list[int]:
    return [one.remaining for one in taken.left]


def test_requests_are_granted_until_the_quota_is_used_up(store: JobStore) -> None:
    taken = [store.take("user:1", MINUTE, "digits") for _ in range(5)]
    assert [one.granted for one in taken] == [True, True, True, False, False]
    assert [remaining(one) for one in taken] == [[2], [1], [0], [0], [0]]
    assert all(55 < one.left[0].reset_s <= 60 for one in taken)
    assert [one.left[0].rate for one in taken] == [MINUTE[0]] * 5


def test_each_caller_is_counted_alone(store: JobStore) -> None:
    for _ in range(3):
        assert store.take("user:1", MINUTE, "digits").granted
    assert not store.take("user:1", MINUTE, "digits").granted
    assert store.take("user:2", MINUTE, "digits").granted
    assert store.take("", MINUTE, "digits").granted


def test_a_window_ends_and_the_quota_is_there_again(store: JobStore) -> None:
    second = parse_rates("1/1s")
    assert store.take("user:1", second, "digits").granted
    refused = store.take("user:1", second, "digits")
    assert (refused.granted, 0 < refused.left[0].reset_s <= 1) == (False, True)
    eventually(lambda: store.take("user:1", second, "digits").granted)


def test_requests_do_not_put_the_end_of_their_window_off(store: JobStore) -> None:
    many = parse_rates("1000000/60s")
    assert store.take("user:1", many, "digits").left[0].reset_s > 59.9
    eventually(lambda: store.take("user:1", many, "digits").left[0].reset_s < 59.9)


def test_all_models_count_together_unless_the_rate_has_a_pattern(store: JobStore) -> None:
    both = parse_rates("3/60s, *=1/60s")
    assert store.take("user:1", both, "one").granted
    assert not store.take("user:1", both, "one").granted
    assert remaining(store.take("user:1", both, "two")) == [1, 0]


def test_what_one_rate_refuses_counts_against_no_other(store: JobStore) -> None:
    both = parse_rates("10/60s, 1/1h")
    assert remaining(store.take("user:1", both, "digits")) == [9, 0]
    for _ in range(3):
        refused = store.take("user:1", both, "digits")
        assert (refused.granted, remaining(refused)) == (False, [9, 0])
    assert [one.reset_s > 60 for one in refused.left] == [False, True]


def test_another_quota_begins_anew(store: JobStore) -> None:
    for _ in range(3):
        store.take("user:1", MINUTE, "digits")
    assert remaining(store.take("user:1", parse_rates("5/60s"), "digits")) == [4]


@pytest.mark.parametrize("rates", ["3/60s", "3/60s, 5/1h, d*=9/1d"])
def test_what_is_left_is_told_in_the_order_of_the_rates(store: JobStore, rates: str) -> None:
    parsed = parse_rates(rates)
    taken = store.take("user:1", parsed, "digits")
    assert [one.rate for one in taken.left] == list(parsed)
    assert remaining(taken) == [rate.quota - 1 for rate in parsed]
