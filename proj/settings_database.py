"""``DATABASE_URL`` as Django spells it."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

from .local import BASE_DIR


def database(url: str) -> dict[str, Any]:
    """``sqlite:///relative``, ``sqlite:////absolute``, or ``postgresql://user:password@host:port/name?option=x``."""
    parts = urlsplit(url)
    name, options = unquote(parts.path[1:]), dict[str, Any](parse_qsl(parts.query))
    if parts.scheme == "sqlite":
        # Several processes write: wait for the lock at BEGIN instead of failing in the middle.
        waiting = {"timeout": 20, "transaction_mode": "IMMEDIATE", "init_command": "PRAGMA journal_mode=WAL"}
        return {"ENGINE": "django.db.backends.sqlite3", "NAME": BASE_DIR / name, "OPTIONS": waiting | options}
    if parts.scheme not in ("postgres", "postgresql"):
        raise ImproperlyConfigured(f"DATABASE_URL: expected sqlite or postgresql, got {parts.scheme!r}")
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": name,
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": unquote(parts.hostname or ""),
        "PORT": str(parts.port or ""),
        "CONN_MAX_AGE": 60,
        "OPTIONS": options,
    }
