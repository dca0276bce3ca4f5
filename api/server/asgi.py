"""The ASGI application."""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any, Protocol

from ..sse import ASYNC_BODY
from .environ import Body, Environ, Receive, Scope, Send, environ_of, whole_body
from .hub import Hub
from .reply import FAILED, Reply, send_reply
from .waits import may_share

log = logging.getLogger(__name__)


class Wsgi(Protocol):
    def __call__(self, variables: Environ, start_response: Callable[..., Any], /) -> Iterable[bytes]: ...


class Server:
    """Django's WSGI handler for ASGI servers. Hub and threads begin with the first request of a process."""

    def __init__(self, wsgi: Wsgi, threads: int) -> None:
        self._wsgi = wsgi
        self._pool: Executor = ThreadPoolExecutor(threads, "request")
        self._hub: Hub | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise NotImplementedError(f"only HTTP is spoken here, not {scope['type']}")
        loop = asyncio.get_running_loop()
        variables = environ_of(scope)
        variables[ASYNC_BODY] = True
        replied: asyncio.Future[Reply] = loop.create_future()

        if may_share(variables):
            if self._hub is None:
                self._hub = Hub(loop)
            variables["wsgi.input"] = io.BytesIO(await whole_body(receive))
            self._hub.run(lambda: _settle(replied, self._reply(variables)))
        else:
            variables["wsgi.input"] = io.BufferedReader(Body(receive, loop))
            self._pool.submit(lambda: loop.call_soon_threadsafe(_settle, replied, self._reply(variables)))
        await send_reply(await replied, receive, send, self._pool)

    def _reply(self, variables: Environ) -> Reply:
        head: list[Any] = []
        try:
            body: Any = self._wsgi(variables, lambda *given: head.extend(given))
            if getattr(body, "streaming", True):
                return Reply(head[0], head[1], body)
            try:
                return Reply(head[0], head[1], body.content)
            finally:
                body.close()
        except BaseException:  # whatever it is: no caller waits for ever
            log.exception("%s was not answered", variables["PATH_INFO"])
            return FAILED


def _settle(replied: asyncio.Future[Reply], reply: Reply) -> None:
    if not replied.done():  # else the server has given it up
        replied.set_result(reply)
