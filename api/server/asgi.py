"""The ASGI application."""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial

from ..sse import ASYNC_BODY
from .environ import Body, Environ, Receive, Scope, Send, environ_of, whole_body
from .handler import SharedHandler, is_djangos
from .hub import Hub
from .reply import FAILED, Reply, Wsgi, reply_of, send_reply
from .waits import may_share

log = logging.getLogger(__name__)


class Server:
    """Django's WSGI handler, or any application around it, for ASGI servers. Hub and threads begin with the
    first request of a process."""

    def __init__(self, wsgi: Wsgi, threads: int) -> None:
        self._apart = partial(reply_of, wsgi)
        self._shared = SharedHandler().reply if is_djangos(wsgi) else self._apart
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
            self._hub.run(lambda: _settle(replied, _answer(self._shared, variables)))
        else:
            variables["wsgi.input"] = io.BufferedReader(Body(receive, loop))
            self._pool.submit(
                lambda: loop.call_soon_threadsafe(_settle, replied, _answer(self._apart, variables))
            )
        await send_reply(await replied, receive, send, self._pool)


def _answer(reply: Callable[[Environ], Reply], variables: Environ) -> Reply:
    try:
        return reply(variables)
    except BaseException:  # whatever it is: no caller waits for ever
        log.exception("%s was not answered", variables["PATH_INFO"])
        return FAILED


def _settle(replied: asyncio.Future[Reply], reply: Reply) -> None:
    if not replied.done():  # else the server has given it up
        replied.set_result(reply)
