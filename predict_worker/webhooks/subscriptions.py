"""Who is told of the jobs that a process takes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from ..core.errors import InvalidRequest, StoreUnavailable
from ..core.hooks import JOBS, Endpoint, HookStore
from ..core.inbox import apart
from ..core.job import Hook
from .endpoints import events
from .guard import Guard
from .url import parse_url

MAX_AGE_S = 2.0
SHARED_S = 0.2
"""What the store has just said counts for those, too, who would have asked it again."""


class Subscriptions:
    """Knows the registered endpoints by a copy that is at most two seconds old, so that jobs without webhooks
    ask the store for nothing. Safe for threads."""

    def __init__(self, store: HookStore, guard: Guard, clock: Callable[[], float] = time.monotonic) -> None:
        self._store, self._guard, self._clock = store, guard, clock
        self._read_at = self._failed_at = float("-inf")
        self._failure = ""
        self._by_owner: dict[str, list[Endpoint]] = {}
        self._reading = threading.Lock()

    def hooks(self, owner: str, url: str | None, wanted: Sequence[str] | None) -> tuple[Hook, ...]:
        """Those of a job that names this URL, or none.

        Raises InvalidRequest, StoreUnavailable.
        """
        hooks = tuple(
            _hook(owner, endpoint.id, endpoint.url, "", endpoint.events)
            for endpoint in self._known().get(owner, ())
            if not endpoint.disabled
        )
        if url is None:
            if wanted is not None:
                raise InvalidRequest("webhook_events", "webhook, too", "webhook_events alone")
            return hooks
        self._guard.check(parse_url(url, "webhook").host, "webhook")
        return (*hooks, _hook(owner, JOBS, url, url, events(wanted, "webhook_events")))

    def _known(self) -> dict[str, list[Endpoint]]:
        if self._clock() - self._read_at <= MAX_AGE_S:
            return self._by_owner
        return apart(self._renewed)

    def _renewed(self) -> dict[str, list[Endpoint]]:
        """One asks for all that come meanwhile, and fails for them: none that is registered may be missed."""
        now = self._clock()
        with self._reading:
            if max(self._read_at, self._failed_at) < now - SHARED_S:
                try:
                    self._by_owner, self._read_at = self._read(), now
                except StoreUnavailable as failure:
                    self._failure, self._failed_at = failure.detail, self._clock()
            if self._failed_at > self._read_at:
                raise StoreUnavailable(self._failure)
            return self._by_owner

    def _read(self) -> dict[str, list[Endpoint]]:
        by_owner: dict[str, list[Endpoint]] = {}
        for endpoint in self._store.endpoints():
            by_owner.setdefault(endpoint.owner, []).append(endpoint)
        return by_owner


def _hook(owner: str, endpoint_id: str, url: str, named: str, wanted: tuple[str, ...]) -> Hook:
    return Hook(endpoint_id, named, f"{owner} {parse_url(url).authority}", wanted)
