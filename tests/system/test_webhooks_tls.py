"""Webhooks over TLS through a whole stack, whose operator trusts a CA of his own."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.system.receiver import Receiver
from tests.system.stack import Stack
from tests.system.test_webhooks import SETTINGS, jobs_secret, over, start_hooks, told

Serve = Callable[[trustme.LeafCert], Receiver]


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def stack(ca: trustme.CA, models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("stack")
    ca.cert_pem.write_to_path(folder / "ca.pem")
    shared = Stack(folder, models, SSL_CERT_FILE=str(folder / "ca.pem"), **SETTINGS)
    try:
        shared.start(queues="model.half")
        start_hooks(shared)
        yield shared
    finally:
        shared.close()


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Receivers at 127.0.0.1 that show a certificate."""
    with ExitStack() as served:

        def receiver(certificate: trustme.LeafCert) -> Receiver:
            tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            certificate.configure_cert(tls)
            made = Receiver(tls=tls)
            served.callback(made.close)
            return made

        yield receiver


def errors(delivery: dict[str, Any]) -> set[str]:
    return {attempt["error"] for attempt in delivery["attempts"]}


def test_a_receiver_of_the_trusted_ca_is_told(stack: Stack, serve: Serve, ca: trustme.CA) -> None:
    receiver = serve(ca.issue_cert("127.0.0.1"))
    job_id = told(stack, f"{receiver.url}/ok")
    (got,) = receiver.wait("/ok")
    assert got.verified(jobs_secret(stack))["data"]["id"] == job_id
    assert over(stack, job_id)["state"] == "delivered"


def test_others_are_sent_nothing_and_the_log_says_why(stack: Stack, serve: Serve, ca: trustme.CA) -> None:
    for certificate, why in (
        (trustme.CA().issue_cert("127.0.0.1"), "certificate: unable to get local issuer certificate"),
        (
            ca.issue_cert("other.example"),
            "certificate: IP address mismatch, certificate is not valid for '127.0.0.1'.",
        ),
    ):
        receiver = serve(certificate)
        delivery = over(stack, told(stack, f"{receiver.url}/never"))
        assert (delivery["state"], errors(delivery)) == ("failed", {why})
        assert receiver.received == []
