"""Many requests on the event loop's thread: while one waits for its result, it is another's turn.

Each request is a greenlet, so its code is as plain as if it had a thread for itself.
"""

from __future__ import annotations

import logging
import threading
from asyncio import AbstractEventLoop, TimerHandle
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from greenlet import getcurrent, greenlet

from predict_worker.core.inbox import one_of

log = logging.getLogger(__name__)

BESIDE = 64
"""So many calls of the store may wait for their answers at once."""
IDLE = 64
"""So many greenlets are kept for requests to come."""
ERRANDS = 4
"""One takes submits along, others may still be publishing wake-ups to a broker that takes its time."""

Answer = TypeVar("Answer")
Step = Callable[[], object]


class Hub:
    """To be made and run by the loop's thread.

    What blocks runs in threads beside it. Errands have some of their own: they concern everybody, and must
    not queue behind what does not answer.
    """

    def __init__(self, loop: AbstractEventLoop) -> None:
        self.loop = loop
        self._between = getcurrent()
        self._idle: list[greenlet] = []
        self._context = Context()
        self._context.run(one_of, self)
        self._beside = ThreadPoolExecutor(BESIDE, "hub-beside")
        self._mail: deque[tuple[HubInbox, Any]] = deque()
        self._called = False
        self._errands: SimpleQueue[Step] = SimpleQueue()
        for _ in range(ERRANDS):
            threading.Thread(target=self._run_errands, name="hub-errands", daemon=True).start()

    def run(self, request: Step) -> None:
        """Until it waits, or ends. It has a context of its own."""
        if not self._idle:
            greenlet(self._serve, self._between).switch()
        self._idle.pop().switch(partial(self._context.copy().run, request))

    def _serve(self) -> None:
        """One request after another: for a new greenlet the kernel finds, clears and takes back memory."""
        while len(self._idle) < IDLE:
            self._idle.append(getcurrent())
            _do(self._between.switch())

    def sleep(self) -> None:
        """Other requests' turn, until this one's greenlet is switched to again."""
        self._between.switch()

    def inbox(self) -> HubInbox:
        return HubInbox(self)

    def post(self, inbox: HubInbox, message: Any) -> None:
        """From any thread. The loop is called once for all that comes meanwhile."""
        self._mail.append((inbox, message))
        if not self._called:
            self._called = True
            self.loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        self._called = False  # what comes from now on is for the next time: other callbacks have their turn
        for _ in range(len(self._mail)):
            inbox, message = self._mail.popleft()
            inbox.arrived(message)

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

    def errand(self, errand: Step) -> None:
        self._errands.put(errand)

    def _run_errands(self) -> None:
        while True:
            _do(self._errands.get())


class HubInbox:
    """Of one request of a hub."""

    __slots__ = ("_hub", "_messages", "_sleeper")
    woken_singly = False

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._messages: deque[Any] = deque()
        self._sleeper: greenlet | None = None

    def put(self, message: Any) -> None:
        self._hub.post(self, message)

    def get(self, *, timeout: float | None = None) -> Any:
        if not self._messages:
            timer: TimerHandle | None = None
            if timeout is not None:
                timer = self._hub.loop.call_later(timeout, self._wake)
            self._sleeper = getcurrent()
            self._hub.sleep()
            if timer is not None:
                timer.cancel()
            if not self._messages:
                raise Empty
        return self._messages.popleft()

    def lead(self, errand: Step) -> None:
        self._hub.errand(errand)

    def arrived(self, message: Any) -> None:
        self._messages.append(message)
        self._wake()

    def _wake(self) -> None:
        sleeper, self._sleeper = self._sleeper, None
        if sleeper is not None:
            _do(sleeper.switch)


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
