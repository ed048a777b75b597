"""Who is at the other end of a connection: what the kernel or the TLS handshake says, for every request on it.

uvicorn's HTTP protocol, made patient, which puts it into the state of each request, and of the WebSocket that one may
become.
Never here: what it means (`authentication.py`).
"""

import asyncio
import socket
import ssl
import struct
from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Any, cast

from api.http.long_bodies import show_connection
from api.http.patience import PatientProtocol

_SO_PEERGROUPS = 59  # Linux 4.13, asm-generic/socket.h; Python has no name for it.
_CREDENTIALS = struct.Struct("3i")
_MOST_BYTES = 1024  # What Python's getsockopt takes: 256 groups.


@dataclass(frozen=True, slots=True)
class Peer:
    """The other end: a process on this host, or an address and perhaps a certificate (DER) that the CA has signed."""

    address: str = ""
    host_uid: int | None = None
    host_gids: frozenset[int] = frozenset()
    certificate: bytes | None = None


class PeerProtocol(PatientProtocol):
    """HTTP/1.1 that knows its peer, as `peer` in the state of each request."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Note who it is; once, for a connection does not change hands."""
        super().connection_made(transport)
        self.app_state = self.app_state | {"peer": peer_of(transport)}

    def on_message_begin(self) -> None:
        """Begin a request, whose body may be taken from the connection if it is long."""
        super().on_message_begin()
        show_connection(cast(MutableMapping[str, Any], self.scope), self)


def peer_of(transport: asyncio.BaseTransport) -> Peer:
    """Return who is at the other end of a transport."""
    raw = transport.get_extra_info("socket")
    if raw is not None and raw.family == socket.AF_UNIX:
        return _process(raw)
    address = transport.get_extra_info("peername")
    tls: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
    certificate = tls.getpeercert(binary_form=True) if tls is not None else None
    return Peer(str(address[0]) if address else "", certificate=certificate)


def _process(raw: socket.socket) -> Peer:
    _pid, uid, gid = _CREDENTIALS.unpack(raw.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    try:
        further = raw.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _MOST_BYTES)
    except OSError:  # In more groups than that: then it is in its first one only, which gives less, never more.
        further = b""
    gids = struct.unpack(f"{len(further) // 4}I", further)
    return Peer(host_uid=uid, host_gids=frozenset((gid, *gids)))
