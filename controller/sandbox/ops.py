"""The operations a sandbox is made of: frozen data, which prints, compares and is carried out by `interpret`.

Invariant: every path in an operation means the new root, whatever symbolic links lie on the way,
but for `source`, `within` and `staging`, which are the host's.
"""

from dataclasses import dataclass

from controller.linux.mount_api import MountAttribute
from controller.linux.namespaces import LinuxNamespace


@dataclass(frozen=True, slots=True)
class EnterNewNamespaces:
    """Leave the host's namespaces of these kinds for new ones."""

    namespaces: LinuxNamespace


@dataclass(frozen=True, slots=True)
class MakeMountsPrivate:
    """Cut every mount off from the host's: what is mounted from here on, nobody else sees."""


@dataclass(frozen=True, slots=True)
class SetHostname:
    """Name the new UTS namespace."""

    name: str


@dataclass(frozen=True, slots=True)
class BringUpLoopback:
    """Bring up `lo`, the only device of the new network namespace."""


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
class WriteFile:
    """Write a small file, readable by all."""

    path: str
    content: str


@dataclass(frozen=True, slots=True)
class BindMount:
    """Mount a host file or directory, recursively, all of it with `attributes`.

    With `owners_from`, not recursively: what `NEUTRAL_ID` and the ids after it own on the disk, that id and those
    after it own here.
    """

    source: str
    target: str
    attributes: MountAttribute
    within: str | None = None
    owners_from: int | None = None


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
    """Hide a file behind /dev/null, or a directory behind an empty one. Nothing to do where it does not exist."""

    path: str


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
class PivotRoot:
    """Make the new root the root, and let go of the host's: no path leads there any more."""


@dataclass(frozen=True, slots=True)
class SealRoot:
    """Make the root's own mount read-only; those on it stay as they are."""


Op = (
    EnterNewNamespaces
    | MakeMountsPrivate
    | SetHostname
    | BringUpLoopback
    | MountRoot
    | MakeDirectory
    | MakeSymlink
    | MakeDevice
    | WriteFile
    | BindMount
    | MountTmpfs
    | MountDevpts
    | MountProc
    | Mask
    | MakeReadOnly
    | CopyTree
    | PivotRoot
    | SealRoot
)
