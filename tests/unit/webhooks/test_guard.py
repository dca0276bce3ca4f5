"""Where webhooks may go."""

from __future__ import annotations

import ipaddress
import socket
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from predict_worker.core.errors import InvalidConfig, InvalidRequest
from predict_worker.webhooks.guard import Guard, Refused
from predict_worker.webhooks.url import parse_url

REFUSED = [
    "127.0.0.1",
    "127.8.9.10",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "0.0.0.0",
    "0.1.2.3",
    "224.0.1.1",
    "239.255.255.250",
    "255.255.255.255",
    "240.0.0.1",
    "198.18.0.1",
    "203.0.113.5",
    "::",
    "::1",
    "::127.0.0.1",
    "::8.8.8.8",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::a00:1",
    "64:ff9b::8.8.8.8",
    "2002:a00:1::",
    "2001:0:1::1",
    "fe80::1",
    "fec0::1",
    "fc00::1",
    "fd00:ec2::254",
    "ff02::1",
    "ff0e::1",
    "2001:db8::1",
]
ALLOWED = ["8.8.8.8", "93.184.216.34", "2606:4700:4700::1111", "::ffff:8.8.8.8", "172.32.0.1"]


@pytest.mark.parametrize("address", REFUSED)
def test_what_the_public_internet_does_not_reach_is_refused(address: str) -> None:
    assert not Guard().allows(ipaddress.ip_address(address))
    with pytest.raises(InvalidRequest, match="public internet"):
        Guard().check(address, "webhook")


@pytest.mark.parametrize("address", ALLOWED)
def test_what_it_reaches_is_allowed(address: str) -> None:
    assert Guard().allows(ipaddress.ip_address(address))
    Guard().check(address, "webhook")


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_in_an_ipv6_one_is_judged_as_itself(address: Any) -> None:
    mapped = ipaddress.ip_address(f"::ffff:{address}")
    assert Guard().allows(mapped) == Guard().allows(address)


@pytest.mark.parametrize("host", ["localhost", "localhost.", "a.localhost", "fe80::1%eth0"])
def test_names_of_this_machine_are_refused_at_once(host: str) -> None:
    with pytest.raises(InvalidRequest):
        Guard().check(host, "webhook")


def test_hosts_and_networks_may_be_allowed() -> None:
    guard = Guard.allowing("10.1.0.0/16, hooks.internal LOCALHOST ::1")
    for address in ("10.1.2.3", "::ffff:10.1.2.3", "::1"):
        assert guard.allows(ipaddress.ip_address(address))
    assert not guard.allows(ipaddress.ip_address("10.2.0.1"))
    guard.check("localhost", "webhook")
    with pytest.raises(InvalidRequest):
        guard.check("127.0.0.1", "webhook")


@pytest.mark.parametrize("text", ["10.0.0.0/99", "http://a", "10.0.0.256", "a b/c"])
def test_an_allowance_that_is_none_is_named(text: str) -> None:
    with pytest.raises(InvalidConfig, match="WEBHOOK_ALLOW"):
        Guard.allowing(text)


def resolving(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> list[str]:
    asked: list[str] = []

    def getaddrinfo(host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        family = [socket.AF_INET6 if ":" in address else socket.AF_INET for address in addresses]
        return [(f, 1, 6, "", (a, port)) for f, a in zip(family, addresses, strict=True)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


def test_a_name_is_judged_by_its_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch, "10.0.0.1", "fe80::1%eth0")
    with pytest.raises(Refused, match=r"inner\.example is 10\.0\.0\.1, fe80::1%eth0"):
        Guard().addresses("inner.example", 443)
    assert len(Guard.allowing("inner.example").addresses("inner.example", 443)) == 2
    assert Guard.allowing("10.0.0.0/8").addresses("inner.example", 443) == [(socket.AF_INET, "10.0.0.1")]


def test_of_several_addresses_those_that_may_be_called_are(monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch, "127.0.0.1", "8.8.8.8", "2606:4700:4700::1111")
    addresses = [address for _, address in Guard().addresses("mixed.example", 443)]
    assert addresses == ["8.8.8.8", "2606:4700:4700::1111"]


@pytest.mark.parametrize(
    "text",
    [
        "ftp://a.test/",
        "a.test",
        "//a.test",
        "https://",
        "https:///path",
        "https://user@a.test/",
        "https://user:secret@a.test/",
        "https://a.test/#part",
        "https://a.test/#",
        "https://a.test:99999/",
        "https://a.test:x/",
        "https://[::1/",
        "https://a.test/ b",
        "https://a.test/\r\nHost: b",
        "https://ä.test/",
        f"https://a.test/{'x' * 2048}",
        "",
    ],
)
def test_what_is_no_url_is_refused_without_its_secrets(text: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse_url(text, "webhook")
    assert refused.value.field == "webhook"
    assert "secret" not in str(refused.value)


def test_a_url_in_its_parts() -> None:
    url = parse_url("HTTPS://A.Test/p/q?x=1&y")
    assert (url.scheme, url.host, url.port, url.target) == ("https", "a.test", 443, "/p/q?x=1&y")
    assert url.authority == "a.test:443"
    assert parse_url("http://[2606:4700::1]:81").authority == "[2606:4700::1]:81"
    assert parse_url("http://a.test?x").target == "/?x"


@given(st.text(max_size=40) | st.text(max_size=40).map(lambda text: f"https://{text}"))
def test_any_text_is_a_url_or_refused(text: str) -> None:
    try:
        url = parse_url(text)
    except InvalidRequest:
        return
    assert url.host
    assert url.target.startswith("/")
    assert url.scheme in ("http", "https")
