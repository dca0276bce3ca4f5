"""One page out of several places, each of which may hold more than it has said."""

from __future__ import annotations

from predict_worker.core.job import new_job_id
from predict_worker.store.listing import merged, parse

A, B, C, D = sorted(new_job_id(0) for _ in range(4))


def answer(*found: tuple[str, str], end: tuple[str, str] = ("", "")) -> list[bytes]:
    """As a script gives it."""
    return [text.encode() for position in (end, *found) for text in position]


def test_the_newest_of_all_places_come_first() -> None:
    page = merged([answer(("9-0", A), ("2-0", B)), answer(("10-0", C), ("9-1", D))], limit=9)
    assert (page.job_ids, page.cursor) == ((C, D, A, B), "")


def test_what_was_at_the_same_moment_is_told_apart_by_its_id() -> None:
    page = merged([answer(("5-0", A)), answer(("5-0", C), ("5-0", B))], limit=2)
    assert page.job_ids == (C, B)
    assert parse(page.cursor) == ("5-0", B)


def test_a_place_that_has_stopped_early_holds_up_the_others() -> None:
    """Between its end and what they have found may be more of it."""
    page = merged([answer(("9-0", D), end=("7-0", C)), answer(("8-0", B), ("3-0", A))], limit=9)
    assert page.job_ids == (D, B)
    assert parse(page.cursor) == ("7-0", C)


def test_a_page_that_is_full_ends_with_its_last_job() -> None:
    page = merged([answer(("9-0", D), ("8-0", C), end=("8-0", C)), answer(("7-0", B))], limit=1)
    assert (page.job_ids, parse(page.cursor)) == ((D,), ("9-0", D))


def test_nothing_anywhere_is_an_empty_page() -> None:
    assert merged([], limit=3).job_ids == ()
    assert merged([answer(), answer()], limit=3).cursor == ""
