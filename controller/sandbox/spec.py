"""What a sandbox shall be, as data: the words in which the rest of runwright asks for one.

Here: plain frozen values and nothing that reads the host. Whether they make sense together is
`compile`'s to say. Paths with the name `target` are absolute and mean the sandbox; `source` ones mean the host.
"""

from dataclasses import dataclass
from typing import TypeAlias

GIB = 1 << 30
MIB = 1 << 20
NEUTRAL_ID = 0x6FFE0000
"""The host's user and group that own what runs leave in a `Bind` with `neutral_owners`: nobody's, and no run's.

65536 ids from there stand for those of each run. They lie below those of builds and of slots (see `launcher.slots`).
"""


@dataclass(frozen=True, slots=True)
class Bind:
    """A host file or directory that the run sees at `target`, with all that is mounted below it.

    `within`, if given, is the tree that `source` (then relative to it) may not leave, whatever
    symbolic links are in it: give it wherever somebody else wrote the tree.
    With `neutral_owners`, whatever a run writes is owned by `NEUTRAL_ID` on the host, and by itself in every run that
    sees it: so runs can leave it to each other. What is mounted below it is not seen then.
    """

    source: str
    target: str
    read_only: bool = True
    within: str | None = None
    neutral_owners: bool = False


@dataclass(frozen=True, slots=True)
class VolumeBind:
    """What runs leave each other: a host directory that the run sees at `target`, without what is mounted below it.

    The `host_uid` and `host_gid`, and as many after them as `ids`, own on the disk what the run's root, and who comes
    after it, owns in the run; None shows owners as they are, which is nobody. `within` is as for a `Bind`.
    """

    source: str
    target: str
    read_only: bool = False
    within: str | None = None
    host_uid: int | None = NEUTRAL_ID
    host_gid: int | None = NEUTRAL_ID
    ids: int = 65536


@dataclass(frozen=True, slots=True)
class Scratch:
    """An empty writable directory in memory, of this run alone and gone with it."""

    target: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class PrivateCopy:
    """A writable copy of a host directory, of this run alone and gone with it."""

    source: str
    target: str
    size_bytes: int
    within: str | None = None


Mount: TypeAlias = Bind | Scratch | PrivateCopy
"""What brings something to its `target`."""


@dataclass(frozen=True, slots=True)
class EtcFile:
    """A generated file below /etc."""

    path: str
    content: str


@dataclass(frozen=True, slots=True)
class GivenFile:
    """A file of a directory of the host, called `source` there, of which the run has a copy at `path` below /work."""

    source: str
    path: str
    mode: int


@dataclass(frozen=True, slots=True)
class DeviceNode:
    """A device of the host as the run's own node at `path`: `kind` is c or b, the owner a user and group inside."""

    path: str
    kind: str
    major: int
    minor: int
    mode: int
    sandbox_uid: int = 0
    sandbox_gid: int = 0


@dataclass(frozen=True, slots=True)
class DeviceFile:
    """A file of the host that belongs to a device, such as a library of its driver; seen read-only at `target`.

    Whatever brings the directory it lies in: that need not have a place for it.
    """

    source: str
    target: str
    directory: bool = False
    no_exec: bool = False


@dataclass(frozen=True, slots=True)
class Devices:
    """What a run has for the devices that it was given, and no other run at that time."""

    nodes: tuple[DeviceNode, ...] = ()
    files: tuple[DeviceFile, ...] = ()
    links: tuple[tuple[str, str], ...] = ()  # (path, what it points to)


NO_DEVICES = Devices()


@dataclass(frozen=True, slots=True)
class SandboxSpec:
    """One run's file system and name. Everything else about a sandbox is the same for all runs.

    Every sandbox has /proc, /dev, /tmp and /work; `files_dir` is what /work holds at the start, with directories for
    `given_files`, which are copied out of `given_dir`.
    A run of a network has its own `addresses` there, and asks `name_servers` for others.
    Of /etc/{passwd,group,hosts,hostname,nsswitch.conf} those are generated that neither a bind nor `etc_files` brings.
    """

    hostname: str
    binds: tuple[Bind, ...] = ()
    private_copies: tuple[PrivateCopy, ...] = ()
    scratches: tuple[Scratch, ...] = ()
    symlinks: tuple[tuple[str, str], ...] = ()  # (path, what it points to)
    work_bytes: int = GIB
    tmp_bytes: int = GIB
    shm_bytes: int = 64 * MIB
    files_dir: str | None = None
    given_dir: str | None = None
    given_files: tuple[GivenFile, ...] = ()
    etc_files: tuple[EtcFile, ...] = ()
    devices: Devices = NO_DEVICES
    volumes: tuple[VolumeBind, ...] = ()
    addresses: tuple[str, ...] = ()
    name_servers: tuple[str, ...] = ()

    @property
    def mounts(self) -> tuple[Mount, ...]:
        """All that brings something to a target, but for volumes."""
        return (*self.binds, *self.private_copies, *self.scratches)

    @property
    def writes_as_somebody(self) -> bool:
        """Whether what it writes to a volume is somebody's on the host, whose rights a program there could lend."""
        return any(not volume.read_only and volume.host_uid not in (None, NEUTRAL_ID) for volume in self.volumes)


OWN_FIELDS = (
    "hostname", "work_bytes", "files_dir", "given_dir", "given_files", "devices", "volumes", "addresses",
    "name_servers",
)  # fmt: skip
"""What of a `SandboxSpec` is one run's own; runs that differ in nothing else may be made ready for alike."""


@dataclass(frozen=True, slots=True)
class HostIds:
    """The host's ids that stand for the sandbox's 0: what root inside is outside."""

    uid: int
    gid: int
