"""Who asks, and what they may: with ``ALLOW_ANONYMOUS`` nobody in particular and everything, else the holder
of an API key or a user of the project."""

from __future__ import annotations

from typing import Any

from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request
from rest_framework.settings import api_settings

from predict_worker.conf import get_config

from .keys.authentication import KeyAuthentication
from .keys.known import Key
from .keys.scopes import EVERY, USERS, Scope

_KEYS = KeyAuthentication()


class ConfiguredAuthentication(BaseAuthentication):
    """API keys, then the project's ``DEFAULT_AUTHENTICATION_CLASSES``; none is consulted where anonymous use
    is allowed."""

    def authenticate(self, request: Request) -> tuple[Any, Any] | None:
        if get_config().allow_anonymous:
            return None
        for authentication in (_KEYS, *_configured()):
            found = authentication.authenticate(request)
            if found is not None:
                return found
        return None

    def authenticate_header(self, request: Request) -> str:
        """Never empty: a 401 names a way to authenticate (RFC 9110, 15.5.2)."""
        challenges = (each.authenticate_header(request) for each in (*_configured(), _KEYS))
        return next(challenge for challenge in challenges if challenge)


class OwnersOnly(BasePermission):
    """Every request has an owner (a user, a key, or nobody where anonymous use is allowed), whose scopes hold
    what it needs: the view's ``scope``, or else ``read`` for safe methods and ``predict`` for others.

    A key with grants sees no other model: a path that names one has it as ``name``.
    """

    def has_permission(self, request: Request, view: Any) -> bool:
        if get_config().allow_anonymous:
            return True
        if not (request.user and request.user.is_authenticated):
            return False
        return self._holds(request, self.needed(request, view)) and self._allowed(request, view)

    def needed(self, request: Request, view: Any) -> Scope:
        of_method = Scope.READ if request.method in SAFE_METHODS else Scope.PREDICT
        return getattr(view, "scope", None) or of_method

    def _holds(self, request: Request, needed: Scope) -> bool:
        self.message = f"needs the scope {needed}"
        return needed in scopes_of(request)

    def _allowed(self, request: Request, view: Any) -> bool:
        model = view.kwargs.get("name")
        self.message = f"this API key is not for model {model!r}"
        return model is None or may_use(request, model)


class StaffOnly(OwnersOnly):
    """Operators: Django's staff, keys with the scope ``admin``, or anybody where anonymous use is allowed."""

    def needed(self, request: Request, view: Any) -> Scope:
        return Scope.ADMIN


def scopes_of(request: Request) -> frozenset[Scope]:
    """What the caller may do: a key what it says, a user ``predict`` and ``read``, staff everything."""
    if get_config().allow_anonymous:
        return EVERY
    if isinstance(request.auth, Key):
        return request.auth.scopes
    return EVERY if getattr(request.user, "is_staff", False) else USERS


def may_use(request: Request, model: str) -> bool:
    """Whether the caller may ask for this model, and see it."""
    return not isinstance(request.auth, Key) or request.auth.allows(model)


def owner_of(request: Request) -> str:
    """Whose jobs these are: ``user:<pk>``, ``key:<id>`` for a key without a user, or the empty string."""
    if get_config().allow_anonymous:
        return ""
    return request.auth.owner if isinstance(request.auth, Key) else f"user:{request.user.pk}"


def scope_of(request: Request, model: str | None = None) -> str | None:
    """Whose jobs, of this model, are listed and redriven: one's own; None, everybody's, for operators."""
    if isinstance(request.auth, Key):
        key = request.auth
        everybody = Scope.ADMIN in key.scopes and (key.allows(model) if model else not key.models)
    else:
        everybody = getattr(request.user, "is_staff", False)
    return None if everybody else owner_of(request)


def _configured() -> list[BaseAuthentication]:
    classes: Any = api_settings.DEFAULT_AUTHENTICATION_CLASSES
    return [authentication() for authentication in classes]
