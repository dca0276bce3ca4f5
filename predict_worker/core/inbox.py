"""How a thread waits, and where it blocks: it may have one request at hand, or many that take turns."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from queue import SimpleQueue
from typing import Any, Protocol, TypeVar

Answer = TypeVar("Answer")


class Inbox(Protocol):
    """Where one request gets its messages."""

    @property
    def woken_singly(self) -> bool:
        """Each message wakes a thread, so that many at once only queue for the interpreter."""

    def put(self, message: Any) -> None:
        """From any thread."""

    def get(self, *, timeout: float | None = None) -> Any:
        """The oldest message, by the request itself. Raises queue.Empty."""

    def lead(self, errand: Callable[[], object]) -> None:
        """Have this done, for others too: it comes as a message to be called, or another thread does it."""


class Many(Protocol):
    """What goes through many requests in one thread: while one waits, it is another's turn."""

    def inbox(self) -> Inbox: ...

    def apart(self, run: Callable[[], Answer]) -> Answer:
        """Run it in another thread, while other requests go on here."""


class ThreadInbox(SimpleQueue):  # type: ignore[type-arg]
    """Of a request that has its thread for itself."""

    woken_singly = True

    def lead(self, errand: Callable[[], object]) -> None:
        self.put(errand)


_many: ContextVar[Many | None] = ContextVar("many", default=None)


def one_of(many: Many) -> None:
    """This request, whose context this is, shares its thread with others."""
    _many.set(many)


def inbox() -> Inbox:
    """A new one, for the request that this thread is at."""
    many = _many.get()
    if many is None:
        return ThreadInbox()
    return many.inbox()


def apart(run: Callable[[], Answer]) -> Answer:
    """Run what may block: here, or where it holds up no other request of this thread.

    Whoever holds a lock meanwhile takes it in ``run``: another request of the same thread would wait for it
    for ever.
    """
    many = _many.get()
    return run() if many is None else many.apart(run)
