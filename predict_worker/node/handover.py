"""Wake-ups that the broker does not take."""

from __future__ import annotations

from collections.abc import Callable, Collection
from queue import Empty, SimpleQueue

from ..core.errors import StoreUnavailable
from ..core.ports import Wakeups


class Handover:
    """Wake-ups by way of the broker. Those that it refuses are kept for the children of this very node,
    whom its parent reaches without: a full Redis takes no message, and is emptied by its workers alone."""

    def __init__(self, wakeups: Wakeups, served: Callable[[], Collection[str]]) -> None:
        self._wakeups, self._served = wakeups, served
        self._refused: SimpleQueue[tuple[str, str]] = SimpleQueue()

    def send(self, model: str, token: str) -> None:
        """See :meth:`Wakeups.send`; from the sweeper's thread."""
        try:
            self._wakeups.send(model, token)
        except StoreUnavailable:
            if model not in self._served():
                raise
            self._refused.put((model, token))

    def send_hooks(self, token: str) -> None:
        """See :meth:`Wakeups.send_hooks`."""
        self._wakeups.send_hooks(token)

    def hand_over(self, serve: Callable[[str, str], object]) -> None:
        """Call ``serve`` with the model and the token of each refused since; from the event loop."""
        while True:
            try:
                model, token = self._refused.get_nowait()
            except Empty:
                return
            serve(model, token)
