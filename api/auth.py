"""Who asks: with ``ALLOW_ANONYMOUS`` nobody in particular, else a user of the project."""

from __future__ import annotations

from typing import Any

from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.settings import api_settings

from predict_worker.conf import get_config


class ConfiguredAuthentication(BaseAuthentication):
    """The project's ``DEFAULT_AUTHENTICATION_CLASSES``, not consulted where anonymous use is allowed."""

    def authenticate(self, request: Request) -> tuple[Any, Any] | None:
        if get_config().allow_anonymous:
            return None
        for authentication in _configured():
            found = authentication.authenticate(request)
            if found is not None:
                return found
        return None

    def authenticate_header(self, request: Request) -> str:
        """Never empty: a 401 names a way to authenticate (RFC 9110, 15.5.2)."""
        challenges = (authentication.authenticate_header(request) for authentication in _configured())
        return next((challenge for challenge in challenges if challenge), 'Session realm="api"')


class OwnersOnly(BasePermission):
    """Every request has an owner: a user, or nobody where anonymous use is allowed."""

    def has_permission(self, request: Request, view: Any) -> bool:
        return get_config().allow_anonymous or bool(request.user and request.user.is_authenticated)


class StaffOnly(BasePermission):
    """Operators: Django's staff, or anybody where anonymous use is allowed."""

    message = "for staff alone"

    def has_permission(self, request: Request, view: Any) -> bool:
        return get_config().allow_anonymous or bool(getattr(request.user, "is_staff", False))


def owner_of(request: Request) -> str:
    """Whose jobs these are: ``user:<pk>``, or the empty string."""
    return "" if get_config().allow_anonymous else f"user:{request.user.pk}"


def scope_of(request: Request) -> str | None:
    """Whose jobs are listed and redriven: the user's own; None, everybody's, for staff."""
    return None if getattr(request.user, "is_staff", False) else owner_of(request)


def _configured() -> list[BaseAuthentication]:
    classes: Any = api_settings.DEFAULT_AUTHENTICATION_CLASSES
    return [authentication() for authentication in classes]
