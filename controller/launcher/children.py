"""Who the launcher deals with: clients, the runs they asked for, and supervisors, ready for a run or with one.

Invariant: nothing here waits for the other side, whatever that does or does not.
"""

import fcntl
import signal
import socket
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from os import close, kill
from struct import Struct

from controller.launcher.protocol import Decoder

PATIENCE_SECONDS = 2.0
"""So long one that was ready may take to read its run: one that hangs where it made its sandbox never does."""
_MOST_FDS = 3
_SIOCOUTQ = 0x5411  # Source: unix(7): what the other side has not read so far.
_INT = Struct("i")


class Connection:
    """One client."""

    __slots__ = ("closing", "decoder", "fds", "out", "socket")

    def __init__(self, client: socket.socket) -> None:
        self.socket = client
        self.decoder = Decoder()
        self.out = bytearray()
        self.fds: list[int] = []  # What came with a request that is not read so far.
        self.closing = False

    def receive(self, most_bytes: int) -> bytes | None:
        """Return what came, empty if the client has gone; None if nothing came."""
        try:
            received, fds, _, _ = socket.recv_fds(self.socket, most_bytes, _MOST_FDS, socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return None
        except ConnectionError:
            return b""
        self.fds += fds
        for fd in self.fds[_MOST_FDS:]:  # More than any request comes with.
            close(fd)
        del self.fds[_MOST_FDS:]
        return received

    def take_fds(self) -> tuple[int, ...]:
        """Return the descriptors that came; whoever takes them closes them."""
        fds, self.fds = tuple(self.fds), []
        return fds


@dataclass(frozen=True, slots=True)
class Request:
    """A run as it was asked for, and who waits to hear of its claim; see `runspec.Parts`.

    `ahead` is whether its shared part may be made before a run of it is asked for.
    """

    connection: Connection
    request_id: object
    cgroup_parent: str
    cgroup: str
    own: bytes
    shared: bytes
    ahead: bool


class Child:
    """One supervisor. `cgroup` is what to remove after it, once the run is its own; `made` the sandbox it has ready.

    `blank_parent` is where it makes its blank cgroup, empty for none; `parent` where its run's is.
    """

    __slots__ = (
        "blank_parent",
        "cgroup",
        "channel",
        "control_path",
        "decoder",
        "kept_fds",
        "made",
        "out",
        "parent",
        "pid",
        "request",
        "slot_number",
    )

    def __init__(
        self, pid: int, slot_number: int, channel: socket.socket, control_path: str, blank_parent: str = ""
    ) -> None:
        self.blank_parent = blank_parent
        self.pid = pid
        self.slot_number = slot_number
        self.control_path = control_path
        self.channel = channel
        self.out = bytearray()
        self.decoder = Decoder()
        self.made: bytes | None = None
        self.request: Request | None = None
        self.parent = ""
        self.cgroup = ""
        self.kept_fds: list[int] = []

    def tell(self, message: bytes) -> bool:
        """Have it told `message`, now or, with `flush`, later; return whether all is said.

        Raises:
            OSError: it has ended.
        """
        self.out += message
        return self.flush()

    def flush(self) -> bool:
        """Say what there is to say as far as it can be said now; return whether that is all.

        Raises:
            OSError: it has ended.
        """
        try:
            while self.out:
                del self.out[: self.channel.send(self.out)]
        except BlockingIOError:
            return False
        return True

    def has_read_all(self) -> bool:
        """Whether it has read all that it was told."""
        unread = fcntl.ioctl(self.channel.fileno(), _SIOCOUTQ, bytes(_INT.size))
        return not self.out and _INT.unpack(unread) == (0,)

    def kill(self) -> None:
        """End it. It is not reaped yet, so it is nobody else."""
        kill(self.pid, signal.SIGKILL)


class HandedOver:
    """Those that were ready and were given a run a moment ago, the first first."""

    def __init__(self) -> None:
        self._until: deque[tuple[float, Child]] = deque()

    def add(self, child: Child, now: float) -> None:
        """Watch `child`, which has been told its run."""
        self._until.append((now + PATIENCE_SECONDS, child))

    def seconds_left(self, now: float) -> float | None:
        """Return how long until there is one to look at; None if there is none."""
        return max(0.0, self._until[0][0] - now) if self._until else None

    def take_stuck(self, now: float) -> Iterator[Child]:
        """Take out those whose time is up; yield those that have not read their run, and so cannot have claimed it."""
        while self._until and self._until[0][0] <= now:
            _, child = self._until.popleft()
            if child.request is not None and child.channel.fileno() >= 0 and not child.has_read_all():
                yield child
