"""Keys in Django's admin: made there too, and shown once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from .models import ApiKey

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[ApiKey]
else:
    ModelAdmin = admin.ModelAdmin


@admin.register(ApiKey)
class ApiKeyAdmin(ModelAdmin):
    list_display = ("id", "name", "owner", "scopes", "state", "expires_at", "last_used_at")
    search_fields = ("id", "name")
    readonly_fields = ("id", "created_at", "revoked_at", "last_used_at")
    raw_id_fields = ("user",)
    actions = ("revoke",)

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        text = "" if change else obj.make()
        super().save_model(request, obj, form, change)
        if text:
            self.message_user(request, f"Copy it now, it is not shown again: {text}", messages.WARNING)

    @admin.action(description="Revoke", permissions=["change"])
    def revoke(self, request: HttpRequest, keys: QuerySet[ApiKey]) -> None:
        revoked = ApiKey.objects.revoke(*keys.values_list("id", flat=True))
        self.message_user(request, f"{revoked} revoked")
