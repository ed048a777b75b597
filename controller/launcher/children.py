"""Who the launcher deals with: clients, the runs they asked for, and supervisors, ready for a run or with one."""

import socket
from dataclasses import dataclass

from controller.launcher.protocol import Decoder


class Connection:
    """One client."""

    __slots__ = ("closing", "decoder", "out", "socket")

    def __init__(self, client: socket.socket) -> None:
        self.socket = client
        self.decoder = Decoder()
        self.out = bytearray()
        self.closing = False


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
    """One supervisor. `cgroup` is what to remove after it, once the run is its own; `made` the sandbox it has ready."""

    __slots__ = (
        "cgroup",
        "channel",
        "control_path",
        "decoder",
        "kept_fds",
        "made",
        "parent",
        "pid",
        "request",
        "slot_number",
    )

    def __init__(self, pid: int, slot_number: int, channel: socket.socket, control_path: str) -> None:
        self.pid = pid
        self.slot_number = slot_number
        self.control_path = control_path
        self.channel = channel
        self.decoder = Decoder()
        self.made: bytes | None = None
        self.request: Request | None = None
        self.parent = ""
        self.cgroup = ""
        self.kept_fds: list[int] = []
