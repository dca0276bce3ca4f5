"""Rates as they are written."""

from __future__ import annotations

import pytest

from predict_worker.core.rates import Rate, parse_duration, parse_rates


def test_a_rate_is_so_many_in_so_long() -> None:
    assert parse_rates("100/60s") == (Rate("default", 100, 60),)
    assert parse_rates(" 5/2m , 70/12h,9/1d ")[1:] == (Rate("70/12h", 70, 43200), Rate("9/1d", 9, 86400))


def test_a_rate_may_be_of_some_models() -> None:
    _, rate = parse_rates("100/60s, dig*=10/1s")
    assert rate == Rate("dig*=10/1s", 10, 1, "dig*")
    assert [rate.concerns(model) for model in ("digits", "Digits", "pair")] == [True, False, False]
    assert rate.counter("digits") != rate.counter("digit")


@pytest.mark.parametrize("text", ["", " ", "none"])
def test_no_rate(text: str) -> None:
    assert parse_rates(text) == ()


@pytest.mark.parametrize(
    "text",
    [
        *("100", "100/60", "0/60s", "1/0s", "-1/1s", "1/1w", "1.5/1s", "٣/1s", "1/1s, 1/1s"),
        *("100/60s,", "a b=1/1s", "=1/1s", "1/1s\n2/2s", "9999999999999/1s", "1/999999999d"),
    ],
)
def test_what_is_no_rate_is_told(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected .*, got '"):
        parse_rates(text)


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("15m", 900), ("30d", 2592000)])
def test_a_duration_has_a_unit(text: str, seconds: int) -> None:
    assert parse_duration(text) == seconds
