"""Moments as the API writes them."""

from __future__ import annotations

from datetime import UTC, datetime


def rfc3339(moment: datetime | None) -> str | None:
    """UTC in milliseconds, with ``Z``; the store's moments are in UTC already."""
    return None if moment is None else moment.astimezone(UTC).isoformat(timespec="milliseconds")[:-6] + "Z"
