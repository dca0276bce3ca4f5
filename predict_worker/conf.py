"""The service's settings: Django's ``PREDICT_WORKER`` dict, else the environment, else a default.

A field ``max_wait_s`` is the key ``MAX_WAIT_S`` of the dict and the environment variable
``PREDICT_WORKER_MAX_WAIT_S``; ``REDIS_URL`` and ``MODEL_REPOSITORY`` have no prefix there.
No other module reads Django's settings or the environment.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.signals import setting_changed

from .core.errors import InvalidConfig
from .core.rates import EXAMPLE, NONE, Rate, parse_rates
from .webhooks.guard import Guard
from .webhooks.schedule import RETRIES, parse_retries

SETTING = "PREDICT_WORKER"
UNPREFIXED = frozenset({"REDIS_URL", "MODEL_REPOSITORY"})


@dataclass(frozen=True, slots=True)
class Config:
    """Durations in seconds unless the name says ``_ms``; sizes in bytes."""

    redis_url: str = "redis://127.0.0.1:6379/0"
    model_repository: Path = Path("models")  # where unset: ``models`` beside manage.py
    key_prefix: str = "pw"
    buckets: int = 1  # how many cluster slots the jobs spread over
    max_wait_s: float = 60.0  # the longest that a request may wait for its result
    # Per web process; for servers where each holds a thread. proj.asgi allows more.
    max_waiters: int = 64  # requests that wait at once
    max_streams: int = 8  # of events
    result_ttl_s: int = 3600
    delivered_ttl_s: int = 300  # outputs that a waiter has received
    record_ttl_s: int = 86400
    max_body_bytes: int = 32 * 1024 * 1024
    queue_max_jobs: int = 100_000  # over all models
    max_strikes: int = 3
    lease_s: float = 30.0
    slice_ms: float = 1000.0  # how long a child serves one model before it gives way to others
    redis_timeout_s: float = 1.0
    max_tasks: int = 0  # batches that a child runs before another takes its place; 0: no bound
    max_memory_mb: int = 0  # of its own, likewise
    heartbeat_file: str = ""  # that a worker touches while it is well
    allow_python_models: bool = False
    allow_anonymous: bool = False
    public_url: str = ""  # of the web as receivers of webhooks reach it
    webhook_allow: Guard = field(default_factory=Guard)  # what is not on the public internet
    webhook_retries_s: tuple[float, ...] = parse_retries(RETRIES)  # pauses between attempts
    webhook_timeout_s: float = 20.0
    webhook_max_pending: int = 100_000  # deliveries that are not over
    rate_limit: tuple[Rate, ...] = ()  # of each owner, unless its API key says otherwise


@cache
def get_config() -> Config:
    """The settings as they are now; read once, and again after ``override_settings``.

    Raises InvalidConfig, which names the setting, for an unknown key or an impossible value.
    """
    given: Mapping[str, Any] = from_settings(SETTING, {})
    known = {each.name.upper(): each for each in fields(Config)}
    if unknown := sorted(given.keys() - known.keys()):
        raise InvalidConfig(f"{SETTING}[{unknown[0]!r}]: expected one of {', '.join(known)}")
    values: dict[str, Any] = {"model_repository": Path(from_settings("BASE_DIR", "")) / "models"}
    for key, known_field in known.items():
        variable = key if key in UNPREFIXED else f"{SETTING}_{key}"
        if key in given:
            values[known_field.name] = _converted(f"{SETTING}[{key!r}]", str(known_field.type), given[key])
        elif text := os.environ.get(variable):  # an empty variable is an unset one
            values[known_field.name] = _converted(variable, str(known_field.type), text)
    config = Config(**values)
    _check(config)
    return config


def from_settings(name: str, default: Any = None) -> Any:
    """What Django's settings of this project say."""
    return getattr(settings, name, default)


def _forget(*, setting: str, **_: object) -> None:
    if setting in (SETTING, "BASE_DIR"):
        get_config.cache_clear()


setting_changed.connect(_forget, dispatch_uid="predict_worker.conf")


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def _flag(value: Any) -> bool:
    word = str(value).lower()
    if word not in ("1", "true", "yes", "on", "0", "false", "no", "off"):
        raise ValueError(value)
    return word in ("1", "true", "yes", "on")


def _integer(value: Any) -> int:
    if isinstance(value, bool) or int(value) != float(value):
        raise ValueError(value)
    return int(value)


def _number(value: Any) -> float:
    if isinstance(value, bool):
        raise ValueError(value)
    return float(value)


def _rates(value: Any) -> tuple[Rate, ...]:
    return parse_rates(_text(value))


CONVERSIONS: Mapping[str, tuple[str, Callable[[Any], Any]]] = {
    "str": ("text", _text),
    "Path": ("a path", Path),
    "int": ("a whole number", _integer),
    "float": ("a number", _number),
    "bool": ("true or false", _flag),
    "Guard": ("host names, addresses and networks", lambda value: Guard.allowing(_text(value))),
    "tuple[float, ...]": ("numbers of seconds", lambda value: parse_retries(_text(value))),
    "tuple[Rate, ...]": (f"rates {EXAMPLE}, or {NONE}", _rates),
}


def _converted(source: str, type_name: str, value: Any) -> Any:
    expected, convert = CONVERSIONS[type_name]
    try:
        return convert(value)
    except (ValueError, TypeError, OverflowError):
        raise InvalidConfig(f"{source}: expected {expected}, got {value!r}") from None


# Field -> smallest and largest value that make sense.
BOUNDS: Mapping[str, tuple[float, float]] = {
    "buckets": (1, 16384),
    "max_wait_s": (0, 3600),
    "max_waiters": (0, 100_000),
    "max_streams": (0, 100_000),
    "webhook_timeout_s": (1, 30),
    "webhook_max_pending": (0, 10**9),
    "result_ttl_s": (1, 10**9),
    "delivered_ttl_s": (1, 10**9),
    "record_ttl_s": (1, 10**9),
    "max_body_bytes": (1024, 512 * 1024 * 1024),  # a Redis string holds 512 MiB at most
    "queue_max_jobs": (1, 10**9),
    "max_strikes": (1, 1000),
    "lease_s": (1, 3600),
    "slice_ms": (1, 3_600_000),
    "max_tasks": (0, 10**9),
    "max_memory_mb": (0, 10**9),
    "redis_timeout_s": (0.2, 60),  # a child that has run out of work waits for Redis half as long
}


def _check(config: Config) -> None:
    for name, (low, high) in BOUNDS.items():
        value = getattr(config, name)
        if not low <= value <= high:
            raise InvalidConfig(f"{name.upper()}: expected {low:g} to {high:g}, got {value!r}")
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,32}", config.key_prefix):
        raise InvalidConfig(f"KEY_PREFIX: expected 1 to 32 of A-Z a-z 0-9 _ . -, got {config.key_prefix!r}")
    if not config.redis_url.startswith(("redis://", "rediss://", "unix://")):
        # What was given may hold a password: it is not shown.
        raise InvalidConfig("REDIS_URL: expected redis://, rediss:// or unix://")
    if config.public_url and not re.fullmatch(r"https?://[\x21-\x7e]{1,200}", config.public_url):
        raise InvalidConfig(f"PUBLIC_URL: expected http://… or https://…, got {config.public_url!r}")
    if config.record_ttl_s < config.result_ttl_s:
        raise InvalidConfig(f"RECORD_TTL_S: expected RESULT_TTL_S or more, got {config.record_ttl_s}")
