"""The ``Prefer`` header (RFC 7240): how long the caller would like to wait."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

MAX_LENGTH = 1024
"""A longer header is ignored, as RFC 7240 allows for any preference."""

_QUOTED_OR_COMMA = re.compile(r'"(?:[^"\\]|\\.)*"|,')
_SECONDS = re.compile(r"[0-9]{1,9}\Z")


@dataclass(frozen=True, slots=True)
class Preference:
    """``wait_s`` None: no ``wait`` was asked for."""

    wait_s: int | None = None
    respond_async: bool = False

    def applied(self, *, waited_s: float | None, answered_async: bool) -> dict[str, str]:
        """The ``Preference-Applied`` header, if a preference was honoured.

        ``waited_s`` is the bound that the wait had, None if the request did not wait.
        """
        honoured = []
        if self.respond_async and answered_async:
            honoured.append("respond-async")
        if self.wait_s is not None and waited_s is not None:
            honoured.append(f"wait={waited_s:.0f}")
        return {"Preference-Applied": ", ".join(honoured)} if honoured else {}


NO_PREFERENCE = Preference()


def parse(header: str, bare_wait_s: int | None = None) -> Preference:
    """What is malformed or unknown is ignored; of one preference given twice the first counts.

    ``bare_wait_s`` is what ``wait`` without a number means, if anything.
    """
    return NO_PREFERENCE if not header or len(header) > MAX_LENGTH else _preference(header, bare_wait_s)


@lru_cache(maxsize=256)
def _preference(header: str, bare_wait_s: int | None) -> Preference:
    wait_s: int | None = None
    respond_async = seen_wait = False
    for item in _items(header):
        name, _, value = item.partition(";")[0].partition("=")
        name, value = name.strip().lower(), value.strip().strip('"').strip()
        if name == "respond-async":
            respond_async = True
        elif name == "wait" and not seen_wait:
            seen_wait = True
            wait_s = (int(value) if _SECONDS.match(value) else None) if value else bare_wait_s
    return Preference(wait_s, respond_async)


def _items(header: str) -> list[str]:
    """Split at commas outside quoted strings."""
    items, start = [], 0
    for match in _QUOTED_OR_COMMA.finditer(header):
        if match.group() == ",":
            items.append(header[start : match.start()])
            start = match.end()
    return [*items, header[start:]]
