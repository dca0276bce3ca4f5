"""What a caller may do."""

from __future__ import annotations

from enum import StrEnum


class Scope(StrEnum):
    PREDICT = "predict"  # submit; cancel, delete and redrive one's own
    READ = "read"  # jobs of one's own, models
    ADMIN = "admin"  # labels, queues, workers, dead letters of anybody; includes the others


EVERY = frozenset(Scope)
USERS = frozenset({Scope.PREDICT, Scope.READ})


def parse_scopes(text: str) -> frozenset[Scope]:
    """Of words. Raises ValueError, which says what was expected and what was got."""
    words = text.split()
    for word in words:
        if word not in EVERY:
            raise ValueError(f"expected {', '.join(Scope)}, got {word[:100]!r}")
    if not words:
        raise ValueError(f"expected at least one of {', '.join(Scope)}, got none")
    return EVERY if Scope.ADMIN in words else frozenset(map(Scope, words))
