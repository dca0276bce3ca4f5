"""The URLs that webhooks may go to, as far as their text says."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from ..core.errors import InvalidRequest

MAX_LENGTH = 2048
_PRINTABLE = re.compile(r"[\x21-\x7e]+\Z")
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Url:
    """``host`` in lower case, an IPv6 address without brackets; ``target``: path and query."""

    scheme: str
    host: str
    port: int
    target: str

    @property
    def authority(self) -> str:
        """Host and port: what is bounded and slowed down together."""
        return f"{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


def parse_url(text: str, field: str = "url") -> Url:
    """Raises InvalidRequest, which names ``field``."""
    expected = f"an http or https URL of at most {MAX_LENGTH} visible ASCII characters"
    if not _PRINTABLE.match(text) or len(text) > MAX_LENGTH:
        raise InvalidRequest(field, expected, f"{len(text)} characters: {text[:100]!r}")
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise InvalidRequest(field, expected, f"{text[:100]!r} ({error})") from None
    if parts.scheme not in _PORTS or not host:
        raise InvalidRequest(field, expected, repr(text[:100]))
    if "@" in parts.netloc:
        raise InvalidRequest(field, "a URL without user and password", "one with them")
    if parts.fragment or text.endswith("#"):
        raise InvalidRequest(field, "a URL without a fragment", repr(text[:100]))
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Url(parts.scheme, host, _PORTS[parts.scheme] if port is None else port, target)
