"""One thread that goes through many requests: while one waits for its result, it is another's turn.

Each request is a greenlet, so its code is as plain as if it had the thread for itself.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from greenlet import getcurrent, greenlet

from predict_worker.core.inbox import becomes

log = logging.getLogger(__name__)

SWEEP_S = 0.05
"""How late a wait may end whose time is up."""
HELD_UP_S = 0.02
"""A request that goes on for so long without a wait holds up the others."""

BESIDE = 64
"""So many calls of the store may wait for their answers at once."""
ERRANDS = 4
"""One takes submits along, others may still be publishing wake-ups to a broker that takes its time."""

Answer = TypeVar("Answer")
Step = Callable[[], object]


class Hub:
    """What blocks runs in threads beside it. Errands have some of their own: they concern everybody, and must
    not queue behind what does not answer."""

    def __init__(self) -> None:
        self._beside = ThreadPoolExecutor(BESIDE, "hub-beside")
        self._steps: SimpleQueue[Step] = SimpleQueue()
        self._errands: SimpleQueue[Step] = SimpleQueue()
        self._sleeping: set[HubInbox] = set()
        self._since = math.inf
        for turn, name in ((self._go_on, "hub"), *[(self._run_errands, "hub-errands")] * ERRANDS):
            threading.Thread(target=turn, name=name, daemon=True).start()

    def run(self, request: Callable[[], None]) -> None:
        """Begin with it as soon as it is its turn. From any thread."""
        self._steps.put(lambda: greenlet(request).switch())  # it belongs to the thread that makes it

    @property
    def held_up(self) -> bool:
        """Whether a request keeps all others waiting."""
        return time.monotonic() - self._since > HELD_UP_S

    def inbox(self) -> HubInbox:
        return HubInbox(self)

    def apart(self, run: Callable[[], Answer]) -> Answer:
        inbox = self.inbox()
        self._beside.submit(_tell, run, inbox)
        answer, failure = inbox.get()
        try:
            if failure is not None:
                raise failure
        finally:
            del failure  # it holds this frame
        return answer  # type: ignore[no-any-return]

    def step(self, step: Step) -> None:
        """Have this done by the hub's thread."""
        self._steps.put(step)

    def errand(self, errand: Step) -> None:
        self._errands.put(errand)

    def sleep(self, inbox: HubInbox) -> None:
        """Other requests' turn, until the inbox is woken."""
        self._sleeping.add(inbox)
        self._loop.switch()
        self._sleeping.discard(inbox)

    def _go_on(self) -> None:
        becomes(self)
        self._loop = getcurrent()
        sweep_at = 0.0
        while True:
            try:
                step = self._steps.get(timeout=SWEEP_S if self._sleeping else None)
            except Empty:
                step = None
            self._since = now = time.monotonic()
            if step is not None:
                _do(step)
            if now >= sweep_at:
                for inbox in [each for each in self._sleeping if each.until <= now]:
                    _do(inbox.wake)
                sweep_at = now + SWEEP_S
            self._since = math.inf
            del step  # it may hold a whole request

    def _run_errands(self) -> None:
        while True:
            _do(self._errands.get())


class HubInbox:
    """Of one request of a hub."""

    __slots__ = ("_hub", "_messages", "_sleeper", "until")
    woken_singly = False

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._messages: deque[Any] = deque()
        self._sleeper: greenlet | None = None
        self.until = math.inf

    def put(self, message: Any) -> None:
        self._hub.step(partial(self._arrived, message))

    def get(self, *, timeout: float | None = None) -> Any:
        if not self._messages:
            self.until = math.inf if timeout is None else time.monotonic() + timeout
            self._sleeper = getcurrent()
            self._hub.sleep(self)
            if not self._messages:
                raise Empty
        return self._messages.popleft()

    def lead(self, errand: Step) -> None:
        self._hub.errand(errand)

    def _arrived(self, message: Any) -> None:
        self._messages.append(message)
        self.wake()

    def wake(self) -> None:
        sleeper, self._sleeper = self._sleeper, None
        if sleeper is not None:
            sleeper.switch()


def _tell(run: Callable[[], Any], inbox: HubInbox) -> None:
    try:
        told = run(), None
    except BaseException as failure:
        inbox.put((None, failure))
    else:
        inbox.put(told)


def _do(step: Step) -> None:
    try:
        step()
    except Exception:
        log.exception("a step of a request failed")
