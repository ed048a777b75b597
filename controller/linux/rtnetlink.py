"""A run's end of a network: one veth pair, its addresses and its routes, by the kernel's own messages.

The supervisor of a run makes it, which may import the standard library only; the networks themselves, and all else of
netlink, are `controller.netlink`'s. Here: the messages, and what the kernel answers. Never here: which network, whose.

Invariant: the pair dies with the network namespace of its inner end: so nothing is left of a run that was killed.
"""

import errno
import fcntl
import os
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

INNER_NAME = "eth0"
_NETLINK_ROUTE = 0
_REQUEST, _ACK, _CREATE, _EXCL, _REPLACE = 0x1, 0x4, 0x400, 0x200, 0x100
_NEWLINK, _GETLINK, _NEWADDR, _NEWROUTE, _ERROR = 16, 18, 20, 24, 2
_IFF_UP = 1
_NESTED = 0x8000
_IFLA_IFNAME, _IFLA_MASTER, _IFLA_LINKINFO, _IFLA_NET_NS_FD = 3, 10, 18, 28
_INFO_KIND, _INFO_DATA, _INFO_SLAVE_KIND, _INFO_SLAVE_DATA = 1, 2, 4, 5
_VETH_PEER, _BRPORT_ISOLATED = 1, 33
_IFA_ADDRESS, _IFA_LOCAL, _IFA_FLAGS = 1, 2, 8
_IFA_F_NODAD = 0x02
_RTA_DST, _RTA_SRC, _RTA_OIF, _RTA_GATEWAY = 1, 2, 4, 5
_MAIN_TABLE, _STATIC, _UNIVERSE, _LINK, _UNICAST = 254, 4, 0, 253, 1
_ON_LINK = 4
_NEWQDISC, _ROOT, _TCA_KIND, _TCA_OPTIONS = 36, 0xFFFFFFFF, 1, 2
_TBF_PARAMETERS, _TBF_RATE64, _TBF_BURST, _ETHERNET = 1, 4, 6, 1
_LARGEST_RATE = (1 << 32) - 1
_BURSTS_A_SECOND, _QUEUES_A_SECOND, _SMALLEST_BURST = 100, 5, 16 << 10
_READ_BYTES = 1 << 16
_SIOCGSKNS = 0x894C
_HEADER = struct.Struct("=IHHII")

Address = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class _Message:
    """What the kernel is asked for, and what for."""

    kind: int
    body: bytes
    purpose: str
    flags: int = 0


def open_socket() -> socket.socket:
    """Return a socket to the links of the network namespace that this process is in, wherever it goes afterwards."""
    opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_ROUTE)
    opened.bind((0, 0))
    return opened


def network_of(opened: socket.socket) -> int:
    """Return the network namespace that a socket is of, as a descriptor. The caller closes it.

    Raises:
        OSError: EPERM without CAP_NET_ADMIN there.

    Source: include/uapi/linux/sockios.h, SIOCGSKNS, Linux 4.9.
    """
    return fcntl.ioctl(opened, _SIOCGSKNS)


def join_network(outside: socket.socket, bridge: str, outer_name: str) -> None:
    """Make a pair of which one end is a port of `bridge`, where `outside` is, and the other is here, named eth0.

    The port is isolated: what is sent to it comes from the host alone, so that the host's rules see all of it.

    Raises:
        OSError: the bridge is gone, there is such a link, or the kernel refused.
    """
    namespace_fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        peer = _link_header(0) + _text(_IFLA_IFNAME, INNER_NAME) + _number(_IFLA_NET_NS_FD, namespace_fd)
        kind = _text(_INFO_KIND, "veth") + _nested(_INFO_DATA, _nested(_VETH_PEER, peer))
        index = _number(_IFLA_MASTER, _index_of(outside, bridge))
        pair = _link_header(_IFF_UP) + _text(_IFLA_IFNAME, outer_name) + index + _nested(_IFLA_LINKINFO, kind)
        made = _Message(_NEWLINK, pair, f"make the link {outer_name} of {bridge}", _CREATE | _EXCL)
        alone = _nested(_INFO_SLAVE_DATA, _attribute(_BRPORT_ISOLATED, b"\1"))
        port = _nested(_IFLA_LINKINFO, _text(_INFO_SLAVE_KIND, "bridge") + alone)
        isolated = _link_header(0) + _text(_IFLA_IFNAME, outer_name) + port
        _ask_all(outside, [made, _Message(_NEWLINK, isolated, f"isolate the link {outer_name}")])
    finally:
        os.close(namespace_fd)


