"""A key's text, ``pw_<id>_<secret>``: the id may be shown, the secret is random and nowhere stored."""

from __future__ import annotations

import re
import secrets
from hashlib import sha256

PREFIX = "pw_"
SECRET_BYTES = 32
ID_LENGTH = 12

_FORM = re.compile(rf"{PREFIX}[0-9a-f]{{{ID_LENGTH}}}_[0-9a-f]{{{2 * SECRET_BYTES}}}\Z")


def new_key() -> tuple[str, str]:
    """An id and the whole text."""
    key_id = secrets.token_hex(ID_LENGTH // 2)
    return key_id, f"{PREFIX}{key_id}_{secrets.token_hex(SECRET_BYTES)}"


def digest(text: str) -> str | None:
    """SHA-256 of a key, in hexadecimal digits; None of what can be none.

    A password's slow hash would guard against guesses, of which 256 random bits need no guarding.
    """
    return sha256(text.encode()).hexdigest() if _FORM.match(text) else None
