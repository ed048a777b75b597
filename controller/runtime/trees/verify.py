"""Whether a tree still holds what was installed: read in full, slowly, and compared line by line with its list.

A thread of its own reads, with idle I/O priority and no faster than its limiter lets it. Its share of the processors
is bounded by that rate too: a lower CPU priority would keep others waiting for Python's lock while it sleeps.
Never here: when to look, and healing (`install.install` with `force` and `in_use`).
Invariants: a tree that is being looked at is not changed or locked; an answer is about one tree, not about two that
followed each other.
"""

import errno
import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from stat import S_IMODE, S_ISDIR, S_ISLNK, S_ISREG
from typing import BinaryIO, Literal

from controller.engine.clock import Clock
from controller.engine.errors import TransientError
from controller.linux import ioprio
from controller.linux.ioprio import IoClass
from controller.linux.libc import SyscallError
from controller.runtime.trees import digest, locks, origin
from controller.runtime.trees.digest import Line
from controller.runtime.trees.limiter import Limiter
from controller.runtime.trees.origin import Origin

MOST_SHOWN = 20
_ENTRY_BYTES = 4096
_UNREADABLE = (errno.EIO, errno.EUCLEAN, errno.EBADMSG)

How = Literal["changed", "missing", "added", "mode", "link"]


