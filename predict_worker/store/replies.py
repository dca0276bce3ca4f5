"""One thread that listens on a reply channel in Redis."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import redis

from ..core.ports import Finished
from . import records

log = logging.getLogger(__name__)

_RECONNECT_S = 0.2
_SILENT_S = 10.0
"""After so long without a word Redis is asked for one, and after twice as long the connection is given
up: one whose other end has vanished is as silent as one on which nobody speaks."""


class RedisSubscription:
    """Delivers the messages of a channel until closed; subscribes again when the connection breaks.

    What was sent meanwhile is lost: whoever waits rechecks the store.
    """

    def __init__(
        self,
        client: redis.Redis,
        channel: str,
        deliver: Callable[[Sequence[Finished]], None],
        silent_s: float = _SILENT_S,
    ) -> None:
        self._client: Any = client
        self._channel, self._deliver, self._silent_s = channel, deliver, silent_s
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="replies", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closed.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        while not self._closed.is_set():
            try:
                with self._client.pubsub(ignore_subscribe_messages=True) as pubsub:
                    pubsub.subscribe(self._channel)
                    self._listen(pubsub)
            except redis.exceptions.RedisError as error:
                log.warning("reply channel lost, subscribing again: %s", error)
                self._closed.wait(_RECONNECT_S)

    def _listen(self, pubsub: redis.client.PubSub) -> None:
        heard_at, asked = time.monotonic(), False
        while not self._closed.is_set():
            message = pubsub.get_message(timeout=min(0.5, self._silent_s))
            silent_s = time.monotonic() - heard_at
            if message is not None:
                heard_at, asked = time.monotonic(), False
                if message["type"] == "message":
                    self._received(message["data"])
            elif silent_s > 2 * self._silent_s:
                raise redis.exceptions.ConnectionError("silent")
            elif silent_s > self._silent_s and not asked:
                pubsub.ping()
                asked = True

    def _received(self, message: bytes) -> None:
        try:
            self._deliver(list(records.frames(message)))
        except Exception:
            log.exception("a reply could not be delivered")
