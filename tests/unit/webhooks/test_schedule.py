"""What an answer leads to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from predict_worker.core.errors import InvalidConfig
from predict_worker.core.hooks import DeliveryState
from predict_worker.webhooks.schedule import RETRIES, judge, parse_retries, retry_after

PAUSES = parse_retries(RETRIES)


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_2xx_is_success(status: int) -> None:
    assert judge(status, 1, None, PAUSES).state is DeliveryState.DELIVERED


@pytest.mark.parametrize("status", [None, 100, 301, 307, 400, 404, 500, 503])
def test_anything_else_is_tried_again_ten_times_in_all_over_three_days(status: int | None) -> None:
    verdicts = [judge(status, number, None, PAUSES) for number in range(1, 11)]
    assert [v.state for v in verdicts] == [DeliveryState.PENDING] * 9 + [DeliveryState.FAILED]
    pauses = [5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400]
    for verdict, pause_s in zip(verdicts, pauses, strict=False):
        assert 0.9 * pause_s <= verdict.retry_in_s <= 1.1 * pause_s
        assert verdict.hold_s == 0


def test_pauses_are_spread() -> None:
    assert len({judge(500, 1, None, PAUSES).retry_in_s for _ in range(20)}) > 1


def test_gone_is_the_end() -> None:
    assert judge(410, 1, None, PAUSES).state is DeliveryState.FAILED


@pytest.mark.parametrize("status", [429, 502, 504])
def test_a_receiver_that_is_overloaded_is_spared(status: int) -> None:
    assert judge(status, 1, None, PAUSES).hold_s == 30
    verdict = judge(status, 1, 100.0, PAUSES)
    assert (verdict.hold_s, verdict.retry_in_s) == (100, 100)
    assert judge(status, 1, 86400.0, PAUSES).hold_s == 3600


def test_retry_after_is_never_sooner_than_the_schedule() -> None:
    assert judge(503, 2, 1.0, PAUSES).retry_in_s >= 270


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("7", 7),
        (" 120 ", 120),
        ("9" * 30, 86400),
        ("-1", None),
        ("soon", None),
        ("", None),
        ("²", None),
    ],
)
def test_retry_after_as_a_number(header: str | None, seconds: float | None) -> None:
    assert retry_after(header) == seconds


def test_retry_after_as_a_date() -> None:
    soon = retry_after(format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True))
    assert soon is not None
    assert 55 < soon <= 60
    assert retry_after("Thu, 01 Jan 1970 00:00:00 GMT") == 0


@given(st.text(max_size=40))
def test_any_retry_after_is_a_bounded_number_or_none(header: str) -> None:
    seconds = retry_after(header)
    assert seconds is None or 0 <= seconds <= 86400


@pytest.mark.parametrize("text", ["a", "1 -2", "1 inf", "nan", " ".join(["1"] * 41)])
def test_a_schedule_that_is_none_is_named(text: str) -> None:
    with pytest.raises(InvalidConfig, match="WEBHOOK_RETRIES_S"):
        parse_retries(text)


def test_no_retries_at_all_is_a_schedule() -> None:
    assert parse_retries("") == ()
    assert judge(500, 1, None, ()).state is DeliveryState.FAILED
