"""The keys that this process has met: looked up once in a few seconds, not with each request."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial

from predict_worker.core.inbox import apart
from predict_worker.core.rates import Rate

from .scopes import Scope

TTL_S = 5.0
"""How long a process believes what it has read: a key that is revoked is refused after this at the latest."""

MOST = 10_000


@dataclass(frozen=True, slots=True)
class Key:
    """Who asks with an API key: ``request.user`` and ``request.auth`` of Django REST framework.

    ``models``: patterns, none for all. ``rates`` None: the setting's. ``expires_at``: Unix seconds.
    """

    id: str
    owner: str
    scopes: frozenset[Scope]
    models: tuple[str, ...] = ()
    rates: tuple[Rate, ...] | None = None
    expires_at: float | None = None
    pk = None
    is_active = is_authenticated = True
    is_anonymous = is_staff = is_superuser = False

    def allows(self, model: str) -> bool:
        return not self.models or any(fnmatchcase(model, pattern) for pattern in self.models)


class KnownKeys:
    """Keys by their SHA-256, as ``find`` tells, for ``TTL_S`` each; what is unknown is remembered, too."""

    def __init__(
        self, find: Callable[[str], Key | None], clock: Callable[[], float] = time.monotonic, most: int = MOST
    ) -> None:
        self._find, self._clock, self._most = find, clock, most
        self._held: dict[str, tuple[float, Key | None]] = {}
        self._finding = threading.Lock()
        os.register_at_fork(after_in_child=self._unlock)

    def get(self, digest: str) -> Key | None:
        held = self._held.get(digest)
        if held is None or held[0] <= self._clock():
            held = apart(partial(self._refreshed, digest))
        return held[1]

    def forget(self) -> None:
        self._held.clear()

    def _refreshed(self, digest: str) -> tuple[float, Key | None]:
        with self._finding:  # a crowd that finds an entry lapsed asks once
            held = self._held.get(digest)
            if held is None or held[0] <= self._clock():
                until = self._clock() + TTL_S  # counted from before the question
                held = until, self._find(digest)
                if len(self._held) >= self._most:
                    self._make_room()
                self._held[digest] = held
            return held

    def _make_room(self) -> None:
        """Guesses go first: they must not drive out the keys that exist."""
        now = self._clock()
        kept = {digest: held for digest, held in self._held.items() if held[1] and held[0] > now}
        self._held = kept if len(kept) < self._most else {}

    def _unlock(self) -> None:
        self._finding = threading.Lock()