def limit_rate(opened: socket.socket, name: str, bytes_per_second: int) -> None:
    """Have a link, where `opened` is, send no more than that each second; what is too much waits, and then is lost.

    Raises:
        OSError: it is gone, or the kernel cannot (CONFIG_NET_SCH_TBF).
    """
    burst = max(bytes_per_second // _BURSTS_A_SECOND, _SMALLEST_BURST)
    waiting = burst + max(bytes_per_second // _QUEUES_A_SECOND, _SMALLEST_BURST)
    # Two rates, of which the second is for none, then how much may wait, a burst in ticks, and a packet: see below.
    rate = struct.pack("=BBHhHI", 0, _ETHERNET, 0, 0, 0, min(bytes_per_second, _LARGEST_RATE))
    parameters = rate + bytes(len(rate)) + struct.pack("=III", waiting, 0, 0)
    options = _attribute(_TBF_PARAMETERS, parameters) + _number(_TBF_BURST, burst)  # In bytes: it is that which counts.
    if bytes_per_second > _LARGEST_RATE:
        options += _attribute(_TBF_RATE64, struct.pack("=Q", bytes_per_second))
    body = struct.pack("=BxxxiIII", socket.AF_UNSPEC, _index_of(opened, name), 0, _ROOT, 0)
    body += _text(_TCA_KIND, "tbf") + _attribute(_TCA_OPTIONS, options)
    _ask(opened, _NEWQDISC, body, f"limit the rate of the link {name}", _CREATE | _EXCL)


def give_addresses(ends: Sequence[tuple[Address, Address]], bytes_per_second: int = 0) -> None:
    """Give eth0 of this namespace its addresses, each with the gateway that all else is reached by.

    Args:
        ends: each address, with its gateway.
        bytes_per_second: what may be sent by it each second; 0 is as much as there comes.

    Of IPv6 a process may send from addresses that nobody has, where it needs no rights for that (IPV6_FREEBIND): so
    the ways are for what comes from its own address alone. IPv4 has no such gap.

    Raises:
        OSError: the kernel refused.
    """
    with open_socket() as inside:
        index = socket.if_nametoindex(INNER_NAME)
        if bytes_per_second:
            limit_rate(inside, INNER_NAME, bytes_per_second)
        up = _link_header(_IFF_UP) + _text(_IFLA_IFNAME, INNER_NAME)
        messages = [_Message(_NEWLINK, up, f"set {INNER_NAME} up")]
        for address, gateway in ends:
            messages += _of_end(index, address, gateway)
        _ask_all(inside, messages)


def _of_end(index: int, address: Address, gateway: Address) -> list["_Message"]:
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    bits, packed = address.max_prefixlen, address.packed
    own = struct.pack("=BBBBI", family, bits, 0, _UNIVERSE, index)
    own += _attribute(_IFA_LOCAL, packed) + _attribute(_IFA_ADDRESS, packed) + _number(_IFA_FLAGS, _IFA_F_NODAD)
    own_only = bits if address.version == 6 else 0
    from_own = _attribute(_RTA_SRC, packed) if own_only else b""
    near = _route(family, bits, _LINK, own_only) + _attribute(_RTA_DST, gateway.packed)
    far = _route(family, 0, _UNIVERSE, own_only) + _attribute(_RTA_GATEWAY, gateway.packed)
    by = _number(_RTA_OIF, index) + from_own
    return [
        _Message(_NEWADDR, own, f"give {INNER_NAME} the address {address}", _CREATE | _EXCL),
        _Message(_NEWROUTE, near + by, f"make a route to {gateway}", _CREATE | _EXCL),
        _Message(_NEWROUTE, far + by, f"make the default route by {gateway}", _CREATE | _EXCL),
    ]


def has_ways_by_source() -> bool:
    """Whether this kernel (CONFIG_IPV6_SUBTREES) has ways for what comes from one address alone; nothing is changed.

    Raises:
        OSError: the kernel refused.
    """
    one = bytes([0xFD, *bytes(15)])
    unknown = _route(socket.AF_INET6, 128, _UNIVERSE, 128) + _attribute(_RTA_DST, one) + _attribute(_RTA_SRC, one)
    with open_socket() as opened:
        try:
            _ask(opened, _NEWROUTE, unknown + _number(_RTA_OIF, 1), "look for ways by source", _REPLACE)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.EINVAL):
                raise
            return error.errno == errno.ENOENT  # What is not there is not replaced.
    return True


def _index_of(outside: socket.socket, name: str) -> int:
    """Return the index of a link where `outside` is, which may be another namespace than this process'."""
    answer = _ask(
        outside, _GETLINK, _link_header(0) + _text(_IFLA_IFNAME, name), f"find the bridge {name}", answers=True
    )
    return int(struct.unpack_from("=i", answer, _HEADER.size + 4)[0])


def _route(family: int, bits: int, scope: int, source_bits: int = 0) -> bytes:
    on_link = _ON_LINK if source_bits and not bits else 0  # Its gateway is not looked for: nobody asks from where.
    return struct.pack("=BBBBBBBBI", family, bits, source_bits, 0, _MAIN_TABLE, _STATIC, scope, _UNICAST, on_link)


def _link_header(flags: int) -> bytes:
    return struct.pack("=BBHiII", socket.AF_UNSPEC, 0, 0, 0, flags, flags)


def _attribute(kind: int, value: bytes) -> bytes:
    length = 4 + len(value)
    return struct.pack("=HH", length, kind) + value + b"\0" * (-length % 4)


def _nested(kind: int, value: bytes) -> bytes:
    return _attribute(kind | _NESTED, value)


def _text(kind: int, value: str) -> bytes:
    return _attribute(kind, value.encode() + b"\0")


def _number(kind: int, value: int) -> bytes:
    return _attribute(kind, struct.pack("=I", value))


def _ask(
    opened: socket.socket, kind: int, body: bytes, purpose: str, flags: int = 0, *, answers: bool = False
) -> bytes:
    """Send one message and return what it is answered, which for most is nothing but success."""
    wanted = _REQUEST | flags | (0 if answers else _ACK)
    opened.send(_HEADER.pack(_HEADER.size + len(body), kind, wanted, 1, 0) + body)
    answer = opened.recv(_READ_BYTES)
    if _HEADER.unpack_from(answer)[1] == _ERROR:
        number = -struct.unpack_from("=i", answer, _HEADER.size)[0]
        if number:
            raise OSError(number, f"cannot {purpose}: {os.strerror(number)}")
    elif not answers:
        raise OSError(errno.EPROTO, f"cannot {purpose}: the kernel answered something else")
    return answer


def _ask_all(opened: socket.socket, messages: Sequence[_Message]) -> None:
    """Send messages together, which saves waiting for each, and hear that all of them were heeded.

    Raises:
        OSError: one was not; those after it may have been, as the kernel goes on.
    """
    opened.send(
        b"".join(
            _HEADER.pack(_HEADER.size + len(each.body), each.kind, _REQUEST | _ACK | each.flags, number, 0) + each.body
            for number, each in enumerate(messages)
        )
    )
    numbers: dict[int, int] = {}
    while len(numbers) < len(messages):
        answer, at = opened.recv(_READ_BYTES), 0
        while at < len(answer):
            length, kind, _, sequence, _ = _HEADER.unpack_from(answer, at)
            if kind != _ERROR:
                raise OSError(errno.EPROTO, f"cannot {messages[0].purpose}: the kernel answered something else")
            numbers[sequence] = -struct.unpack_from("=i", answer, at + _HEADER.size)[0]
            at += length + (-length % 4)
    for number, each in enumerate(messages):
        if numbers[number]:
            raise OSError(numbers[number], f"cannot {each.purpose}: {os.strerror(numbers[number])}")
