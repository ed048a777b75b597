"""Carrying a finished tree out of the root that it was built in, and knowing what a step has changed in that root.

Only what is wanted of the root is moved; `taken_out.py` takes a whole tree instead. Never here: which paths are wanted.
Invariants: no link of the root is followed; owners become ours, modes 0755 or 0644, nothing is setuid; devices, pipes
and links that leave the tree are refused; what is generated gets one fixed time.
"""

import os
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from api.packages import links
from controller.engine.errors import TerminalError
from controller.runtime.build.commands import BUILD_FAILED

FIXED_TIME = 946684800
"""The time of all that a build generates: 2000-01-01; the zip format, for one, knows no earlier year than 1980."""


@dataclass(frozen=True, slots=True)
class Mark:
    """What tells a changed entry from an unchanged one. The kernel keeps `changed_ns`; nothing in a root can set it."""

    mode: int
    size_bytes: int
    inode: int
    changed_ns: int

    @property
    def is_directory(self) -> bool:
        """Whether it is one."""
        return stat.S_ISDIR(self.mode)


Marks = Mapping[str, Mark]
"""Every entry of a root, by path without a leading slash."""


def look(root: Path) -> dict[str, Mark]:
    """Return what is in `root` now."""
    return {path: Mark(found.st_mode, found.st_size, found.st_ino, found.st_ctime_ns) for path, found in _walk(root)}


def changed(before: Marks, now: Marks) -> frozenset[str]:
    """Return the paths that are new, or other than before; directories only if they are new."""
    return frozenset(
        path for path, mark in now.items() if before.get(path) != mark and not (mark.is_directory and path in before)
    )


def carry(root: Path, tree: Path, is_carried: Callable[[str], bool], is_generated: Callable[[str], bool]) -> int:
    """Move what `is_carried` from `root` to the empty directory `tree`; return how many files and links that were.

    Raises:
        TerminalError: BuildFailed, something in it may not be in a runtime.
    """
    targets: dict[str, str] = {}
    made = {""}
    count = 0
    for path, found in list(_walk(root)):
        if not is_carried(path):
            continue
        is_directory = stat.S_ISDIR(found.st_mode)
        _make_directories(tree, path if is_directory else path.rpartition("/")[0], made)
        if is_directory:
            continue
        os.rename(root / path, tree / path)
        normalise(tree, path, found, generated=is_generated(path))
        count += 1
        if stat.S_ISLNK(found.st_mode):
            targets[f"{links.ISOLATED}/{path}"] = os.readlink(tree / path)
    _refuse_escapes(targets)
    return count


def refuse_links(tree: Path, directories: tuple[str, ...]) -> None:
    """Refuse a tree in which one of `directories`, or what they lie in, is a link: written through, it would be ours.

    Raises:
        TerminalError: BuildFailed.
    """
    for path in directories:
        at = tree
        for part in path.split("/"):
            at = at / part
            if at.is_symlink():
                why = f"/{at.relative_to(tree)} is a link: leave it a directory"
                raise TerminalError(BUILD_FAILED, f"cannot carry the tree out of the build: {why}")


def settle(tree: Path, before: Marks) -> None:
    """Normalise what a command has changed in a finished tree since `before`.

    Raises:
        TerminalError: BuildFailed, something in it may not be in a runtime.
    """
    targets = {}
    for path, found in list(_walk(tree)):
        if stat.S_ISLNK(found.st_mode):
            targets[f"{links.ISOLATED}/{path}"] = os.readlink(tree / path)
        if before.get(path) == Mark(found.st_mode, found.st_size, found.st_ino, found.st_ctime_ns):
            continue
        if stat.S_ISDIR(found.st_mode):
            (tree / path).chmod(0o755)
        else:
            normalise(tree, path, found, generated=True)
    _refuse_escapes(targets)


def _refuse_escapes(targets: Mapping[str, str]) -> None:
    if escape := links.first_escape(targets):
        raise TerminalError(BUILD_FAILED, f"cannot carry the tree out of the build: the link {escape}")


def normalise(tree: Path, path: str, found: os.stat_result, *, generated: bool) -> None:
    """Make the file or link `path` of `tree` ours, readable for all, and of a fixed time if it was generated.

    Raises:
        TerminalError: BuildFailed, it is neither.
    """
    target = tree / path
    if not (stat.S_ISREG(found.st_mode) or stat.S_ISLNK(found.st_mode)):
        why = "it is no file, directory or link"
        raise TerminalError(BUILD_FAILED, f"cannot carry /{path} out of the build: {why}: remove it in run")
    os.chown(target, os.getuid(), os.getgid(), follow_symlinks=False)
    if stat.S_ISREG(found.st_mode):
        target.chmod(0o755 if found.st_mode & 0o111 else 0o644)
    if generated or stat.S_ISLNK(found.st_mode):  # The time of a link tells nothing.
        os.utime(target, (FIXED_TIME, FIXED_TIME), follow_symlinks=False)


def _make_directories(tree: Path, path: str, made: set[str]) -> None:
    at = ""
    for part in path.split("/") if path else ():
        at = f"{at}/{part}" if at else part
        if at not in made:
            (tree / at).mkdir()
            (tree / at).chmod(0o755)
            made.add(at)


def _walk(root: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Yield every entry below `root`, by name, following no link; directories before what is in them."""
    left = [""]
    while left:
        directory = left.pop()
        if directory:
            yield directory, os.lstat(root / directory)
        with os.scandir(root / directory) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
        below = []
        for entry in found:
            path = f"{directory}/{entry.name}" if directory else entry.name
            if entry.is_dir(follow_symlinks=False):
                below.append(path)
            else:
                yield path, entry.stat(follow_symlinks=False)
        left += reversed(below)
