"""How keys come and go."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.db import models
from django.db.models import Q
from django.utils import timezone

if TYPE_CHECKING:
    from .models import ApiKey


class ApiKeyManager(models.Manager["ApiKey"]):
    def issue(self, **fields: Any) -> tuple[ApiKey, str]:
        """A new key and its text, which is nowhere else. Raises ValidationError."""
        key = self.model(**fields)
        text = key.make()
        key.full_clean()
        key.save(force_insert=True)
        return key, text

    def revoke(self, *key_ids: str) -> int:
        """Takes effect in every process within :data:`.known.TTL_S`; returns how many were valid before."""
        return self.filter(id__in=key_ids, revoked_at=None).update(revoked_at=timezone.now())

    def by_digest(self, digest: str) -> ApiKey | None:
        """One that is not revoked, and whose user, if any, is active."""
        found = self.select_related("user").filter(digest=digest, revoked_at=None).first()
        return None if found is None or (found.user and not found.user.is_active) else found

    def note_use(self, key_id: str, at: datetime, before: datetime) -> None:
        """It was used ``at`` that moment, unless another process has said so since ``before``."""
        seldom = Q(last_used_at=None) | Q(last_used_at__lt=before)
        self.filter(seldom, id=key_id).update(last_used_at=at)
