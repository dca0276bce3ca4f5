"""Reading server-sent events as a browser does (WHATWG HTML, 9.2.6)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from django.core.asgi import get_asgi_application


@dataclass(frozen=True)
class Seen:
    id: str
    name: str
    data: Any


def events(lines: Iterable[str]) -> Iterator[Seen]:
    """From lines without their ends. Data is JSON; comments are left out."""
    fields: dict[str, str] = {}
    for line in lines:
        if line.startswith(":"):
            continue
        if line:
            name, _, value = line.partition(": ")
            assert name in ("id", "event", "data"), line
            assert name not in fields, line
            fields[name] = value
        elif fields:
            yield Seen(fields["id"], fields["event"], json.loads(fields["data"]))
            fields = {}


def read(response: Any) -> list[Seen]:
    """All events of a response of Django's test client, to its end."""
    assert response["Content-Type"] == "text/event-stream", response
    return list(events(b"".join(response.streaming_content).decode().split("\n")))


class AsgiStream:
    """A request as an ASGI server makes it. To be made and used in one event loop."""

    def __init__(self, path: str) -> None:
        self._sent: asyncio.Queue[Any] = asyncio.Queue()
        self._received: asyncio.Queue[Any] = asyncio.Queue()
        self._received.put_nowait({"type": "http.request"})
        headers = [(b"host", b"testserver")]
        scope = {"type": "http", "method": "GET", "path": path, "headers": headers, "query_string": b""}
        application = get_asgi_application()
        self._task = asyncio.create_task(application(scope, self._received.get, self._sent.put))

    async def part(self) -> str:
        """The next part of the body; empty at its end."""
        while True:
            message = await asyncio.wait_for(self._sent.get(), 20)
            if message["type"] == "http.response.body":
                return str(message.get("body", b"").decode())
            assert message["status"] == 200, message

    async def rest(self) -> str:
        text = ""
        while part := await self.part():
            text += part
        await asyncio.wait_for(self._task, 20)
        return text

    async def leave(self) -> None:
        """The connection is gone."""
        self._received.put_nowait({"type": "http.disconnect"})
        await asyncio.wait_for(self._task, 20)
