"""A run's end of its network: as it travels to the run's supervisor, and made there, before the job's command is known.

Invariant: a run that is to be in a network has all of its end, or is not begun.
"""

import os
import socket
from dataclasses import dataclass
from ipaddress import ip_address

from controller.linux import rtnetlink

_SWITCHES = (
    ("ipv4/conf/all/accept_redirects", b"0"),
    ("ipv4/conf/default/accept_redirects", b"0"),
    ("ipv6/conf/default/accept_redirects", b"0"),
    ("ipv6/conf/default/accept_ra", b"0"),
    ("ipv4/ping_group_range", b"0 2147483647"),
)
"""Of the run's network: its host alone says where packets go, and who may ping needs no rights for it."""


@dataclass(frozen=True, slots=True)
class NetworkEnd:
    """One end: the `link` of the host that is a port of `bridge`, and (own address, gateway) of each version.

    `received` and `sent` are the bytes that the run may receive and send each second; 0 is as many as there come.
    """

    bridge: str
    link: str
    ends: tuple[tuple[str, str], ...]
    received: int = 0
    sent: int = 0


def read(given: object) -> NetworkEnd | None:
    """Return the end that was written as plain data; None for a run without a network.

    Raises:
        ValueError: it is something else.
    """
    match given:
        case None:
            return None
        case {
            "bridge": str(bridge),
            "link": str(link),
            "ends": list(ends),
            "received": int(received),
            "sent": int(sent),
            **rest,
        } if not rest and min(received, sent) >= 0:
            return NetworkEnd(bridge, link, tuple(_pair(each) for each in ends), received, sent)
        case _:
            raise ValueError(
                f"cannot read a run spec: a network is a bridge, a link, ends and rates, not {given!r:.80}"
            )


def _pair(given: object) -> tuple[str, str]:
    match given:
        case [str(own), str(gateway)]:
            return str(ip_address(own)), str(ip_address(gateway))
        case _:
            raise ValueError(f"cannot read a run spec: an end is an address and a gateway, not {given!r:.80}")


def join(outside: socket.socket, end: NetworkEnd) -> None:
    """Make the end, from the network of the host, where `outside` is, into that of this process.

    Raises:
        OSError: it cannot be made: nothing of it is left when this process has ended.
    """
    for name, value in _SWITCHES:
        _set(f"/proc/sys/net/{name}", value)
    rtnetlink.join_network(outside, end.bridge, end.link)
    if end.received:
        rtnetlink.limit_rate(outside, end.link, end.received)
    rtnetlink.give_addresses([(ip_address(own), ip_address(gateway)) for own, gateway in end.ends], end.sent)


def _set(path: str, value: bytes) -> None:
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    except FileNotFoundError:  # A kernel without IPv6.
        return
    try:
        os.write(fd, value)
    finally:
        os.close(fd)
