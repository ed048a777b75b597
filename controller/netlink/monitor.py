"""Being told when somebody changes packet rules or removes links of ours. What is to be done about it others say."""

import socket
import struct
from collections.abc import Callable

from controller.netlink.listening import Listening

_ROUTE, _NETFILTER = 0, 12
_LINKS, _RULES = 1, 1 << 6  # Groups RTNLGRP_LINK and NFNLGRP_NFTABLES, as bits.
_DELLINK = 17
_OF_SETS = frozenset({0xA0C, 0xA0D, 0xA0E, 0xA0F})
"""What is put into sets and goes out of them, and that there is a new generation: no rule changes by that."""
_READ_BYTES = 1 << 16


class Monitor:
    """Calls these in a thread of its own, once for what comes together. What was missed is found by looking.

    Args:
        prefix: what the names of the links begin with whose removal is told.
        link_removed: told of those.
        rules_changed: told that somebody has changed rules: any, of anybody; we ourselves too.
    """

    def __init__(self, prefix: str, link_removed: Callable[[], None], rules_changed: Callable[[], None]) -> None:
        self._prefix = prefix.encode()
        self._link_removed, self._rules_changed = link_removed, rules_changed
        self._links, self._rules = opened = _open(_ROUTE, _LINKS), _open(_NETFILTER, _RULES)
        self._listening = Listening("netlink-monitor", "look at what somebody has changed", opened, self._read)

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
        # Both are read, whichever it was: what came together is one change.
        removed = [self._is_ours(message) for message in _all_of(self._links)]
        changed = [_is_of_rules(message) for message in _all_of(self._rules)]
        if any(removed):
            self._link_removed()
        elif any(changed):
            self._rules_changed()

    def _is_ours(self, message: bytes) -> bool:
        return not message or (message[4:6] == _DELLINK.to_bytes(2, "little") and self._prefix in message)


def _is_of_rules(received: bytes) -> bool:
    at = 0
    while at + 16 <= len(received):
        length, kind = struct.unpack_from("=IH", received, at)
        if kind not in _OF_SETS or length < 16:
            return True
        at += length + (-length % 4)
    return not received


def _open(family: int, groups: int) -> socket.socket:
    opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, family)
    opened.bind((0, groups))
    return opened


def _all_of(opened: socket.socket) -> list[bytes]:
    """Return what has come; an empty message stands for what there was too much of."""
    received: list[bytes] = []
    while True:
        try:
            received.append(opened.recv(_READ_BYTES))
        except BlockingIOError:
            return received
        except OSError:  # ENOBUFS: some was lost.
            received.append(b"")
            return received
