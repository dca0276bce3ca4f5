"""Reply channels in memory: one message for each channel and transaction."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from queue import SimpleQueue

from ..core.ports import Finished
from .config import INLINE_BYTES, MESSAGE_BYTES

Deliver = Callable[[Sequence[Finished]], None]


class MemorySubscription:
    """Delivers from a thread of its own, as a network client would."""

    def __init__(self, deliver: Deliver) -> None:
        self._inbox: SimpleQueue[Sequence[Finished] | None] = SimpleQueue()
        self._deliver = deliver
        self._thread = threading.Thread(target=self._run, name="replies", daemon=True)
        self.closed = False
        self._thread.start()

    def put(self, message: Sequence[Finished]) -> None:
        self._inbox.put(message)

    def close(self) -> None:
        self.closed = True
        self._inbox.put(None)
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _run(self) -> None:
        while (message := self._inbox.get()) is not None:
            self._deliver(message)


class Replies:
    """Messages collected during a transaction and sent at its end. Its caller holds the lock."""

    def __init__(self) -> None:
        self._outbox: dict[str, list[Finished]] = {}
        self._subscriptions: dict[str, list[MemorySubscription]] = {}

    def subscribe(self, channel: str, deliver: Deliver) -> MemorySubscription:
        subscription = MemorySubscription(deliver)
        self._subscriptions.setdefault(channel, []).append(subscription)
        return subscription

    def add(self, channels: Iterable[str], finished: Finished) -> None:
        """A payload that is large, or makes the message too large, stays behind: the id alone goes."""
        size = len(finished.payload or b"")
        for channel in channels:
            box = self._outbox.setdefault(channel, [])
            total = size + sum(len(other.payload or b"") for other in box)
            fits = size <= INLINE_BYTES and total <= MESSAGE_BYTES
            box.append(finished if fits else Finished(finished.job_id))

    def flush(self) -> None:
        for channel, message in self._outbox.items():
            living = [s for s in self._subscriptions.get(channel, ()) if not s.closed]
            self._subscriptions[channel] = living
            for subscription in living:
                subscription.put(tuple(message))
        self._outbox.clear()
