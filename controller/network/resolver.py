"""Who answers for names: one socket of each kind on the host's address in each network; own names at once.

Names of the world are asked of the host's resolvers, for jobs that may reach them: to others a name that is asked for
would be a way out. What they lead to is let through before it is told.
Invariant: no network, whatever its jobs send, keeps another one's from being answered; nor does any message the next.
"""

import contextlib
import errno
import os
import re
import secrets
import selectors
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Protocol

from controller.netlink.mishaps import Mishaps
from controller.network import names, records
from controller.network.names import Address, NotAQuestion
from controller.network.records import Led

PORT = 53
_READ_BYTES = 4096
_IP_FREEBIND = 15
_WORKERS = 16
_MOST_AT_ONCE = 6  # Of one network, of `_WORKERS`.
_PATIENCE_SECONDS = 2.0
_SERVERS = re.compile(r"^nameserver\s+(\S+)", re.MULTILINE)
_BACKLOG = 16

Known = Callable[[], Mapping[str, tuple[Address, ...]]]


class Gate(Protocol):
    """What a network's jobs may know of the world, and reach of it."""

    def may_ask(self, asker: Address, name: str) -> bool:
        """Say whether the world may be asked for the name."""

    def let_through(self, asker: Address, name: str, led: tuple[Led, ...]) -> None:
        """Let the job reach what it is about to be told.

        Raises:
            OSError: it cannot be let through.
        """


@dataclass(frozen=True, slots=True)
class _Served:
    address: str
    udp: socket.socket
    tcp: socket.socket
    known: Known
    gate: Gate


