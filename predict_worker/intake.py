"""One round trip to the store for all submits that arrive while another is on its way."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from queue import Empty
from typing import Any

from .core import inbox
from .core.job import NewJob
from .core.ports import Accepted, Finished, JobStore
from .waiting import Place

LARGE_BYTES = 64 * 1024
"""A job with more inputs than that goes by itself: it would hold up the others."""
_ANSWERED = object()


class _Turn:
    """One submit and its answer. ``told``: its thread wants to hear of it, not only of the job's end."""

    __slots__ = ("answer", "inbox", "new", "place", "told")

    def __init__(self, new: NewJob, place: Place | None) -> None:
        self.new, self.place = new, place
        self.inbox = inbox.inbox() if place is None else place.inbox
        self.told = place is None
        self.answer: Accepted | BaseException | None = None


class Intake:
    """The submits of one process. Safe for threads.

    A lone submit goes out at once, from its own thread. While it is on its way others gather, and one of
    their threads then takes them all along (or the thread that their inboxes have for errands). A thread that
    waits for its job's end sleeps until that is there: with dozens of them, handing the interpreter around
    costs more than the submits themselves.

    ``stored`` is called for each job that is, by the thread that took it along.
    """

    def __init__(self, store: JobStore, stored: Callable[[Accepted], None]) -> None:
        self._store, self._stored = store, stored
        self._lock = threading.Lock()
        self._gathered: list[_Turn] = []
        self._under_way = False

    def submit(self, new: NewJob) -> Accepted:
        """Raises what :meth:`JobStore.submit_many` gives for it."""
        return self._answer(self._enter(new, None))

    def submit_and_wait(self, new: NewJob, place: Place, wait_s: float) -> tuple[Accepted, Finished | None]:
        """Its end too, if it comes in time; not for the replay of an earlier job. ``place`` expects the job
        already. Raises what :meth:`JobStore.submit_many` gives for it."""
        until = time.monotonic() + wait_s
        turn = self._enter(new, place)
        finished = self._end(turn, until)
        if turn.answer is None:
            place.yield_turn()
        return self._answer(turn), finished

    def _enter(self, new: NewJob, place: Place | None) -> _Turn:
        turn = _Turn(new, place)
        if sum(len(part.payload) for part in new.ranges) > LARGE_BYTES:
            turn.inbox.lead(partial(self._go_alone, turn))
            return turn
        with self._lock:
            self._gathered.append(turn)
            leads, self._under_way = not self._under_way, True
        if leads:
            turn.inbox.lead(self._lead)
        return turn

    def _end(self, turn: _Turn, until: float) -> Finished | None:
        """None: time is up, or the answer says that there is nothing to wait for."""
        while (left_s := until - time.monotonic()) > 0:
            try:
                message = turn.inbox.get(timeout=left_s)
            except Empty:
                break
            if isinstance(message, Finished):
                return message
            if message is _ANSWERED:
                break
            message()
        return None

    def _answer(self, turn: _Turn) -> Accepted:
        """The store bounds how long this may take."""
        with self._lock:
            turn.told = True
        while turn.answer is None:
            message = turn.inbox.get()
            if callable(message):
                message()
        if isinstance(turn.answer, BaseException):
            raise turn.answer
        return turn.answer

    def _lead(self) -> None:
        """Take along all that have gathered; of those that gather meanwhile the first leads then."""
        with self._lock:
            turns, self._gathered = self._gathered, []
        answers, failure = self._send(turns)
        with self._lock:
            late: list[_Turn] = []
            if failure is not None:  # they have waited, and would wait for the same again
                late, self._gathered = self._gathered, []
            following = self._gathered[0] if self._gathered else None
            self._under_way = following is not None
        for turn in late:
            self._tell(turn, failure)
        if following is not None:
            following.inbox.lead(self._lead)
        self._note(answers)  # the next is on its way: a broker that takes its time holds up no submit

    def _go_alone(self, turn: _Turn) -> None:
        self._note(self._send([turn])[0])

    def _send(self, turns: Sequence[_Turn]) -> tuple[Sequence[Any], BaseException | None]:
        """Each turn has its answer then. Returns them, and what the whole round trip failed with."""
        failure: BaseException | None = None
        answers: Sequence[Any]
        try:
            answers = self._store.submit_many([turn.new for turn in turns])
        except BaseException as error:  # whatever it is: no thread waits for ever
            failure, answers = error, [error] * len(turns)
        for turn, answer in zip(turns, answers, strict=True):
            self._tell(turn, answer)
        return answers, failure

    def _note(self, answers: Sequence[Any]) -> None:
        for answer in answers:
            if isinstance(answer, Accepted):
                self._stored(answer)

    def _tell(self, turn: _Turn, answer: Any) -> None:
        stored = isinstance(answer, Accepted) and not answer.replayed
        with self._lock:
            turn.answer = answer
            told = turn.told or not stored
        if turn.place is not None and stored:
            turn.place.waiting = True
        if told:
            turn.inbox.put(_ANSWERED)