@dataclass(frozen=True, slots=True)
class Difference:
    """One entry that is not as it was installed: `path` is relative to the tree."""

    path: str
    how: How


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What a tree was found to hold. `differing` are the first `MOST_SHOWN` of `count` entries that differ.

    `is_first`: nothing was known to compare it with, and what it holds now is what it will be compared with.
    """

    digest: str
    differing: tuple[Difference, ...]
    count: int
    is_first: bool = False

    @property
    def whole(self) -> bool:
        """Whether it is as it was installed."""
        return not self.count

    @property
    def drift(self) -> str:
        """What differs, in words; empty if nothing does."""
        if not self.count:
            return ""
        shown = ", ".join(f"{one.path} ({one.how})" for one in self.differing[:3])
        more = f" and {self.count - 3} more" if self.count > 3 else ""
        return f"{self.count} {'entry differs' if self.count == 1 else 'entries differ'}: {shown}{more}"


def verify(root: Path, name: str, version: str, limiter: Limiter, clock: Clock) -> VerifyReport:
    """Compare the tree of a version that we installed with what was installed, and keep the answer in its record.

    Raises:
        TransientError: RuntimeNotFound, we did not install it; InstallInProgress, it was changed
            meanwhile; RuntimeRootUnavailable, it cannot be read.
        Stopped: the limiter was stopped.
    """
    before = origin.read(root, name, version)
    if before is None:
        raise TransientError("RuntimeNotFound", f"cannot verify {name}@{version}: it was not installed by runwright")
    tree = root / origin.key(name, version)
    inode = _inode(tree)
    listing = origin.list_being_found(root, name, version)
    try:
        report = _quietly(lambda: _compare(tree, before, list_of(root, before), limiter, listing))
        return _keep(root, before, report, listing, clock, is_same=lambda: _inode(tree) == inode)
    except OSError as error:
        raise TransientError("RuntimeRootUnavailable", f"cannot verify {name}@{version}: {error}") from error
    finally:
        listing.unlink(missing_ok=True)


def _keep(
    root: Path, before: Origin, report: VerifyReport, listing: Path, clock: Clock, *, is_same: Callable[[], bool]
) -> VerifyReport:
    key = origin.key(before.name, before.version)
    with locks.exclusive(root, key, wait=False):
        now = origin.read(root, before.name, before.version)
        if now is None or now.digest != before.digest or not is_same():
            raise TransientError("InstallInProgress", f"cannot verify {key}: it was changed meanwhile: try again")
        origin.settle(root, key)
        if report.whole and listing.exists():
            os.replace(listing, origin.lists(root, before.name, before.version)[1])
        verified = replace(now, verified_at=origin.at(clock.now()), drift=report.drift)
        origin.write(root, replace(verified, digest=report.digest) if report.is_first else verified)
    return report


def list_of(root: Path, known: Origin) -> Path | None:
    """Return the list of `known.digest`, or None if there is none (any more)."""
    for path in origin.lists(root, known.name, known.version):
        with suppress(OSError), path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() == known.digest:
                return path
    return None


def _compare(tree: Path, known: Origin, listed: Path | None, limiter: Limiter, listing: Path) -> VerifyReport:
    """Read the tree; without a list to compare it with, only the digests are, and `listing` is written."""
    found = _Found(tree, limiter)
    if listed is not None:
        with listed.open("rb") as file:
            shown, count = _counted(_differences(map(digest.parse, file), found.lines()))
        return VerifyReport(found.digest, shown, count)
    with listing.open("wb") as file:
        shown, count = _counted(Difference(_shown(line.path), "mode") for line, ok in found.lines(file) if not ok)
    if known.digest and found.digest != known.digest:
        shown, count = (Difference(".", "changed"), *shown)[:MOST_SHOWN], count + 1
    return VerifyReport(found.digest, shown, count, is_first=not known.digest)


def _counted(differences: Iterator[Difference]) -> tuple[tuple[Difference, ...], int]:
    """Return the first of them, and how many there are."""
    shown, count = list[Difference](), 0
    for difference in differences:
        count += 1
        if count <= MOST_SHOWN:
            shown.append(difference)
    return tuple(shown), count


class _Found:
    """The lines of a tree as it is, each with whether its permissions and owner are those that ours have."""

    def __init__(self, tree: Path, limiter: Limiter) -> None:
        self._root = os.fsencode(tree)
        self._limiter = limiter
        self._hash = hashlib.sha256()

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()

    def lines(self, copy: BinaryIO | None = None) -> Iterator[tuple[Line, bool]]:
        try:
            root = os.lstat(self._root)
        except FileNotFoundError:
            return  # Then all of it is missing.
        for path, entry in digest.walk(self._root):
            self._limiter.spend(_ENTRY_BYTES)
            try:
                line, ok = self._line(path, entry, root.st_uid)
            except FileNotFoundError:
                continue  # Removed while we look: it is missing.
            text = digest.render(line)
            self._hash.update(text)
            if copy is not None:
                copy.write(text)
            yield line, ok

    def _line(self, path: bytes, entry: "os.DirEntry[bytes]", owner: int) -> tuple[Line, bool]:
        status = entry.stat(follow_symlinks=False)
        mode = S_IMODE(status.st_mode)
        if S_ISREG(status.st_mode):
            sha256 = self._sha256(entry.path)
            executable = bool(mode & 0o111)
            ok = mode == (0o755 if executable else 0o644) and status.st_uid == owner
            return Line("x" if executable else "f", path, sha256), ok
        if S_ISLNK(status.st_mode):
            return Line("l", path, digest.link_target(os.readlink(entry.path))), True
        # Devices and the like are nothing that a list has: as an empty file they differ from all that it has.
        is_directory = S_ISDIR(status.st_mode)
        return Line("d" if is_directory else "f", path), is_directory and mode == 0o755 and status.st_uid == owner

    def _sha256(self, path: bytes) -> str:
        try:
            return digest.hash_file(path, self._limiter.spend)
        except OSError as error:
            if error.errno not in _UNREADABLE:
                raise
            return ""  # What the disk cannot give any more is not what was installed.


def _differences(listed: Iterator[Line], found: Iterator[tuple[Line, bool]]) -> Iterator[Difference]:
    """Walk down both, which are in the same order."""
    want, have = next(listed, None), next(found, None)
    while want is not None or have is not None:
        if have is None or (want is not None and want.order < have[0].order):
            assert want is not None
            yield Difference(_shown(want.path), "missing")
            want = next(listed, None)
        elif want is None or have[0].order < want.order:
            yield Difference(_shown(have[0].path), "added")
            have = next(found, None)
        else:
            how = _how(want, have)
            if how is not None:
                yield Difference(_shown(want.path), how)
            want, have = next(listed, None), next(found, None)


def _how(want: Line, found: tuple[Line, bool]) -> How | None:
    have, ok = found
    if want.kind == have.kind == "l":
        return "link" if want.content != have.content else None
    files = ("f", "x")
    if want.kind != have.kind and not (want.kind in files and have.kind in files):
        return "changed"
    if want.content != have.content:
        return "changed"
    return None if ok and want.kind == have.kind else "mode"


def _quietly(work: Callable[[], VerifyReport]) -> VerifyReport:
    """Do `work` in a thread whose I/O waits for everybody else's."""
    done: list[VerifyReport | BaseException] = []

    def run() -> None:
        try:
            with suppress(SyscallError):  # A machine or a sandbox that has no such call: the rate is limited still.
                ioprio.set_of_this_thread(IoClass.IDLE)
            done.append(work())
        except BaseException as error:  # noqa: BLE001 -- raised below, in the thread that asked.
            done.append(error)

    thread = threading.Thread(target=run, name="verify", daemon=True)
    thread.start()
    thread.join()
    if isinstance(done[0], VerifyReport):
        return done[0]
    raise done[0]


def _shown(path: bytes) -> str:
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in path.decode(errors="replace"))


def _inode(tree: Path) -> int:
    try:
        return os.lstat(tree).st_ino
    except FileNotFoundError:
        return 0