class Resolver:
    """Answers in a thread of its own; `serve` and `forget` may be called from any."""

    def __init__(
        self,
        configuration: Path = Path("/etc/resolv.conf"),
        port: int = PORT,
        servers: tuple[str, ...] = (),
        their_port: int = PORT,
    ) -> None:
        """Answer on `port`; ask `servers`, or else those whom `configuration` names, each time as it is then."""
        self._configuration = configuration
        self._servers = servers
        self._port = port
        self._their_port = their_port
        self._lock = threading.Lock()
        self._served: dict[str, _Served] = {}
        self._busy: Counter[str] = Counter()
        self._selector = selectors.DefaultSelector()
        self._wake_read, self._wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._selector.register(self._wake_read, selectors.EVENT_READ)
        self._pool = ThreadPoolExecutor(_WORKERS, "resolver")
        self._thread: threading.Thread | None = None
        self._ending = False
        self._mishaps = Mishaps("answer one who asked for a name")

    def start(self) -> None:
        """Begin to answer."""
        self._thread = threading.Thread(target=self._run, name="resolver", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End, and let go of all addresses. It may not have been started."""
        self._ending = True
        os.write(self._wake_write, b"x")
        if self._thread is not None:
            self._thread.join()
        self._pool.shutdown(wait=True, cancel_futures=True)
        for network in tuple(self._served):
            self.forget(network)
        self._selector.close()
        os.close(self._wake_read)
        os.close(self._wake_write)

    def is_alive(self) -> bool:
        """Whether it answers."""
        return self._thread is not None and self._thread.is_alive()

    def serve(self, network: str, address: str, known: Known, gate: Gate) -> None:
        """Answer the jobs of a network at `address`, which need not be there yet; again changes nothing.

        Raises:
            OSError: something else has the port.
        """
        if self.serves(network, address):
            return
        self.forget(network)
        try:
            udp, tcp = self._bound(address, socket.SOCK_DGRAM), self._bound(address, socket.SOCK_STREAM)
        except OSError as error:
            fix = "have what listens there listen on addresses of its own"
            raise OSError(error.errno, f"cannot answer for names at {address}:{self._port}: {error}: {fix}") from error
        tcp.listen(_BACKLOG)
        served = _Served(address, udp, tcp, known, gate)
        with self._lock:
            self._served[network] = served
            self._selector.register(udp, selectors.EVENT_READ, (network, served))
            self._selector.register(tcp, selectors.EVENT_READ, (network, served))
        os.write(self._wake_write, b"x")

    def serves(self, network: str, address: str) -> bool:
        """Whether the jobs of a network are answered at `address`."""
        with self._lock:
            served = self._served.get(network)
        return served is not None and served.address == address

    def forget(self, network: str) -> None:
        """Answer a network no more; it may not be answered."""
        with self._lock:
            served = self._served.pop(network, None)
            if served is None:
                return
            for each in (served.udp, served.tcp):
                self._selector.unregister(each)
                each.close()

    def _bound(self, address: str, kind: socket.SocketKind) -> socket.socket:
        opened = socket.socket(socket.AF_INET, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            opened.setsockopt(socket.SOL_IP, _IP_FREEBIND, 1)
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1 if kind == socket.SOCK_STREAM else 0)
            opened.bind((address, self._port))
        except OSError:
            opened.close()
            raise
        return opened

    def _run(self) -> None:
        while not self._ending:
            for key, _ in self._selector.select():
                if key.data is None:
                    with contextlib.suppress(BlockingIOError):
                        os.read(self._wake_read, _READ_BYTES)
                    continue
                network, served = key.data
                # It may have been forgotten just now, or its sender be gone.
                with self._mishaps.survived(), contextlib.suppress(OSError):
                    self._on_udp(network, served) if key.fileobj is served.udp else self._on_tcp(network, served)

    def _on_udp(self, network: str, served: _Served) -> None:
        message, sender = served.udp.recvfrom(_READ_BYTES)
        try:
            question = names.read(message)
        except NotAQuestion:
            return
        asker = ip_address(sender[0])
        own = self._own(served, message, asker)
        if own is not None:
            served.udp.sendto(names.cut(own, question), sender)
            return

        def ask() -> None:
            with contextlib.suppress(OSError):
                told = self._learned(served, message, socket.SOCK_DGRAM, asker)
                served.udp.sendto(names.cut(told, question), sender)

        self._beside(network, ask)

    def _on_tcp(self, network: str, served: _Served) -> None:
        connection, sender = served.tcp.accept()

        def talk() -> None:
            with connection, contextlib.suppress(OSError, NotAQuestion):
                message = _receive(connection)
                asker = ip_address(sender[0])
                own = self._own(served, message, asker)
                answered = own if own is not None else self._learned(served, message, socket.SOCK_STREAM, asker)
                connection.settimeout(_PATIENCE_SECONDS)
                connection.sendall(struct.pack("!H", len(answered)) + answered)

        if not self._beside(network, talk):
            connection.close()

    def _own(self, served: _Served, message: bytes, asker: Address) -> bytes | None:
        """Return the answer that is known here; None for one to be asked of others."""
        question = names.read(message)
        own = names.own_answer(message, question, served.known())
        if own is None and not served.gate.may_ask(asker, question.name):
            return names.answer(message, question, names.REFUSED)
        return own

    def _beside(self, network: str, deed: Callable[[], None]) -> bool:
        """Do it in another thread, unless the network has too much done already; say whether it is."""
        with self._lock:
            if self._busy[network] >= _MOST_AT_ONCE:
                return False
            self._busy[network] += 1

        def done() -> None:
            try:
                with self._mishaps.survived():
                    deed()
            finally:
                with self._lock:
                    self._busy[network] -= 1

        self._pool.submit(done)
        return True

    def _learned(self, served: _Served, message: bytes, kind: socket.SocketKind, asker: Address) -> bytes:
        """Return what others say, once the job that asked can reach what that leads to."""
        told = records.shortened(self._asked(message, kind), message)
        question = names.read(message)
        try:
            served.gate.let_through(asker, question.name, records.led(told, message))
        except OSError:  # It would be told of what it cannot reach.
            return names.answer(message, question, names.SERVER_FAILURE)
        return told

    def _asked(self, message: bytes, kind: socket.SocketKind) -> bytes:
        """Return what the host's resolvers say, the first that does."""
        for server in self._servers or _SERVERS.findall(self._configuration.read_text()):
            with contextlib.suppress(OSError, NotAQuestion):
                return _ask((server, self._their_port), message, kind)
        return names.answer(message, names.read(message), names.SERVER_FAILURE)


def _ask(server: tuple[str, int], message: bytes, kind: socket.SocketKind) -> bytes:
    """Ask by another number and port than anybody could know, and take nothing but the answer."""
    family = socket.AF_INET6 if ":" in server[0] else socket.AF_INET
    asked = names.renumbered(message, secrets.randbelow(1 << 16))
    with socket.socket(family, kind) as opened:
        opened.settimeout(_PATIENCE_SECONDS)
        opened.connect(server)
        if kind == socket.SOCK_STREAM:
            opened.sendall(struct.pack("!H", len(asked)) + asked)
            reply = _receive(opened)
        else:
            opened.send(asked)
            reply = opened.recv(_READ_BYTES)
    if not names.is_answer_to(reply, asked):
        raise OSError(errno.EPROTO, f"cannot ask {server[0]}: it answered something else")
    return message[:2] + reply[2:]


def _receive(connection: socket.socket) -> bytes:
    """Return what is said by TCP, all of it within our patience: who says it a byte at a time keeps others waiting."""
    until = time.monotonic() + _PATIENCE_SECONDS
    length = struct.unpack("!H", _exactly(connection, 2, until))[0]
    return _exactly(connection, length, until)


def _exactly(connection: socket.socket, count: int, until: float) -> bytes:
    received = b""
    while len(received) < count:
        left = until - time.monotonic()
        if left <= 0:
            raise TimeoutError(errno.ETIMEDOUT, "it was not said in time")
        connection.settimeout(left)
        part = connection.recv(count - len(received))
        if not part:
            raise ConnectionResetError(errno.ECONNRESET, "it was hung up")
        received += part
    return received
