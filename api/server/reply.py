"""Sending what a WSGI application has answered."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, Protocol

from .environ import Environ, Message, Receive, Send

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Reply:
    """``body``: bytes, or for a stream what is iterated, and closed if it can be."""

    status: int
    headers: Iterable[tuple[str, str]]
    body: Any


FAILED = Reply(500, (), b"")


class Wsgi(Protocol):
    def __call__(self, variables: Environ, start_response: Callable[..., Any], /) -> Iterable[bytes]: ...


def reply_of(wsgi: Wsgi, variables: Environ) -> Reply:
    head: list[Any] = []
    body: Any = wsgi(variables, lambda *given: head.extend(given))
    status = int(head[0][:3])
    if getattr(body, "streaming", True):
        return Reply(status, head[1], body)
    try:
        return Reply(status, head[1], body.content)
    finally:
        body.close()


async def send_reply(reply: Reply, receive: Receive, send: Send, pool: Executor) -> None:
    await send(
        {
            "type": "http.response.start",
            "status": reply.status,
            "headers": [(n.lower().encode("latin-1"), v.encode("latin-1")) for n, v in reply.headers],
        }
    )
    if isinstance(reply.body, bytes):
        await send({"type": "http.response.body", "body": reply.body})
    else:
        await _send_stream(reply.body, receive, send, pool)


async def _send_stream(body: Any, receive: Receive, send: Send, pool: Executor) -> None:
    """Until its end, or until the caller leaves: that is heard alone, what is sent then is thrown away."""
    loop, left = asyncio.get_running_loop(), threading.Event()
    sending: asyncio.Future[None]
    is_async = getattr(body, "is_async", False)
    if is_async:
        sending = asyncio.ensure_future(_send_parts(body, send, pool))
    else:
        sending = loop.run_in_executor(pool, _send_from_thread, body, send, loop, left)
    listening = asyncio.ensure_future(_caller_leaves(receive))
    try:
        await asyncio.wait((sending, listening), return_when=asyncio.FIRST_COMPLETED)
        if sending.done():
            sending.result()
            await send(_part(b"", last=True))
    finally:
        left.set()
        listening.cancel()
        if is_async:  # a thread hears of it itself, and closes the body also if it has yet to begin
            sending.cancel()


async def _send_parts(body: Any, send: Send, pool: Executor) -> None:
    try:
        async for part in body:
            await send(_part(part))
    finally:
        pool.submit(body.close)  # Django's signals that go with it may block


def _send_from_thread(body: Any, send: Send, loop: asyncio.AbstractEventLoop, left: threading.Event) -> None:
    async def sent(part: bytes) -> None:
        await send(_part(part))

    try:
        for part in body:
            if left.is_set():
                break
            asyncio.run_coroutine_threadsafe(sent(part), loop).result()
    finally:
        if hasattr(body, "close"):
            body.close()


async def _caller_leaves(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _part(body: bytes, last: bool = False) -> Message:
    return {"type": "http.response.body", "body": body, "more_body": not last}
