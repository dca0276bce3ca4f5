"""What may be done with endpoints and their secrets."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from ..core.errors import EndpointNotFound, InvalidRequest
from ..core.hooks import EVENTS, JOBS, Endpoint, HookStore, Secret
from .guard import Guard
from .signing import checked_secret, new_secret
from .url import parse_url

MAX_OF_OWNER = 20
MAX_ENDPOINTS = 1000
"""Of all owners: every process that takes jobs knows them all."""

COMPLETED = "completed"
"""Every end of a job."""

OVERLAP_S = 86400.0
_MAX_OVERLAP_S = 30 * 86400
_MAX_SECRETS = 5


def events(given: Sequence[str] | None, field: str = "events") -> tuple[str, ...]:
    """The ends meant by names of them, or by ``completed``; None: all. Raises InvalidRequest."""
    named = [COMPLETED] if given is None else list(given)
    expected = f"a list of {', '.join((*EVENTS, COMPLETED))}"
    if not named:
        raise InvalidRequest(field, expected, "an empty list")
    for name in named:
        if name != COMPLETED and name not in EVENTS:
            raise InvalidRequest(field, expected, repr(name)[:100])
    return tuple(event for event in EVENTS if COMPLETED in named or event in named)


class Endpoints:
    """For every ``owner``: his own alone; None stands for an operator, who may deal with everybody's."""

    def __init__(self, store: HookStore, guard: Guard) -> None:
        self._store, self._guard = store, guard

    def all(self, owner: str | None) -> tuple[Endpoint, ...]:
        """Raises StoreUnavailable."""
        return tuple(e for e in self._store.endpoints() if owner in (None, e.owner))

    def find(self, endpoint_id: str, owner: str | None) -> Endpoint:
        """Raises EndpointNotFound, StoreUnavailable."""
        if owner is None:
            found = next((e for e in self._store.endpoints() if e.id == endpoint_id), None)
        else:
            found = self._store.endpoint(owner, endpoint_id)
        if found is None:
            raise EndpointNotFound(endpoint_id)
        return found

    def of_jobs(self, owner: str) -> Endpoint:
        """The one whose secrets sign what goes to URLs that the owner's jobs name; made when asked for."""

        def made(known: Endpoint | None) -> Endpoint:
            return known or Endpoint(JOBS, owner, "", EVENTS, (Secret(new_secret()),), _now())

        found = self._store.endpoint(owner, JOBS) or self._store.change_endpoint(owner, JOBS, made)
        if found is None:  # never: made() makes one
            raise EndpointNotFound(JOBS)
        return found

    def add(
        self, owner: str, url: str, wanted: Sequence[str] | None = None, secret: str | None = None
    ) -> Endpoint:
        """Raises InvalidRequest, StoreUnavailable."""
        self._guard.check(parse_url(url).host, "url")
        signing = Secret(new_secret() if secret is None else checked_secret(secret))
        endpoint = Endpoint(f"ep_{uuid.uuid4().hex}", owner, url, events(wanted), (signing,), _now())
        known = self._store.endpoints()
        if sum(e.owner == owner for e in known) >= MAX_OF_OWNER or len(known) >= MAX_ENDPOINTS:
            text = f"at most {MAX_OF_OWNER} endpoints of an owner and {MAX_ENDPOINTS} in all"
            raise InvalidRequest("url", text, "one more")
        self._store.change_endpoint(owner, endpoint.id, lambda _: endpoint)
        return endpoint

    def rotate(
        self, endpoint_id: str, owner: str | None, overlap_s: float = OVERLAP_S, secret: str | None = None
    ) -> Endpoint:
        """A new secret signs from now on, and those before it for ``overlap_s`` more.

        Raises InvalidRequest, EndpointNotFound, StoreUnavailable.
        """
        if not 0 <= overlap_s <= _MAX_OVERLAP_S:
            raise InvalidRequest("overlap_s", f"0 to {_MAX_OVERLAP_S}", repr(overlap_s))
        now = _now()
        until = now + timedelta(seconds=overlap_s)
        newest = Secret(new_secret() if secret is None else checked_secret(secret))

        def rotated(endpoint: Endpoint) -> Endpoint:
            before = [replace(s, until=min(s.until or until, until)) for s in endpoint.secrets]
            valid = [s for s in before if s.until and s.until > now]
            return replace(endpoint, secrets=(newest, *valid)[:_MAX_SECRETS])

        return self._change(endpoint_id, owner, rotated)

    def enable(self, endpoint_id: str, owner: str | None) -> Endpoint:
        """Raises EndpointNotFound, StoreUnavailable."""
        return self._change(endpoint_id, owner, lambda endpoint: replace(endpoint, disabled=""))

    def disable(self, endpoint: Endpoint, why: str) -> None:
        """Raises EndpointNotFound, StoreUnavailable."""
        self._change(endpoint.id, endpoint.owner, lambda known: replace(known, disabled=why))

    def remove(self, endpoint_id: str, owner: str | None) -> None:
        """Raises EndpointNotFound, StoreUnavailable."""
        endpoint = self.find(endpoint_id, owner)
        self._store.change_endpoint(endpoint.owner, endpoint_id, lambda _: None)

    def _change(
        self, endpoint_id: str, owner: str | None, change: Callable[[Endpoint], Endpoint]
    ) -> Endpoint:
        def changed(known: Endpoint | None) -> Endpoint | None:
            return None if known is None else change(known)

        of = self.find(endpoint_id, owner).owner
        found = self._store.change_endpoint(of, endpoint_id, changed)
        if found is None:
            raise EndpointNotFound(endpoint_id)
        return found


def signing(endpoint: Endpoint) -> tuple[str, ...]:
    """The secrets that sign now, the newest first."""
    now = _now()
    return tuple(s.text for s in endpoint.secrets if s.until is None or s.until > now)


def _now() -> datetime:
    return datetime.now(UTC)
