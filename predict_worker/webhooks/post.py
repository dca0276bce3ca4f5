"""One request to a receiver: to an address that was judged, by http.client, within a bound of time."""

from __future__ import annotations

import io
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from http.client import HTTPConnection, HTTPException
from typing import Any

from .guard import Guard, Refused
from .schedule import retry_after
from .url import Url

MAX_ADDRESSES = 3
"""Of one host that are tried."""


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    retry_after_s: float | None = None


class PostFailed(Exception):
    """No answer; the text says why."""


def post(url: Url, headers: Mapping[str, str], body: bytes, guard: Guard, timeout_s: float) -> Reply:
    """The status alone: of what the receiver says otherwise nothing is read, and no redirect is followed.

    However slowly bytes trickle in, it ends after ``timeout_s``; only the resolver has a bound of its own,
    and nothing is sent where that has taken longer. Raises PostFailed.
    """
    until = time.monotonic() + timeout_s
    try:
        connected = _connect(url, guard, until)
        try:
            return _exchange(url, headers, body, _Bounded(connected, until))
        finally:
            connected.close()
    except TimeoutError:
        raise PostFailed(f"no answer within {timeout_s:g} s") from None
    except Refused as refusal:
        raise PostFailed(f"refused: {refusal}") from None
    except ssl.SSLCertVerificationError as error:
        raise PostFailed(f"certificate: {error.verify_message}") from None
    except (OSError, HTTPException, UnicodeError) as error:
        raise PostFailed(f"{type(error).__name__}: {error}") from None


def _connect(url: Url, guard: Guard, until: float) -> socket.socket:
    addresses = guard.addresses(url.host, url.port)[:MAX_ADDRESSES]
    for number, (family, address) in enumerate(addresses, 1):
        # Of several, one that does not answer leaves the others their time.
        left_s = _left_s(until) / (len(addresses) - number + 1)
        plain = socket.socket(family, socket.SOCK_STREAM)
        try:
            plain.settimeout(left_s)
            plain.connect((address, url.port))
            plain.settimeout(_left_s(until))
            if url.scheme == "http":
                return plain
            return _tls().wrap_socket(plain, server_hostname=url.host)
        except ssl.SSLError:
            plain.close()
            raise
        except OSError:
            plain.close()
            if number == len(addresses):
                raise
    raise OSError("the name has no address")


def _exchange(url: Url, headers: Mapping[str, str], body: bytes, connected: _Bounded) -> Reply:
    connection = HTTPConnection(url.host, url.port)
    connection.sock = connected
    default_port = url.port == {"http": 80, "https": 443}[url.scheme]
    host = url.authority.rpartition(":")[0] if default_port else url.authority
    connection.request("POST", url.target, body, {"Host": host, "Connection": "close", **headers})
    answer = connection.getresponse()
    return Reply(answer.status, retry_after(answer.headers.get("Retry-After")))


class _Bounded:
    """What http.client needs of a socket, each wait within what is left of the time."""

    def __init__(self, connected: socket.socket, until: float) -> None:
        self._socket, self._until = connected, until

    def sendall(self, data: bytes) -> None:
        self._socket.settimeout(_left_s(self._until))
        self._socket.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Reading(self._socket, self._until))

    def close(self) -> None:
        """Whoever has connected closes."""


class _Reading(io.RawIOBase):
    def __init__(self, connected: socket.socket, until: float) -> None:
        self._socket, self._until = connected, until

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._socket.settimeout(_left_s(self._until))
        return self._socket.recv_into(buffer)


def _left_s(until: float) -> float:
    """Raises TimeoutError."""
    left_s = until - time.monotonic()
    if left_s <= 0:
        raise TimeoutError
    return left_s


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()
