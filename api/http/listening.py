"""How many connections there may be at once, of all and from one address: who comes then is hung up on.

Counted from the accept on, so before TLS and before anybody is known. Never here: how long one may take
(`patience.py`), nor what is asked on it. Invariant: a listener that is full costs the other listeners nothing: neither
memory nor descriptors grow with those who are turned away.
"""

import ipaddress
import resource
import socket
from collections import Counter
from dataclasses import dataclass
from typing import Any, Self

_NETWORK_BITS = 64  # Of IPv6, that who has one address has all of.
_LEAST = 64


@dataclass(frozen=True, slots=True)
class Places:
    """How many connections a listener has at once, and how many of those from one address: 60 KB each with TLS."""

    most: int = 3000
    most_of_one: int = 1500

    def within_descriptors(self) -> Self:
        """Return no more than half of the descriptors that this process may have: the others are for its work."""
        allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        most = self.most if allowed == resource.RLIM_INFINITY else min(self.most, max(_LEAST, allowed // 2))
        return type(self)(most, min(self.most_of_one, max(1, most // 2)))


class Listener(socket.socket):
    """A listening socket that has so many connections. Belongs to one event loop."""

    def __init__(self, *arguments: Any, places: Places, **named: Any) -> None:
        """Make it as `socket.socket` does."""
        super().__init__(*arguments, **named)
        self._places = places
        self._connections: Counter[str] = Counter()

    def accept(self) -> tuple[socket.socket, Any]:
        """Return the next connection.

        Raises:
            ConnectionAbortedError: there was no place for it, and it was closed.
        """
        plain, address = super().accept()
        origin = origin_of(address)
        if self._connections.total() >= self._places.most or self._connections[origin] >= self._places.most_of_one:
            plain.close()
            raise ConnectionAbortedError(f"no place for one more connection, from {origin}")
        self._connections[origin] += 1
        return _Connection(self, origin, plain), address

    @property
    def count(self) -> int:
        """How many connections there are."""
        return self._connections.total()

    def leave(self, origin: str) -> None:
        """Count one connection less."""
        self._connections[origin] -= 1
        if not self._connections[origin]:
            del self._connections[origin]


class _Connection(socket.socket):
    """One connection, which gives its place back when it is closed."""

    def __init__(self, listener: Listener, origin: str, plain: socket.socket) -> None:
        super().__init__(plain.family, plain.type, plain.proto, plain.detach())
        self._listener: Listener | None = listener
        self._origin = origin

    def close(self) -> None:
        """Close it."""
        super().close()
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.leave(self._origin)


def origin_of(address: object) -> str:
    """Return whom the connections from an address are counted for; all of a unix socket are one's.

    >>> origin_of(("192.0.2.7", 41000)), origin_of(("2001:db8::1:2:3", 41000, 0, 0)), origin_of("")
    ('192.0.2.7', '2001:db8::/64', 'here')
    """
    if not isinstance(address, tuple):
        return "here"
    host = str(address[0]).partition("%")[0]
    found = ipaddress.ip_address(host)
    if isinstance(found, ipaddress.IPv4Address) or found.ipv4_mapped is not None:
        return str(getattr(found, "ipv4_mapped", found))
    return str(ipaddress.ip_network((found, _NETWORK_BITS), strict=False))
