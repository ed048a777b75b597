"""Trees that were replaced while runs used them: kept aside, out of sight, until those have ended.

    ROOT/.runwright/retired/NAME-VERSION~N/

A run holds the directories of its tree, whatever they are called by now, so it goes on undisturbed; new ones get the
tree that took the name. Never here: which runs there are.
Invariant: a tree is in its place or here, at every instant; it goes only when `remove` is told so.
"""

import errno
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from controller.linux import disk
from controller.linux.disk import RenameFlag
from controller.linux.libc import SyscallError
from controller.linux.removal import remove_tree
from controller.runtime.trees import origin

_DIRECTORY = "retired"


@dataclass(frozen=True, slots=True)
class Retired:
    """A tree that was the one of `key` (NAME-VERSION) until `at`: a run that started before then may still use it."""

    key: str
    at: datetime
    path: Path


def directory(root: Path) -> Path:
    """Return where the retired trees of `root` are, if there are any."""
    return root / origin.RECORDS / _DIRECTORY


def exchange(root: Path, called: str, payload: Path, target: Path) -> None:
    """Put `payload` in the place of the tree `target`, and that among the retired, in one instant."""
    place = directory(root)
    place.mkdir(mode=0o700, exist_ok=True)
    number = 1
    while True:
        aside = place / f"{called}~{number}"
        try:
            disk.rename(payload, aside, RenameFlag.NOREPLACE)
            break
        except SyscallError as error:
            if error.errno != errno.EEXIST:
                raise
            number += 1
    # A crash here leaves a tree among the retired that nobody ever used: it goes like the others.
    disk.rename(aside, target, RenameFlag.EXCHANGE)
    disk.sync_directory(place)


def find(root: Path) -> tuple[Retired, ...]:
    """Return the retired trees, oldest first."""
    try:
        with os.scandir(directory(root)) as entries:
            # Its last renaming is the last thing that happened to the directory itself.
            found = [
                Retired(
                    entry.name.rpartition("~")[0],
                    datetime.fromtimestamp(entry.stat(follow_symlinks=False).st_ctime, UTC),
                    Path(entry.path),
                )
                for entry in entries
            ]
    except FileNotFoundError:
        return ()
    return tuple(sorted(found, key=lambda retired: (retired.at, retired.path)))


def remove(retired: Retired) -> None:
    """Remove a tree that no run uses any more, however deep it is; cut off, the next call goes on.

    Raises:
        OSError: it cannot be removed.
    """
    remove_tree(retired.path)
