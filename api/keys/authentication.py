"""``Authorization: Bearer pw_…``, or ``X-Api-Key: pw_…``."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db import Error, close_old_connections, connection
from django.utils import timezone
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from predict_worker.core.errors import StoreUnavailable
from predict_worker.core.rates import parse_rates

from . import text
from .known import Key, KnownKeys
from .models import ApiKey
from .scopes import parse_scopes

log = logging.getLogger(__name__)

USE_NOTED_EVERY = timedelta(minutes=1)


class KeyAuthentication(BaseAuthentication):
    """Knows nothing of tokens that have another form: they may be the project's own."""

    def authenticate(self, request: Request) -> tuple[Any, Any] | None:
        given = presented(request.META)
        if given is None:
            return None
        digest = text.digest(given)
        key = known.get(digest) if digest else None
        if key is None or (key.expires_at is not None and key.expires_at <= time.time()):
            raise AuthenticationFailed("the API key is unknown, revoked or expired")
        return key, key

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="api"'


def presented(meta: Mapping[str, Any]) -> str | None:
    """What has the form of a key."""
    scheme, _, token = meta.get("HTTP_AUTHORIZATION", "").partition(" ")
    for given in (token.strip() if scheme.lower() == "bearer" else "", meta.get("HTTP_X_API_KEY", "")):
        if given.startswith(text.PREFIX):
            return str(given)
    return None


def _find(digest: str) -> Key | None:
    try:
        row = ApiKey.objects.by_digest(digest)
    except (Error, ImproperlyConfigured) as error:  # no server, no table, no database at all
        log.error("API keys cannot be read: %s", error)
        raise StoreUnavailable("the database of API keys did not answer") from error
    finally:
        close_old_connections()  # the thread may be one that ends no request
    if row is None:
        return None
    now = timezone.now()
    if row.last_used_at is None or row.last_used_at <= now - USE_NOTED_EVERY:
        # In a thread of its own: no request waits for a write.
        threading.Thread(target=_note_use, args=(row.id,), name="key-use", daemon=True).start()
    return Key(
        row.id,
        row.owner,
        parse_scopes(row.scopes),
        tuple(row.models.split()),
        parse_rates(row.rate_limit) if row.rate_limit else None,
        row.expires_at.timestamp() if row.expires_at else None,
    )


def _note_use(key_id: str) -> None:
    try:
        now = timezone.now()
        ApiKey.objects.note_use(key_id, now, now - USE_NOTED_EVERY)
    except Error as error:
        log.warning("the use of key %s was not noted: %s", key_id, error)
    finally:
        connection.close()


known = KnownKeys(_find)
