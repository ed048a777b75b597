"""The operations a sandbox is made of: frozen data, which prints, compares and is carried out by `interpret`.

Invariant: every path in an operation means the new root, whatever symbolic links lie on the way,
but for `source`, `within` and `staging`, which are the host's.
"""

from dataclasses import dataclass

from controller.linux.landlock import Access
from controller.linux.mount_api import MountAttribute
from controller.linux.namespaces import LinuxNamespace
from controller.sandbox.spec import NEUTRAL_ID, GivenFile


@dataclass(frozen=True, slots=True)
class EnterNewNamespaces:
    """Leave the host's namespaces of these kinds for new ones."""

    namespaces: LinuxNamespace


@dataclass(frozen=True, slots=True)
class MakeMountsPrivate:
    """Cut every mount off from the host's: what is mounted from here on, nobody else sees."""


@dataclass(frozen=True, slots=True)
class BeginTime:
    """Have what is started from here on count its clocks from now, where the kernel can: not from the host's start."""


@dataclass(frozen=True, slots=True)
class ForgetDomain:
    """Give the new UTS namespace no domain name, whatever the host's is."""


@dataclass(frozen=True, slots=True)
class SetHostname:
    """Name the new UTS namespace."""

    name: str


@dataclass(frozen=True, slots=True)
class BringUpLoopback:
    """Bring up `lo`, the only device of the new network namespace."""


@dataclass(frozen=True, slots=True)
class OpenLowPorts:
    """Let whoever is in the new network namespace bind ports below 1024 of it; nobody else is in it."""


@dataclass(frozen=True, slots=True)
class MountRoot:
    """Mount the empty root to be at `staging`, where only this process sees it."""

    staging: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class MakeDirectory:
    """Make a directory and those above it."""

    path: str
    mode: int = 0o755


@dataclass(frozen=True, slots=True)
class MakeSymlink:
    """Make a symbolic link to `points_to`."""

    path: str
    points_to: str


@dataclass(frozen=True, slots=True)
class MakeDevice:
    """Make a character device that anybody may read and write."""

    path: str
    major: int
    minor: int


@dataclass(frozen=True, slots=True)
class SeparateDevices:
    """Make the directory a mount of its own, on which alone device nodes work."""

    path: str


@dataclass(frozen=True, slots=True)
class GiveDevice:
    """Make a node of a host's device; `kind` is c or b."""

    path: str
    kind: str
    major: int
    minor: int
    mode: int
    host_uid: int
    host_gid: int


@dataclass(frozen=True, slots=True)
class Unmask:
    """Show what `Mask` has hidden at `path`. Nothing to do where it was not there to be hidden."""

    path: str


@dataclass(frozen=True, slots=True)
class MakePlaces:
    """Make empty files and directories to mount on, and symbolic links, where there is nothing of that name.

    Also below read-only mounts: those directories are then seen with what is added to them; no mount is changed.
    """

    files: tuple[str, ...]
    directories: tuple[str, ...]
    links: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class WriteFile:
    """Write a small file, readable by all."""

    path: str
    content: str


@dataclass(frozen=True, slots=True)
class CoverFile:
    """Have a small file read in place of the one that a mount brings, readable by all and read-only."""

    path: str
    content: str


@dataclass(frozen=True, slots=True)
class BindMount:
    """Mount a host file or directory, recursively, all of it with `attributes`.

    With `owners_from`, not recursively: what `disk_uid` and `disk_gid` and the ids after them, `ids` of each, own on
    the disk, that id and those after it own here.
    """

    source: str
    target: str
    attributes: MountAttribute
    within: str | None = None
    owners_from: int | None = None
    disk_uid: int = NEUTRAL_ID
    disk_gid: int = NEUTRAL_ID
    ids: int = 65536


@dataclass(frozen=True, slots=True)
class MountTmpfs:
    """Mount an empty file system in memory that cannot grow beyond `size_bytes`."""

    target: str
    size_bytes: int
    mode: int
    host_uid: int
    host_gid: int
    attributes: MountAttribute


@dataclass(frozen=True, slots=True)
class MountDevpts:
    """Mount pseudo terminals of the sandbox's own; terminals belong to `host_gid`."""

    target: str
    host_gid: int


@dataclass(frozen=True, slots=True)
class MountProc:
    """Mount a /proc that shows a process only its own user's processes."""

    target: str


@dataclass(frozen=True, slots=True)
class Mask:
    """Hide files and directories of `directory` behind empty ones that cannot be written, as far as they are there.

    What they are hidden behind is made for a moment in the directory `aside`, which can be written.
    """

    directory: str
    names: frozenset[str]
    aside: str


@dataclass(frozen=True, slots=True)
class MakeReadOnly:
    """Make a part of a mount read-only. Nothing to do where it does not exist."""

    path: str


@dataclass(frozen=True, slots=True)
class CopyTree:
    """Copy the content of a host directory into `target`: files, directories and links (as links) with their modes."""

    source: str
    target: str
    host_uid: int
    host_gid: int
    within: str | None = None


@dataclass(frozen=True, slots=True)
class CopyFiles:
    """Copy files of a host directory to new places below `target`, whose directories are there."""

    source: str
    target: str
    files: tuple[GivenFile, ...]
    host_uid: int
    host_gid: int


@dataclass(frozen=True, slots=True)
class Allow:
    """Let the job do this to files at `path` and below; whatever is allowed nowhere, Landlock refuses it."""

    path: str
    access: Access


@dataclass(frozen=True, slots=True)
class PivotRoot:
    """Make the new root the root, and let go of the host's: no path leads there any more."""


@dataclass(frozen=True, slots=True)
class SealRoot:
    """Make the mounts of the root and of `devices` read-only, and have no device work in the root; no other changes."""

    devices: str


Op = (
    EnterNewNamespaces
    | MakeMountsPrivate
    | BeginTime
    | ForgetDomain
    | SetHostname
    | BringUpLoopback
    | OpenLowPorts
    | MountRoot
    | MakeDirectory
    | MakeSymlink
    | MakeDevice
    | SeparateDevices
    | GiveDevice
    | MakePlaces
    | Unmask
    | WriteFile
    | CoverFile
    | BindMount
    | MountTmpfs
    | MountDevpts
    | MountProc
    | Mask
    | MakeReadOnly
    | CopyTree
    | CopyFiles
    | Allow
    | PivotRoot
    | SealRoot
)
