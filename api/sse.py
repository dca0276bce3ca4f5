"""Server-sent events (WHATWG HTML, 9.2) of one job that is watched.

An event's id says how far the job had come, not where it stands in a log: any process can go on from any.
"""

from __future__ import annotations

import asyncio
import logging
import re
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass

from asgiref.sync import SyncToAsync, sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.db import connections
from django.http import HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from rest_framework.request import Request

from predict_worker.core.errors import InvalidRequest, PredictionError
from predict_worker.core.job import Job
from predict_worker.watching import Watch

log = logging.getLogger(__name__)

ASYNC_BODY = "api.async_body"
"""In a WSGI environment: who serves it takes bodies that are iterated asynchronously, too."""

HEARTBEAT_S = 10.0
"""So often a stream without events says something: it shows whether anybody still listens."""

Id = tuple[int, ...]
_ID = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9}){2,3}\Z")
_BEAT = b":\n\n"
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # the latter for nginx


@dataclass(frozen=True, slots=True)
class Event:
    """``data`` is one line. Of two events of a job the later one has the greater id."""

    id: Id
    name: str
    data: bytes

    def encoded(self) -> bytes:
        head = f"id: {'.'.join(map(str, self.id))}\nevent: {self.name}\ndata: "
        return head.encode() + self.data + b"\n\n"


Tell = Callable[[Job, Id], Sequence[Event]]
"""What is to be told of a job, oldest first, to somebody who has heard the event of that id (none: ``()``).
What has been heard already may be among it. It may ask the store, and raise PredictionError."""


def last_event_id(request: Request) -> Id:
    """``Last-Event-ID``, ``()`` where there is none. Raises InvalidRequest."""
    given = request.META.get("HTTP_LAST_EVENT_ID", "")
    if given and not _ID.match(given):
        raise InvalidRequest("Last-Event-ID", "the id of an event of this stream", repr(given[:100]))
    return tuple(map(int, given.split("."))) if given else ()


def answer(request: Request, watch: Watch, tell: Tell, last: Id) -> HttpResponseBase:
    """The stream; it closes the watch when it ends. 204, after which no browser comes back, where all is
    told; under ASGI it holds no thread."""
    stream, head = _Stream(watch, tell, last), request.method == "HEAD"
    try:
        needless = head or stream.all_told()
    except BaseException:
        watch.close()
        raise
    if needless:
        watch.close()
        status = 200 if head else 204
        return HttpResponse(status=status, content_type="text/event-stream", headers=_HEADERS)
    under_asgi = ASYNC_BODY in request.META or isinstance(request._request, ASGIRequest)
    body = _AsyncBody(stream) if under_asgi else _Body(stream)
    return StreamingHttpResponse(body, content_type="text/event-stream", headers=_HEADERS)


class _Stream:
    """What one listener has been told."""

    def __init__(self, watch: Watch, tell: Tell, last: Id) -> None:
        self.watch, self._tell, self._last = watch, tell, last
        self.over = False

    def all_told(self) -> bool:
        job = self.watch.job
        return job is not None and job.state.final and not self._untold(job)

    def next(self) -> bytes:
        """The events since the last call; none where nothing has changed that is told."""
        job = self.watch.job
        if job is None:
            self.over = True  # deleted: whoever comes back gets a 404
            return b""
        try:
            events = self._untold(job)
        except PredictionError as failure:
            log.warning("events of job %s were not told: %s", job.id, failure)
            self.over = True  # whoever comes back goes on from here
            return b""
        if events:
            self._last = events[-1].id
        self.over = job.state.final
        return b"".join(event.encoded() for event in events)

    def _untold(self, job: Job) -> list[Event]:
        events = self._tell(job, self._last)
        newer = [event for event in events if event.id > self._last]
        if newer or not job.state.final or events[-1].id == self._last:
            return newer
        return list(events[-1:])  # the store has lost the last second of what was heard


class _Body:
    """Under WSGI. ``close`` is called by the server, also of a body that nobody has begun to read."""

    def __init__(self, stream: _Stream) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        stream, changed = self._stream, threading.Event()
        stream.watch.on_change(changed.set)
        yield stream.next() or _BEAT
        while not stream.over:
            if not changed.wait(HEARTBEAT_S):
                yield _BEAT
                continue
            changed.clear()
            if part := stream.next():
                yield part

    def close(self) -> None:
        self._stream.watch.close()


class _AsyncBody:
    """Under ASGI."""

    def __init__(self, stream: _Stream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        await _let_thread_go()
        stream, changed, loop = self._stream, asyncio.Event(), asyncio.get_running_loop()
        stream.watch.on_change(lambda: loop.call_soon_threadsafe(changed.set))
        following = sync_to_async(stream.next, thread_sensitive=False)
        yield await following() or _BEAT
        while not stream.over:
            try:
                await asyncio.wait_for(changed.wait(), HEARTBEAT_S)
            except TimeoutError:
                yield _BEAT
                continue
            changed.clear()
            if part := await following():
                yield part


async def _let_thread_go() -> None:
    """Under ASGI Django keeps a thread for each request until its end, where a stream's would idle for long.
    Whoever needs one later is given another."""
    context = SyncToAsync.thread_sensitive_context.get(None)
    executor = SyncToAsync.context_to_thread_executor.get(context) if context else None
    if context and executor:
        await sync_to_async(connections.close_all)()  # they are that thread's
        del SyncToAsync.context_to_thread_executor[context]
        executor.shutdown(wait=False)
