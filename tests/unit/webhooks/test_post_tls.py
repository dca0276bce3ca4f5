"""One request to a receiver over TLS: real sockets, and certificates of a CA of the test's own."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme

from predict_worker.webhooks import post as posting
from predict_worker.webhooks.post import PostFailed, Reply
from tests.unit.webhooks.test_post import ask, request, serving

HOST = "hooks.example"
OK = b"HTTP/1.1 204 No Content\r\n\r\n"


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    """As in a process that has not delivered yet: what is trusted is read once."""
    posting._tls.cache_clear()
    yield
    posting._tls.cache_clear()


@pytest.fixture
def trusted(ca: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "ca.pem"
    ca.cert_pem.write_to_path(file)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))


class Receiver:
    """Answers who has shaken hands; notes the name that was asked for, and what came."""

    def __init__(self, certificate: trustme.LeafCert) -> None:
        self.names: list[str] = []
        self.requests: list[bytes] = []
        self._tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        certificate.configure_cert(self._tls)
        self._tls.sni_callback = lambda _, name, __: self.names.append(str(name))

    def __call__(self, connected: socket.socket) -> None:
        with suppress(ssl.SSLError), self._tls.wrap_socket(connected, server_side=True) as talking:
            self.requests.append(request(talking))
            talking.sendall(OK)


@pytest.fixture
def at_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name leads here."""

    def getaddrinfo(host: str, port: int, **_: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


def deliver(receiver: Receiver, host: str = HOST) -> Reply:
    with serving(receiver) as url:
        return ask(url.replace("http://127.0.0.1", f"https://{host}"))


@pytest.mark.usefixtures("trusted", "at_host")
def test_the_certificate_of_the_name_is_taken_from_the_address_that_was_judged(ca: trustme.CA) -> None:
    receiver = Receiver(ca.issue_cert(HOST))
    assert deliver(receiver) == Reply(204)
    assert receiver.names == [HOST]
    assert receiver.requests[0].startswith(b"POST /hook?a=b HTTP/1.1\r\n")
    assert receiver.requests[0].endswith(b"\r\n\r\nbody")


@pytest.mark.usefixtures("trusted")
def test_an_address_has_a_certificate_of_its_own(ca: trustme.CA) -> None:
    assert deliver(Receiver(ca.issue_cert("127.0.0.1")), "127.0.0.1") == Reply(204)


@pytest.mark.usefixtures("at_host")
def test_nothing_is_sent_to_who_shows_a_certificate_of_an_unknown_ca(ca: trustme.CA) -> None:
    receiver = Receiver(ca.issue_cert(HOST))
    with pytest.raises(PostFailed, match="certificate: unable to get local issuer certificate"):
        deliver(receiver)
    assert receiver.requests == []


@pytest.mark.usefixtures("trusted", "at_host")
@pytest.mark.parametrize("named", ["other.example", "*.hooks.example", "127.0.0.1"])
def test_nothing_is_sent_to_who_shows_the_certificate_of_another(ca: trustme.CA, named: str) -> None:
    receiver = Receiver(ca.issue_cert(named))
    with pytest.raises(PostFailed, match=r"certificate: Hostname mismatch.* not valid for 'hooks\.example'"):
        deliver(receiver)
    assert receiver.requests == []


@pytest.mark.usefixtures("trusted", "at_host")
def test_nothing_is_sent_to_who_shows_one_that_has_expired(ca: trustme.CA) -> None:
    receiver = Receiver(ca.issue_cert(HOST, not_after=datetime.now(UTC) - timedelta(days=1)))
    with pytest.raises(PostFailed, match="certificate: certificate has expired"):
        deliver(receiver)
    assert receiver.requests == []


def test_what_speaks_no_tls_is_a_failure() -> None:
    def talk(connected: socket.socket) -> None:
        connected.recv(65536)
        connected.sendall(b"no TLS at all\r\n")

    with serving(talk) as url, pytest.raises(PostFailed, match="SSL"):
        ask(url.replace("http:", "https:"))
