"""What lies in a package, whether it is a directory or an archive: entries, and the few texts that say what it is.

Here: looking, at every entry once. Never here: whether an entry may be there (`safety.py`) and what the texts mean.
Invariant: nothing is written or followed; of a file, only its first bytes and the texts at the top are read.
"""

import os
import stat
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import IO

from api.packages import archives
from api.packages.findings import Refused

RUNTIME_YML = "runtime.yml"
MANIFEST_YAML = "manifest.yaml"
_TEXTS = (RUNTIME_YML, MANIFEST_YAML, "versions.lock")
_MOST_TEXT_BYTES = 1 << 20
_ELF_BYTES = 20
_MACHINES = {3: "386", 40: "arm", 62: "amd64", 183: "arm64", 243: "riscv64"}


class EntryKind(StrEnum):
    """What an entry is."""

    FILE = "file"
    DIRECTORY = "directory"
    LINK = "link"
    HARDLINK = "hard link"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry. `path` counts from the package, `said` is what an archive calls it, `what` names an other kind."""

    path: str
    kind: EntryKind
    mode: int = 0o644
    size: int = 0
    link: str = ""
    said: str = ""
    what: str = ""


@dataclass(frozen=True, slots=True)
class Listing:
    """A package's entries, its texts by name, and the architectures of its programs.

    `called` is the name of the directory or archive; `wrapper` is the one directory all of an archive lies in.
    """

    called: str
    entries: tuple[Entry, ...]
    texts: Mapping[str, bytes]
    machines: frozenset[str] = frozenset()
    wrapper: str = ""


def of_directory(directory: Path) -> Listing:
    """Return what lies in `directory`.

    Raises:
        Refused: it cannot be read.
    """
    entries: list[Entry] = []
    texts: dict[str, bytes] = {}
    machines: set[str] = set()
    try:
        for path, status in _walk(directory):
            entry = _entry_of(path, status, directory / path)
            entries.append(entry)
            if entry.kind is EntryKind.FILE:
                head = _head(directory / path, _wanted(path))
                machines.add(_machine(head))
                if _wanted(path):
                    texts[path] = head
    except OSError as error:
        raise Refused(f"cannot read {error.filename or directory}: {error.strerror}") from None
    called = directory.resolve().name
    return Listing(called, tuple(entries), texts, frozenset(machines - {""}))


def of_archive(path: Path) -> Listing:
    """Return what lies in the tar or zip at `path`; names are taken from inside its one directory.

    Raises:
        Refused: it is no such archive, or it is torn.
    """
    members: list[tuple[str, tarfile.TarInfo]] = []
    texts: dict[str, bytes] = {}
    machines: set[str] = set()
    for member, head in archives.members(path, lambda at: _head_bytes(_base(at))):
        name = _normal(member.name)
        members.append((name, member))
        machines.add(_machine(head))
        if member.isfile() and _wanted(_base(member)):
            texts.setdefault(name, head)
    wrapper = _wrapper(members)
    cut = len(wrapper) + 1 if wrapper else 0
    entries = tuple(_entry_in(name[cut:], cut, member) for name, member in members if name[cut:] or not wrapper)
    inside = {name[cut:]: text for name, text in texts.items() if "/" not in name[cut:]}
    return Listing(_stem(path), entries, inside, frozenset(machines - {""}), wrapper)


def is_archive(path: Path) -> bool:
    """Say whether a file is called as archives are."""
    return path.name.endswith(archives.SUFFIXES)


def _walk(directory: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Yield every entry below `directory`, parents first, in an order that no machine changes."""
    pending = [""]
    while pending:
        at = pending.pop()
        with os.scandir(directory / at) as found:
            names = sorted(entry.name for entry in found)
        below = []
        for name in names:
            path = f"{at}/{name}" if at else name
            status = os.lstat(directory / path)
            yield path, status
            if stat.S_ISDIR(status.st_mode):
                below.append(path)
        pending += reversed(below)


def _entry_of(path: str, status: os.stat_result, at: Path) -> Entry:
    mode = status.st_mode
    if stat.S_ISDIR(mode):
        return Entry(path, EntryKind.DIRECTORY, stat.S_IMODE(mode))
    if stat.S_ISLNK(mode):
        return Entry(path, EntryKind.LINK, link=os.readlink(at))
    if stat.S_ISREG(mode):
        return Entry(path, EntryKind.FILE, stat.S_IMODE(mode), status.st_size)
    what = "a socket" if stat.S_ISSOCK(mode) else "a pipe" if stat.S_ISFIFO(mode) else "a device"
    return Entry(path, EntryKind.OTHER, what=what)


def _entry_in(path: str, cut: int, member: tarfile.TarInfo) -> Entry:
    link = _normal(member.linkname)[cut:] if member.islnk() else member.linkname
    kinds = (
        (member.isdir(), EntryKind.DIRECTORY), (member.issym(), EntryKind.LINK), (member.islnk(), EntryKind.HARDLINK),
    )  # fmt: skip
    kind = next((kind for holds, kind in kinds if holds), EntryKind.FILE if member.isreg() else EntryKind.OTHER)
    if member.issparse():
        return Entry(path, EntryKind.OTHER, said=member.name, what="a sparse file")
    what = "a pipe" if member.isfifo() else "a device" if member.isdev() else "of an unknown type"
    return Entry(path, kind, member.mode & 0o7777, member.size, link, member.name, what)


def _head(path: Path, is_text: bool) -> bytes:  # noqa: FBT001  The one fact that decides how much is read.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb", buffering=0) as file:
        return _read(file, _MOST_TEXT_BYTES + 1 if is_text else _ELF_BYTES)


def _base(member: tarfile.TarInfo) -> str:
    return _normal(member.name).rpartition("/")[2]


def _head_bytes(base: str) -> int:
    return _MOST_TEXT_BYTES + 1 if _wanted(base) else _ELF_BYTES


def _read(file: IO[bytes], count: int) -> bytes:
    pieces = bytearray()
    while len(pieces) < count and (piece := file.read(count - len(pieces))):
        pieces += piece
    return bytes(pieces)


def _wanted(path: str) -> bool:
    return path in _TEXTS or ("/" not in path and path.endswith(".sh"))


def _machine(head: bytes) -> str:
    """Return the architecture that an ELF file is for; nothing for other files."""
    if len(head) < _ELF_BYTES or not head.startswith(b"\x7fELF"):
        return ""
    number = int.from_bytes(head[18:20], "little" if head[5] == 1 else "big")
    return _MACHINES.get(number, f"machine-{number}")


def _normal(name: str) -> str:
    return "/".join(part for part in name.split("/") if part not in ("", "."))


def _wrapper(members: list[tuple[str, tarfile.TarInfo]]) -> str:
    tops = {name.partition("/")[0] for name, _ in members if name}
    if len(tops) != 1:
        return ""
    (top,) = tops
    is_directory = all(member.isdir() for name, member in members if name == top)
    return top if is_directory and top != "isolated" else ""


def _stem(path: Path) -> str:
    suffix = next((suffix for suffix in archives.SUFFIXES if path.name.endswith(suffix)), "")
    return path.name.removesuffix(suffix)
