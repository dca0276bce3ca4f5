"""Pages of job ids: how far one reaches, and one out of several."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..core.errors import InvalidRequest
from ..core.job import JOB_ID
from ..core.ports import Listing

_MOMENT = re.compile(r"\d+(?:-\d+)?\Z")
Position = tuple[str, str]
"""A moment as its source tells it, and a job id: where a page ends."""


def parse(cursor: str, ids: re.Pattern[str] = JOB_ID) -> Position | None:
    """None for the first page. Raises InvalidRequest."""
    if not cursor:
        return None
    moment, _, listed_id = cursor.partition(".")
    if not (_MOMENT.match(moment) and ids.match(listed_id)):
        raise InvalidRequest("cursor", "one that a page has ended with", repr(cursor))
    return moment, listed_id


def text(position: Position) -> str:
    return ".".join(position)


def paged(moments: Mapping[str, int], limit: int, cursor: str, ids: re.Pattern[str] = JOB_ID) -> Listing:
    """One page of these jobs."""
    end = parse(cursor, ids)
    positions = sorted(((str(at), job_id) for job_id, at in moments.items()), key=_order, reverse=True)
    page = [p for p in positions if end is None or _order(p) < _order(end)]
    more = text(page[limit - 1]) if len(page) > limit else ""
    return Listing(tuple(job_id for _, job_id in page[:limit]), more)


def merged(answers: Sequence[Any], limit: int) -> Listing:
    """One page of what the scripts found in several places: ``[cursor's moment, its job id, moment, job id,
    …]`` each, newest first. Raises the first answer that is an error."""
    found: list[Position] = []
    ends: list[Position] = []
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer
        end, *positions = _positions(answer)
        found += positions
        ends += [end] if end[1] else []
    # Beyond the nearest end there may be more of that place.
    nearest = max(ends, key=_order, default=None)
    near = [p for p in found if nearest is None or _order(p) >= _order(nearest)]
    page = sorted(near, key=_order, reverse=True)
    if len(page) > limit:
        page, nearest = page[:limit], page[limit - 1]
    return Listing(tuple(job_id for _, job_id in page), text(nearest) if nearest else "")


def _positions(answer: Sequence[bytes]) -> Iterator[Position]:
    texts = [value.decode() for value in answer]
    return zip(texts[::2], texts[1::2], strict=True)


def _order(position: Position) -> tuple[list[int], str]:
    moment, job_id = position
    return [int(part) for part in moment.split("-")], job_id
