"""Being told of packets that rules log: from whom, to where, by what. What is made of it others say.

Invariant: nobody is kept waiting, and nothing is held back: what comes faster than it is read is lost, and only that.
"""

import errno
import os
import socket
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from controller.netlink import attributes
from controller.netlink.listening import Listening

_NETFILTER, _LOG = 12, 4 << 8
_PACKET, _CONFIG, _ERROR = _LOG | 0, _LOG | 1, 2
_REQUEST_AND_ACK = 5
_COMMAND, _MODE, _DELAY = 1, 2, 4
_BIND, _COPY_PACKET = 1, 2
_PAYLOAD, _PREFIX = 9, 10
_TOLD_BYTES = 64
_DELAY_HUNDREDTHS = 10
_READ_BYTES = 1 << 16
_TRIES = 32
_HEADER = struct.Struct("=IHHII")
_PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmpv6", 132: "sctp"}
_WITH_PORTS = ("tcp", "udp", "sctp")


@dataclass(frozen=True, slots=True)
class Told:
    """One packet: the `text` of the rule that logged it; `port` is 0 where there is none."""

    text: str
    source: IPv4Address | IPv6Address
    destination: IPv4Address | IPv6Address
    protocol: str
    port: int


class RefusalLog:
    """Calls `told`, in a thread of its own, with what has come.

    Args:
        first: the group that it would like to have, of 1 to 65535; another is taken if somebody has that one.
    """

    def __init__(self, first: int, told: Callable[[list[Told]], None]) -> None:
        """Take a group of this network namespace.

        Raises:
            OSError: the kernel logs nothing to anybody, or none of the groups that were tried is free.
        """
        self._told = told
        self._opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETFILTER)
        try:
            self.group = _take_one(self._opened, first)
        except OSError:
            self._opened.close()
            raise
        self._opened.settimeout(0)
        self._listening = Listening("refusals", "note what was refused", (self._opened,), self._read)

    def start(self) -> None:
        """Begin to listen."""
        self._listening.start()

    def is_alive(self) -> bool:
        """Whether it listens."""
        return self._listening.is_alive()

    def stop(self) -> None:
        """End. It may not have been started."""
        self._listening.stop()

    def _read(self) -> None:
        try:
            received = self._opened.recv(_READ_BYTES)
        except OSError:  # ENOBUFS: some was lost.
            return
        if found := list(read(received)):
            self._told(found)


def read(received: bytes) -> Iterator[Told]:
    """Yield the packets that messages of the kernel tell of; what cannot be read is left out."""
    for kind, body in _messages(received):
        if kind != _PACKET:
            continue
        said = dict(attributes.read(body[4:]))
        try:
            told = _packet(said.get(_PREFIX, b"").rstrip(b"\0").decode("latin-1"), said.get(_PAYLOAD, b""))
        except (IndexError, struct.error, ValueError):
            continue
        yield told


def _packet(text: str, packet: bytes) -> Told:
    if packet[0] >> 4 == 4:
        protocol, beyond = packet[9], (packet[0] & 0xF) * 4
        source, destination = ip_address(packet[12:16]), ip_address(packet[16:20])
        is_first = not struct.unpack_from("!H", packet, 6)[0] & 0x1FFF
    else:
        protocol, beyond, is_first = packet[6], 40, True
        source, destination = ip_address(packet[8:24]), ip_address(packet[24:40])
    name = _PROTOCOLS.get(protocol, str(protocol))
    port = struct.unpack_from("!H", packet, beyond + 2)[0] if is_first and name in _WITH_PORTS else 0
    return Told(text, source, destination, name, port)


def _take_one(opened: socket.socket, first: int) -> int:
    for number in range(first, first + _TRIES):
        group = (number - 1) % 0xFFFF + 1
        try:
            _set(opened, group, _COMMAND, struct.pack("=B", _BIND))
        except OSError as error:
            if error.errno not in (errno.EBUSY, errno.EPERM):  # Somebody else's group is not ours to change.
                raise
            continue
        _set(opened, group, _MODE, struct.pack("!IBx", _TOLD_BYTES, _COPY_PACKET))
        _set(opened, group, _DELAY, struct.pack("!I", _DELAY_HUNDREDTHS))
        return group
    raise OSError(errno.EBUSY, "cannot be told of refused packets: all groups of the log that were tried are taken")


def _set(opened: socket.socket, group: int, kind: int, value: bytes) -> None:
    attribute = struct.pack("=HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)
    body = struct.pack("!BBH", 0, 0, group) + attribute
    opened.send(_HEADER.pack(_HEADER.size + len(body), _CONFIG, _REQUEST_AND_ACK, 1, 0) + body)
    while True:
        for answered, answer in _messages(opened.recv(_READ_BYTES)):
            if answered == _ERROR:
                number = -struct.unpack_from("=i", answer)[0]
                if number:
                    raise OSError(number, f"cannot be told of refused packets: {os.strerror(number)}")
                return


def _messages(received: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + _HEADER.size <= len(received):
        length, kind, *_ = _HEADER.unpack_from(received, at)
        if length < _HEADER.size:
            return
        yield kind, received[at + _HEADER.size : at + length]
        at += length + (-length % 4)
