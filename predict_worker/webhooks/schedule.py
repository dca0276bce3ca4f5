"""What an answer, or none, leads to."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from ..core.errors import InvalidConfig
from ..core.hooks import DeliveryState, Verdict

RETRIES = "5 300 1800 7200 18000 36000 50400 72000 86400"
"""Seconds between attempts: ten in all, over three days."""

GONE = 410
_SLOW_DOWN = frozenset({429, 502, 504})
_HOLD_S, _LONGEST_HOLD_S = 30.0, 3600.0
_LONGEST_S = 86400.0
_JITTER = 0.1


def parse_retries(text: str) -> tuple[float, ...]:
    """Raises InvalidConfig."""
    try:
        pauses = tuple(float(part) for part in text.replace(",", " ").split())
    except ValueError:
        pauses = (-1.0,)
    if len(pauses) > 40 or not all(0 <= pause_s <= 7 * 86400 for pause_s in pauses):
        raise InvalidConfig(f"WEBHOOK_RETRIES_S: expected at most 40 numbers of seconds, got {text!r}")
    return pauses


def judge(status: int | None, number: int, retry_after_s: float | None, pauses_s: Sequence[float]) -> Verdict:
    """After the ``number``-th attempt, counted from 1; ``status`` None: no answer."""
    if status is not None and 200 <= status < 300:
        return Verdict(DeliveryState.DELIVERED)
    hold_s = 0.0
    if status in _SLOW_DOWN:
        hold_s = min(_HOLD_S if retry_after_s is None else retry_after_s, _LONGEST_HOLD_S)
    if status == GONE or number > len(pauses_s):
        return Verdict(DeliveryState.FAILED, hold_s=hold_s)
    spread = random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 - spreads load, guards nothing
    return Verdict(DeliveryState.PENDING, max(pauses_s[number - 1] * spread, retry_after_s or 0.0), hold_s)


def retry_after(header: str | None) -> float | None:
    """Seconds, a day at most, of a number or a date; None for what is neither."""
    if header is None:
        return None
    header = header.strip()
    if header.isascii() and header.isdigit():
        return min(float(header[:9]), _LONGEST_S)
    try:
        moment = parsedate_to_datetime(header)
    except ValueError:
        return None
    left_s = (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    return min(max(left_s, 0.0), _LONGEST_S)
