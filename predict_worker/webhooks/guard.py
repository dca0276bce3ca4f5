"""Where webhooks may go: nowhere that only this machine or its network can reach.

A caller names the URL and our process sends the request: without a guard it would reach what the caller
cannot. Names are resolved once, each address is judged, and the connection goes to an address that was.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from ..core.errors import InvalidConfig, InvalidRequest

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Addresses = list[tuple[socket.AddressFamily, str]]
_HOST = re.compile(r"[a-z0-9_]([a-z0-9_.-]{0,251}[a-z0-9_])?\Z")

REFUSED: Sequence[Network] = [
    ip_network(network)
    for network in (
        "168.63.129.16/32",  # the host of a virtual machine in Azure: metadata, though the address is global
        "192.0.0.0/24",  # protocol assignments, Oracle Cloud's metadata among them
        "192.88.99.0/24",  # relays of 6to4
        "::/96",  # these hold an IPv4 address, to which a gateway would take the request
        "64:ff9b::/96",
        "64:ff9b:1::/48",
        "2001::/32",
        "2002::/16",
        "fec0::/10",  # once site-local
    )
]
"""Beyond what the registries call not global."""


class Refused(Exception):
    """No address of the host may be called."""


@dataclass(frozen=True, slots=True)
class Guard:
    """``hosts`` and ``networks`` are allowed whatever they are."""

    hosts: frozenset[str] = frozenset()
    networks: tuple[Network, ...] = ()

    @classmethod
    def allowing(cls, text: str) -> Guard:
        """From host names, addresses and networks, separated by spaces or commas. Raises InvalidConfig."""
        hosts, networks = set(), []
        for part in text.replace(",", " ").lower().split():
            try:
                networks.append(ip_network(part))
            except ValueError as error:
                if not _HOST.match(part) or part.replace(".", "").isdigit():
                    raise InvalidConfig(
                        f"WEBHOOK_ALLOW: expected host names, addresses and networks, got {part!r} ({error})"
                    ) from None
                hosts.add(part)
        return cls(frozenset(hosts), tuple(networks))

    def check(self, host: str, field: str) -> None:
        """What can be said without asking a name server. Raises InvalidRequest."""
        try:
            address: Address | None = ip_address(host.partition("%")[0])
        except ValueError:
            address = ip_address("127.0.0.1") if host.rstrip(".").endswith("localhost") else None
        if host not in self.hosts and address is not None and not self.allows(address):
            raise InvalidRequest(field, "a host on the public internet (see WEBHOOK_ALLOW)", repr(host))

    def addresses(self, host: str, port: int) -> Addresses:
        """Those of a host that may be called, in the resolver's order. Raises Refused, OSError."""
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses: Addresses = [(family, str(where[0])) for family, _, _, _, where in found]
        allowed: Addresses = [
            (family, address)
            for family, address in addresses
            if host in self.hosts or self.allows(ip_address(address.partition("%")[0]))
        ]
        if not allowed:
            shown = ", ".join(sorted({address for _, address in addresses}))
            raise Refused(f"{host} is {shown}: not on the public internet, nor in WEBHOOK_ALLOW")
        return allowed

    def allows(self, address: Address) -> bool:
        inner = address.ipv4_mapped if isinstance(address, IPv6Address) else None
        address = inner or address
        if any(address in network for network in self.networks):
            return True
        if any(address in network for network in REFUSED):
            return False
        return address.is_global and not address.is_multicast
