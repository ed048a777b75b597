"""Bridges and what hangs on them, by pyroute2: made, looked at, removed; and the kernel's switches of each link.

Invariant: only links whose names begin as the caller says are ever changed or removed.
"""

import contextlib
import errno
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv6Interface, ip_address, ip_network
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from api.types.network_rules import IpNetwork
from controller.linux import rtnetlink

Interface = IPv4Interface | IPv6Interface
_INET, _INET6 = 2, 10
_UP = 1
_NODAD = 0x02
_MAIN_TABLE, _LOCAL_TABLE, _UNICAST = 254, 255, 1
_SYS = Path("/proc/sys/net")
_CONF = {4: _SYS / "ipv4/conf", 6: _SYS / "ipv6/conf"}
_FAMILIES = {4: _INET, 6: _INET6}


@dataclass(frozen=True, slots=True)
class Link:
    """One link of this host. `addresses` are with the lengths of their prefixes."""

    index: int
    name: str
    kind: str
    is_up: bool
    master: int
    addresses: frozenset[str] = frozenset()


def find(name: str) -> Link | None:
    """Return the link of that name.

    Raises:
        OSError: the kernel refused.
    """
    with _asking(f"look at the link {name}"), IPRoute() as route:
        indexes = route.link_lookup(ifname=name)
        if not indexes:
            return None
        message = route.get_links(indexes[0])[0]
        addresses = [f"{each.get_attr('IFA_ADDRESS')}/{each['prefixlen']}" for each in route.get_addr(index=indexes[0])]
        return _link(message, frozenset(text for text in addresses if not text.startswith("fe80:")))


def names(prefix: str) -> tuple[str, ...]:
    """Return the names of all links that begin with `prefix`.

    Raises:
        OSError: the kernel refused.
    """
    with _asking("list links"), IPRoute() as route:
        found = (str(message.get_attr("IFLA_IFNAME")) for message in route.get_links())
        return tuple(sorted(name for name in found if name.startswith(prefix)))


def traffic(names: Iterable[str]) -> dict[str, tuple[int, int]]:
    """Return how many bytes these links, those of them that are there, have received and sent.

    Raises:
        OSError: the kernel refused.
    """
    wanted = set(names)
    with _asking("look at what links have carried"), IPRoute() as route:
        found = {
            str(message.get_attr("IFLA_IFNAME")): message.get_attr("IFLA_STATS64") for message in route.get_links()
        }
    return {name: (stats["rx_bytes"], stats["tx_bytes"]) for name, stats in found.items() if name in wanted and stats}


def routed() -> tuple[IpNetwork, ...]:
    """Return the addresses that this host knows a way to, but for the way to all.

    Raises:
        OSError: the kernel refused.
    """
    with _asking("list routes"), IPRoute() as route:
        ways = [(each.get_attr("RTA_DST"), each["dst_len"]) for each in route.get_routes() if each.get_attr("RTA_DST")]
    return tuple(ip_network(f"{address}/{length}", strict=False) for address, length in ways)


def make_bridge(name: str, addresses: Iterable[Interface]) -> None:
    """Have the bridge be there, up, with these addresses and no others; each step may have been done.

    Raises:
        OSError: the kernel refused.
    """
    wanted = {str(address): address for address in addresses}
    with _asking(f"make the bridge {name}"), IPRoute() as route:
        if not route.link_lookup(ifname=name):
            # Of its own: else it would be that of one of its ports, and change with them.
            address = "02:" + ":".join(f"{byte:02x}" for byte in hashlib.sha256(name.encode()).digest()[:5])
            route.link("add", ifname=name, kind="bridge", address=address, br_mcast_snooping=0)
        index = route.link_lookup(ifname=name)[0]
        _set_switches(name)
        there = {f"{each.get_attr('IFA_ADDRESS')}/{each['prefixlen']}": each for each in route.get_addr(index=index)}
        for text, found in there.items():
            if text not in wanted and not text.startswith("fe80:"):
                route.addr("del", index=index, address=found.get_attr("IFA_ADDRESS"), prefixlen=found["prefixlen"])
        for text, interface in wanted.items():
            if text not in there:
                own = {"address": str(interface.ip), "prefixlen": interface.network.prefixlen}
                flags = {"flags": _NODAD} if interface.version == 6 else {}
                route.addr("add", index=index, family=_INET if interface.version == 4 else _INET6, **own, **flags)
        route.link("set", index=index, state="up")


def put_into(bridge: str, ports: Iterable[str]) -> None:
    """Have these links, those of them that are there, be isolated ports of the bridge, and up.

    Raises:
        OSError: the kernel refused.
    """
    with _asking(f"put links into the bridge {bridge}"), IPRoute() as route:
        master = route.link_lookup(ifname=bridge)[0]
        for name in ports:
            for index in route.link_lookup(ifname=name):
                route.link("set", index=index, master=master, state="up")
                route.brport("set", index=index, isolated=1)


