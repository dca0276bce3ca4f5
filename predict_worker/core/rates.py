"""How often a caller may ask: ``100/60s`` of all that it asks for, ``digits=10/1s`` of one model."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase

EXAMPLE = "such as 100/60s, 5000/1d, digits=10/1s"
NONE = "none"
MAX_QUOTA = 10**12
MAX_WINDOW_S = 366 * 86400

_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"([1-9][0-9]{0,8})([smhd])\Z")
_RATE = re.compile(
    r"(?:(?P<pattern>[A-Za-z0-9_.*?-]{1,64})=)?(?P<quota>[1-9][0-9]{0,12})/(?P<window>[0-9]+[a-z])\Z"
)


@dataclass(frozen=True, slots=True)
class Rate:
    """At most ``quota`` requests in a window of ``window_s``, which begins with the first of them.

    With a ``pattern`` it holds for the models that match it (``*`` and ``?`` as in file names), for each by
    itself; without one for all together. ``name`` is how headers call it.
    """

    name: str
    quota: int
    window_s: int
    pattern: str = ""

    def concerns(self, model: str) -> bool:
        return not self.pattern or fnmatchcase(model, self.pattern)

    def counter(self, model: str) -> str:
        """What its requests are counted under, of one caller."""
        return f"{self.pattern}={self.quota}/{self.window_s}:{model if self.pattern else ''}"


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a rate leaves: ``remaining`` requests in the next ``reset_s``, then all of them again."""

    rate: Rate
    remaining: int
    reset_s: float


@dataclass(frozen=True, slots=True)
class Taken:
    """Whether one more request is within all of a caller's rates, and what each leaves now."""

    granted: bool
    left: tuple[Allowance, ...]


def parse_rates(text: str) -> tuple[Rate, ...]:
    """Of a list with commas; ``none`` and the empty text are no rate. Raises ValueError, which says what was
    expected and what was got. The first is named ``default``, others as they are written."""
    words = [] if text.strip() in ("", NONE) else [word.strip() for word in text.split(",")]
    rates = tuple(_rate(word, "default" if not index else word) for index, word in enumerate(words))
    if len({rate.counter("") for rate in rates}) != len(rates):
        raise ValueError(f"expected each rate once, got {text[:100]!r}")
    return rates


def parse_duration(text: str) -> int:
    """Seconds of ``90s``, ``15m``, ``12h`` or ``30d``. Raises ValueError."""
    match = _DURATION.match(text)
    if not match:
        raise ValueError(f"expected a duration such as 60s, 15m, 12h or 30d, got {text[:100]!r}")
    return int(match[1]) * _UNITS_S[match[2]]


def _rate(word: str, name: str) -> Rate:
    match = _RATE.match(word)
    if not match:
        raise ValueError(f"expected rates {EXAMPLE}, or {NONE}, got {word[:100]!r}")
    rate = Rate(name, int(match["quota"]), parse_duration(match["window"]), match["pattern"] or "")
    if rate.quota > MAX_QUOTA or rate.window_s > MAX_WINDOW_S:
        raise ValueError(f"expected at most {MAX_QUOTA} requests and a year, got {word[:100]!r}")
    return rate
