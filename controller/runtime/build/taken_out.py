"""Taking what a build made out of its sandbox: files become what unpacking an archive would have made of them.

Owners are root, modes 0755 or 0644, nothing is setuid, nothing has attributes; links stay in the tree; devices may not
be in it; sockets and pipes are left behind. The build is over: nothing else changes the tree while this looks at it.
Never here: what the tree must hold to be a runtime (`install.py`).
Invariant: a tree that is returned has only files, directories and links of which none leads out of it.
"""

import errno
import itertools
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from api.packages import links, runtime_yaml
from controller.engine.errors import TerminalError
from controller.linux.bounded import read_bounded
from controller.runtime.archives.extraction import Limits
from controller.runtime.trees.tree import MANIFEST
from controller.sandbox import rootfs


@dataclass(frozen=True, slots=True)
class Carried:
    """What a tree holds."""

    entries: int
    expanded_bytes: int


def normalise(tree: Path, inside: str, log: Callable[[str], None], limits: Limits | None = None) -> Carried:
    """Make `tree`, which the build knew as the directory `inside`, one that can be installed.

    Raises:
        TerminalError: InvalidRuntime, it holds what may not be, or too much.
    """
    allowed = limits or Limits()
    found: dict[str, str] = {}
    entries = expanded = 0
    for path in _walk(tree, allowed):
        entries += 1
        expanded += _normalise_one(tree, path, inside, found, log)
        if entries > allowed.entries:
            raise _refused(f"it has more than {allowed.entries} entries")
        if expanded > allowed.expanded_bytes:
            raise _refused(f"it has more than {allowed.expanded_bytes} bytes")
    if escape := links.first_escape(found):
        raise _refused(f"the link {escape}")
    return Carried(entries, expanded)


def add_missing_sources(tree: Path) -> tuple[str, ...]:
    """Make an empty directory of each mount's source that `tree` lacks, and return which.

    Joblet skips such mounts in silence, and its own released recipes count on that. A tree that has none of what it
    mounts is left as it is, to be refused.
    """
    try:
        mounts = runtime_yaml.load(read_bounded(tree / MANIFEST)).mounts
    except (ValueError, RecursionError):  # To be refused with all that is wrong in it.
        return ()
    made = []
    root_fd = os.open(tree, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        missing = [mount.source for mount in mounts if not _is_there(root_fd, mount.source)]
        for source in missing if len(missing) < len(mounts) else ():
            with suppress(OSError):  # Behind a file or a link that leads nowhere: to be refused.
                os.close(rootfs.open_directory(root_fd, source))
                made.append(source)
    finally:
        os.close(root_fd)
    return tuple(made)


def _is_there(root_fd: int, path: str) -> bool:
    try:
        os.close(rootfs.open_place(root_fd, path))
    except OSError as error:
        return error.errno != errno.ENOENT
    return True


def _walk(tree: Path, limits: Limits) -> Iterator[str]:
    """Yield the path of everything in `tree`, a directory before what is in it, and "" for itself."""
    waiting = [""]
    while waiting:
        path = waiting.pop()
        yield path
        if not stat.S_ISDIR(os.lstat(tree / path).st_mode):
            continue
        for name in sorted(_names(tree / path, limits.entries), reverse=True):
            below = f"{path}/{name}" if path else name
            if len(os.fsencode(below)) > limits.path_bytes:
                raise _refused(f"the path {_shown(below)} is too long")
            if stat.S_ISDIR((status := os.lstat(tree / below)).st_mode) or not _is_left(status):
                waiting.append(below)
            else:
                os.unlink(tree / below)


def _names(directory: Path, most: int) -> list[str]:
    with os.scandir(directory) as entries:
        names = [entry.name for entry in itertools.islice(entries, most + 1)]
    if len(names) > most:
        raise _refused(f"it has more than {most} entries")
    return names


def _is_left(status: os.stat_result) -> bool:
    """Say whether it is something that means nothing without the process that made it."""
    return stat.S_ISSOCK(status.st_mode) or stat.S_ISFIFO(status.st_mode)


def _normalise_one(tree: Path, path: str, inside: str, found: dict[str, str], log: Callable[[str], None]) -> int:
    """Make one entry as it shall be, noting it in `found` if it is a link; return its bytes."""
    place = tree / path
    status = os.lstat(place)
    if stat.S_ISLNK(status.st_mode):
        os.chown(place, 0, 0, follow_symlinks=False)
        found[path] = _link_that_stays(place, path, inside, log)
        return 0
    if not stat.S_ISDIR(status.st_mode) and not stat.S_ISREG(status.st_mode):
        raise _refused(f"{_shown(path)} is a device: only files, directories and links may be in it")
    for name in os.listxattr(place, follow_symlinks=False):
        os.removexattr(place, name, follow_symlinks=False)
    os.chown(place, 0, 0, follow_symlinks=False)
    runs = stat.S_ISDIR(status.st_mode) or status.st_mode & 0o111
    os.chmod(place, 0o755 if runs else 0o644)  # After chown, which clears setuid only for some.
    return 0 if stat.S_ISDIR(status.st_mode) else status.st_size


def _link_that_stays(place: Path, path: str, inside: str, log: Callable[[str], None]) -> str:
    """Return where the link goes, after making one that names the tree by its own absolute path relative."""
    target = os.readlink(place)
    if target != inside and not target.startswith(f"{inside}/"):
        return target
    into = target[len(inside) :].strip("/") or "."
    relative = os.path.relpath(into, os.path.dirname(path) or ".")
    os.unlink(place)
    os.symlink(relative, place)
    os.chown(place, 0, 0, follow_symlinks=False)
    log(f"runwright: {_shown(path)} -> {_shown(target)} is now -> {_shown(relative)}")
    return relative


def _refused(why: str) -> TerminalError:
    return TerminalError("InvalidRuntime", f"cannot use what the build made: {why}")


def _shown(text: str) -> str:
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[:200])
