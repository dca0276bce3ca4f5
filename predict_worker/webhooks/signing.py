"""Secrets and signatures as Standard Webhooks has them."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Iterable

from ..core.errors import InvalidRequest

_PREFIX = "whsec_"
_BYTES = (24, 64)


def new_secret() -> str:
    return _PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def checked_secret(text: str) -> str:
    """One that a caller brings along. Raises InvalidRequest, which does not show it."""
    expected = f"{_PREFIX} and {_BYTES[0]} to {_BYTES[1]} bytes in base64"
    try:
        key = base64.b64decode(text.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise InvalidRequest("secret", expected, "no base64") from None
    if not text.startswith(_PREFIX) or not _BYTES[0] <= len(key) <= _BYTES[1]:
        raise InvalidRequest("secret", expected, f"{len(key)} bytes")
    return text


def headers(delivery_id: str, timestamp_s: int, body: bytes, signing: Iterable[str]) -> dict[str, str]:
    """One signature for each secret, so that receivers may change over at any time."""
    signed = f"{delivery_id}.{timestamp_s}.".encode() + body
    signatures = [
        "v1," + base64.b64encode(hmac.new(_key(secret), signed, hashlib.sha256).digest()).decode()
        for secret in signing
    ]
    return {
        "webhook-id": delivery_id,
        "webhook-timestamp": str(timestamp_s),
        "webhook-signature": " ".join(signatures),
    }


def _key(secret: str) -> bytes:
    return base64.b64decode(secret.removeprefix(_PREFIX))
