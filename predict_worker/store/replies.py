"""One thread that listens on a reply channel in Redis."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any

import redis

from ..core.ports import Finished
from . import records

log = logging.getLogger(__name__)

_RECONNECT_S = 0.2


class RedisSubscription:
    """Delivers the messages of a channel until closed; subscribes again when the connection breaks.

    What was sent meanwhile is lost: whoever waits rechecks the store.
    """

    def __init__(
        self, client: redis.Redis, channel: str, deliver: Callable[[Sequence[Finished]], None]
    ) -> None:
        self._client: Any = client
        self._channel, self._deliver = channel, deliver
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
        while not self._closed.is_set():
            message = pubsub.get_message(timeout=0.5)
            if message is None or message["type"] != "message":
                continue
            try:
                self._deliver(list(records.frames(message["data"])))
            except Exception:
                log.exception("a reply could not be delivered")
