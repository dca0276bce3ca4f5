"""The Prefer header, as RFC 7240 writes it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.prefer import NO_PREFERENCE, Preference, parse


@pytest.mark.parametrize(
    ("header", "preference"),
    [
        ("", NO_PREFERENCE),
        ("wait=5", Preference(5)),
        ("Wait = 5", Preference(5)),
        ('wait="5"', Preference(5)),
        ("wait=0", Preference(0)),
        ("wait=5; strict=no", Preference(5)),
        ("respond-async", Preference(None, True)),
        ("Respond-Async", Preference(None, True)),
        ("respond-async, wait=10", Preference(10, True)),
        ("wait=10,respond-async", Preference(10, True)),
        ("handling=lenient, wait=3, return=minimal", Preference(3)),
        ('foo="a, wait=9", wait=2', Preference(2)),
        ('foo="say \\"hi\\", wait=9", wait=2', Preference(2)),
        ("wait=5, wait=50", Preference(5)),
        ("wait=soon, wait=50", NO_PREFERENCE),
        ("wait", NO_PREFERENCE),
        ("wait=", NO_PREFERENCE),
        ("wait=-1", NO_PREFERENCE),
        ("wait=1.5", NO_PREFERENCE),
        ("wait=1e3", NO_PREFERENCE),
        ("wait=\u0663", NO_PREFERENCE),
        ("wait=1 2", NO_PREFERENCE),
        ("wait=9999999999", NO_PREFERENCE),
        ("await=5", NO_PREFERENCE),
        (",,;=,", NO_PREFERENCE),
        ('"', NO_PREFERENCE),
        ("wait=5," + "x" * 2000, NO_PREFERENCE),
    ],
)
def test_what_is_well_formed_counts_and_the_rest_is_ignored(header: str, preference: Preference) -> None:
    assert parse(header) == preference


@given(st.text(max_size=200))
def test_no_header_is_an_error(header: str) -> None:
    parse(header)


@pytest.mark.parametrize(
    ("preference", "waited_s", "answered_async", "header"),
    [
        (Preference(5), 5.0, False, "wait=5"),
        (Preference(500), 60.0, True, "wait=60"),
        (Preference(5), None, True, None),
        (Preference(5, True), 5.0, True, "respond-async, wait=5"),
        (Preference(5, True), 5.0, False, "wait=5"),
        (Preference(5, True), None, True, "respond-async"),
        (NO_PREFERENCE, None, True, None),
    ],
)
def test_only_what_was_honoured_is_said_to_be_applied(
    preference: Preference, waited_s: float | None, answered_async: bool, header: str | None
) -> None:
    applied = preference.applied(waited_s=waited_s, answered_async=answered_async)
    assert applied == ({} if header is None else {"Preference-Applied": header})
