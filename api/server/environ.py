"""What WSGI (PEP 3333) calls what ASGI says of a request."""

from __future__ import annotations

import io
import sys
from asyncio import AbstractEventLoop, run_coroutine_threadsafe
from collections.abc import Awaitable, Callable, MutableMapping
from functools import lru_cache
from typing import Any
from urllib.parse import unquote_to_bytes

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Environ = dict[str, Any]


def environ_of(scope: Scope) -> Environ:
    """Without ``wsgi.input``."""
    root: str = scope.get("root_path", "")
    raw_path = scope.get("raw_path")
    path = scope["path"].encode() if raw_path is None else unquote_to_bytes(raw_path)
    server = scope.get("server") or ("localhost", 0)
    client = scope.get("client") or ("", 0)
    variables: Environ = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": root.encode().decode("latin-1"),
        "PATH_INFO": path.removeprefix(root.encode()).decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_NAME": server[0],
        "SERVER_PORT": str(server[1]),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "REMOTE_ADDR": client[0],
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope["scheme"],
        "wsgi.errors": sys.stderr,
        "wsgi.input_terminated": True,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    for raw_name, raw_value in scope["headers"]:
        name, value = _named(raw_name), raw_value.decode("latin-1")
        if name is None:
            continue
        if name in variables:
            value = f"{variables[name]}{'; ' if name == 'HTTP_COOKIE' else ','}{value}"
        variables[name] = value
    return variables


def _named(header: bytes) -> str | None:
    """Only short names are remembered: a caller may make up thousands of 64 KiB each."""
    return _variable(header) if len(header) <= 100 else _variable.__wrapped__(header)


@lru_cache(maxsize=1024)
def _variable(header: bytes) -> str | None:
    """None for a name with an underscore: it would be taken for the one with a hyphen."""
    name = header.decode("latin-1").upper()
    if "_" in name:
        return None
    name = name.replace("-", "_")
    return name if name in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{name}"


async def whole_body(receive: Receive) -> bytes:
    """What has come of it, should the caller leave."""
    message = await receive()
    if not message.get("more_body"):
        return message.get("body", b"")  # type: ignore[no-any-return]
    parts = [message.get("body", b"")]
    while message.get("more_body"):
        message = await receive()
        parts.append(message.get("body", b""))
    return b"".join(parts)


class Body(io.RawIOBase):
    """``wsgi.input`` as it comes, for a thread that may wait for it."""

    def __init__(self, receive: Receive, loop: AbstractEventLoop) -> None:
        self._receive, self._loop = receive, loop
        self._part = memoryview(b"")
        self._more = True

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._part and self._more:
            message = run_coroutine_threadsafe(self._next(), self._loop).result()
            self._part = memoryview(message.get("body", b""))
            self._more = message.get("more_body", False)
        size = min(len(buffer), len(self._part))
        buffer[:size], self._part = self._part[:size], self._part[size:]
        return size

    async def _next(self) -> Message:
        return await self._receive()
