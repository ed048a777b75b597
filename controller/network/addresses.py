"""Which addresses a network has, and which of them a run gets. Pure."""

import hashlib
from collections.abc import Collection, Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

from api.types.network_rules import IpNetwork


def choose_network(pool: IPv4Network, prefix: int, taken: Iterable[IpNetwork]) -> IPv4Network | None:
    """Return the first network of that size in the pool that overlaps none of those taken; None if there is none.

    >>> choose_network(IPv4Network("10.0.0.0/23"), 24, [IPv4Network("10.0.0.0/24")])
    IPv4Network('10.0.1.0/24')
    """
    used = [each for each in taken if isinstance(each, IPv4Network) and each.overlaps(pool)]
    return next((one for one in pool.subnets(new_prefix=prefix) if not any(one.overlaps(each) for each in used)), None)


def overlapping(wanted: IPv4Network, taken: Iterable[IpNetwork]) -> IpNetwork | None:
    """Return what of those taken the network overlaps, if any."""
    return next((each for each in taken if isinstance(each, IPv4Network) and each.overlaps(wanted)), None)


def ipv6_of(seed: str) -> IPv6Network:
    """Return the IPv6 addresses of a network: unique local ones, always the same for the same seed. Source: RFC 4193.

    >>> ipv6_of("a").prefixlen, ipv6_of("a") == ipv6_of("a")
    (64, True)
    """
    return IPv6Network((b"\xfd" + hashlib.sha256(seed.encode()).digest()[:7] + bytes(8), 64))


def gateway(network: IPv4Network | IPv6Network) -> IPv4Address | IPv6Address:
    """Return the host's own address in a network: the first.

    >>> str(gateway(IPv4Network("10.0.0.0/24")))
    '10.0.0.1'
    """
    return network[1]


def choose_address(
    network: IPv4Network, taken: Collection[IPv4Address], after: IPv4Address | None
) -> IPv4Address | None:
    """Return a free address, the one longest out of use: the next one `after`, and round; None if there is none.

    >>> str(choose_address(IPv4Network("10.0.0.0/29"), {IPv4Address("10.0.0.2")}, IPv4Address("10.0.0.6")))
    '10.0.0.3'
    """
    first, last = int(network[2]), int(network[-2])
    start = first if after is None or not first <= int(after) < last else int(after) + 1
    used = {int(address) for address in taken}
    for number in (*range(start, last + 1), *range(first, start)):
        if number not in used:
            return IPv4Address(number)
    return None


def twin(address: IPv4Address, network: IPv4Network, other: IPv6Network) -> IPv6Address:
    """Return the IPv6 address that goes with an IPv4 one.

    >>> str(twin(IPv4Address("10.0.0.7"), IPv4Network("10.0.0.0/24"), IPv6Network("fd00::/64")))
    'fd00::7'
    """
    return other[int(address) - int(network.network_address)]


def read(text: str) -> IpNetwork:
    """Return the network that is written so."""
    return ip_network(text)
