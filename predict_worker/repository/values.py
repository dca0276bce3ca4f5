"""What the keys of ``model.toml`` may hold."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..core.errors import InvalidRepository


@dataclass(frozen=True, slots=True)
class Check:
    expected: str
    accepts: Callable[[Any], bool]


def whole(minimum: int) -> Check:
    return Check(f"a whole number of {minimum} or more", lambda v: type(v) is int and v >= minimum)


def real(minimum: float, maximum: float = math.inf) -> Check:
    bounds = (
        f"a number of {minimum:g} or more"
        if math.isinf(maximum)
        else f"a number of {minimum:g} to {maximum:g}"
    )
    return Check(bounds, lambda v: type(v) in (int, float) and minimum <= v <= maximum and math.isfinite(v))


def one_of(*values: Any) -> Check:
    expected = "one of " + ", ".join(str(value).lower() for value in values)
    return Check(expected, lambda given: any(type(given) is type(v) and given == v for v in values))


def list_of(check: Check) -> Check:
    return Check(
        f"a list, each {check.expected}", lambda v: isinstance(v, list) and all(map(check.accepts, v))
    )


FLAG = Check("true or false", lambda v: isinstance(v, bool))
TEXT = Check("a text", lambda v: isinstance(v, str) and v != "")


def check_keys(prefix: str, content: Mapping[str, Any], checks: Mapping[str, Check]) -> None:
    """Raises InvalidRepository naming the first key that is unknown, or whose value is not accepted."""
    for key, value in content.items():
        if key not in checks:
            raise InvalidRepository(
                f"model.toml: unknown key {prefix + key!r}; known are {', '.join(checks)}"
            )
        if not checks[key].accepts(value):
            raise InvalidRepository(
                f"model.toml: {prefix}{key}: expected {checks[key].expected}, got {value!r}"
            )