def remove(name: str) -> None:
    """Remove a link; it may be gone.

    Raises:
        OSError: the kernel refused.
    """
    with _asking(f"remove the link {name}"), IPRoute() as route:
        for index in route.link_lookup(ifname=name):
            try:
                route.link("del", index=index)
            except NetlinkError as error:
                if error.code != errno.ENODEV:
                    raise


def is_router(version: int) -> bool:
    """Whether this host passes on what is for others, by all of its links, as somebody wants it to."""
    return (_CONF[version] / "all/forwarding").read_text().strip() != "0"


def be_no_router() -> None:
    """Have no link pass on packets of IPv4.

    Raises:
        OSError: /proc/sys cannot be written here.
    """
    (_CONF[4] / "all/forwarding").write_text("0")


def not_passing_on(version: int) -> tuple[str, ...]:
    """Return the links that lead to others and do not pass on what comes in by them.

    Raises:
        OSError: the kernel refused.
    """
    with _asking("list routes"), IPRoute() as route:
        ways = [each for each in route.get_routes(family=_FAMILIES[version]) if _leads_on(each)]
        named = {message["index"]: str(message.get_attr("IFLA_IFNAME")) for message in route.get_links()}
    found = {named[index] for each in ways for index in _links_of(each) if index in named}
    return tuple(sorted(name for name in found if name != "lo" and _stops(version, name)))


def passes_on(version: int, name: str) -> bool:
    """Whether what comes in by the link is passed on, if it is there."""
    return not _stops(version, name)


def pass_on(version: int, name: str, *, on: bool) -> None:
    """Have this host pass on what comes in by a link, or not; the link may be gone.

    Raises:
        OSError: /proc/sys cannot be written here.
    """
    with contextlib.suppress(FileNotFoundError):
        _switch(version, name).write_text("1" if on else "0")


def _stops(version: int, name: str) -> bool:
    try:
        return _switch(version, name).read_text().strip() == "0"
    except FileNotFoundError:  # It is gone, or not of this version.
        return False


def _switch(version: int, name: str) -> Path:
    # Of IPv6 `forwarding` of a link says besides that it heeds no router's advertisements.
    return _CONF[version] / name / ("forwarding" if version == 4 else "force_forwarding")


def _leads_on(way: Any) -> bool:
    """Whether a route is to others than those of the link itself, who all can be reached without any."""
    to = way.get_attr("RTA_DST")
    if way["type"] != _UNICAST or way["table"] == _LOCAL_TABLE:
        return False
    return to is None or not (ip_address(to).is_link_local or ip_address(to).is_multicast)


def _links_of(way: Any) -> tuple[int, ...]:
    """Return the indexes of the links of a route, which may have several ways to go."""
    several = way.get_attr("RTA_MULTIPATH") or ()
    return (way.get_attr("RTA_OIF"), *(each["oif"] for each in several))


def has_ipv6() -> bool:
    """Whether this host can pass on packets of IPv6 between links of one bridge without becoming a router at large.

    And can hold jobs to their own addresses. Source: Documentation/networking/ip-sysctl.rst, force_forwarding, 6.17.
    """
    return (_CONF[6] / "default/force_forwarding").exists() and rtnetlink.has_ways_by_source()


def _set_switches(bridge: str) -> None:
    pass_on(4, bridge, on=True)
    own = _CONF[4] / bridge
    (own / "send_redirects").write_text("0")
    (own / "route_localnet").write_text("1")  # For 127.0.0.1:PORT of the host; what comes in for it is dropped.
    if has_ipv6():
        (_CONF[6] / bridge / "accept_ra").write_text("0")
        # Its own address of the link is nobody else's: until it was sure it would ask for no job, for 2 seconds.
        (_CONF[6] / bridge / "accept_dad").write_text("0")
        pass_on(6, bridge, on=True)


@contextlib.contextmanager
def _asking(purpose: str):  # type: ignore[no-untyped-def]
    try:
        yield
    except NetlinkError as error:
        raise OSError(error.code, f"cannot {purpose}: {error.args[-1]}") from error


def _link(message: object, addresses: frozenset[str]) -> Link:
    get = message.get_attr  # type: ignore[attr-defined]
    info = get("IFLA_LINKINFO")
    kind = str(info.get_attr("IFLA_INFO_KIND")) if info is not None else ""
    index, flags = message["index"], message["flags"]  # type: ignore[index]
    return Link(index, str(get("IFLA_IFNAME")), kind, bool(flags & _UP), int(get("IFLA_MASTER") or 0), addresses)
