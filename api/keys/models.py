"""The table of API keys."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any, ClassVar

from django.core.exceptions import ValidationError
from django.db.models import CASCADE, CharField, DateTimeField, ForeignKey, Model
from django.utils import timezone

from predict_worker.conf import from_settings
from predict_worker.core.rates import parse_rates

from .manager import ApiKeyManager
from .scopes import parse_scopes
from .text import ID_LENGTH, PREFIX, digest, new_key

_PATTERN = re.compile(r"[A-Za-z0-9_.*?-]{1,64}\Z")


class ApiKey(Model):
    """Who may ask with it, what and how often. Of the key itself only the SHA-256 is kept."""

    id: CharField[str, str] = CharField(primary_key=True, max_length=ID_LENGTH, editable=False)
    digest: CharField[str, str] = CharField(max_length=64, unique=True, editable=False)
    name: CharField[str, str] = CharField(max_length=100)  # what, or who, asks with it
    # Its jobs are this user's; those of a key without a user are its own.
    user: ForeignKey[Any, Any] = ForeignKey(
        from_settings("AUTH_USER_MODEL"), CASCADE, null=True, blank=True, related_name="+"
    )
    user_id: Any  # as Django calls the user's primary key
    scopes: CharField[str, str] = CharField(max_length=100, default="predict read")
    models: CharField[str, str] = CharField(
        max_length=1000, blank=True
    )  # patterns, separated by spaces; all where empty
    rate_limit: CharField[str, str] = CharField(
        max_length=200, blank=True
    )  # the setting RATE_LIMIT where empty
    created_at: DateTimeField[datetime, datetime] = DateTimeField(default=timezone.now, editable=False)
    expires_at: DateTimeField[datetime | None, datetime | None] = DateTimeField(null=True, blank=True)
    revoked_at: DateTimeField[datetime | None, datetime | None] = DateTimeField(
        null=True, blank=True, editable=False
    )
    last_used_at: DateTimeField[datetime | None, datetime | None] = DateTimeField(
        null=True, blank=True, editable=False
    )

    objects: ClassVar[ApiKeyManager] = ApiKeyManager()

    class Meta:
        verbose_name = "API key"
        ordering = ("-created_at",)

    def __str__(self) -> str:
        return f"{PREFIX}{self.id} ({self.name})"

    def clean(self) -> None:
        for field, check in (
            ("scopes", parse_scopes),
            ("models", _check_patterns),
            ("rate_limit", parse_rates),
        ):
            try:
                check(getattr(self, field))
            except ValueError as error:
                raise ValidationError({field: str(error)}) from None

    def make(self) -> str:
        """Give it an id and a secret; returns the key, which nobody can show again."""
        self.id, text = new_key()
        self.digest = digest(text) or ""
        return text

    @property
    def owner(self) -> str:
        """Whose its jobs are."""
        return f"user:{self.user_id}" if self.user_id is not None else f"key:{self.id}"

    @property
    def state(self) -> str:
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at and self.expires_at <= timezone.now() else "valid"


def _check_patterns(text: str) -> None:
    for word in text.split():
        if not _PATTERN.match(word):
            raise ValueError(f"expected names of models, or patterns such as digits-*, got {word[:100]!r}")
