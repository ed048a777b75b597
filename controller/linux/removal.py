"""Removing a tree that somebody else wrote, however deep it is and whatever its permissions are.

`shutil.rmtree` walks by recursion, so a script that makes directories in directories ten thousand times would
leave what nobody can remove. Here deep ones are moved up instead: nothing recurses.
"""

import itertools
import os
import stat
from pathlib import Path

_AT_ONCE = 10_000


def remove_tree(path: Path | str, *, dir_fd: int | None = None) -> None:
    """Remove the directory `path` and all that is in it; links are removed, not followed. Not there: nothing to do.

    Args:
        dir_fd: the open directory that a relative `path` begins at.

    Raises:
        OSError: something in it cannot be removed, as a mount cannot.
    """
    try:
        top = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=dir_fd)
    except FileNotFoundError:
        return
    try:
        _empty(top)
    finally:
        os.close(top)
    os.rmdir(path, dir_fd=dir_fd)


def _empty(top: int) -> None:
    """Take each directory of `top` in turn: its files go, its directories become directories of `top`."""
    numbers = itertools.count()
    while names := _some_names(top):
        for name in names:
            if _remove_or_note(top, name):
                _lift(top, name, numbers)


def _some_names(directory: int) -> list[str]:
    """Return what is in a directory, no more at once than fits in memory: whoever has dealt with it asks again."""
    with os.scandir(directory) as entries:
        return [entry.name for entry in itertools.islice(entries, _AT_ONCE)]


def _remove_or_note(parent: int, name: str) -> bool:
    """Remove `name` unless it is a directory; say whether it is one."""
    if stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
        return True
    os.unlink(name, dir_fd=parent)
    return False


def _lift(top: int, name: str, numbers: "itertools.count[int]") -> None:
    directory = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=top)
    try:
        while names := _some_names(directory):
            for below in names:
                if _remove_or_note(directory, below):
                    os.rename(below, _free_name(top, numbers), src_dir_fd=directory, dst_dir_fd=top)
    finally:
        os.close(directory)
    os.rmdir(name, dir_fd=top)


def _free_name(top: int, numbers: "itertools.count[int]") -> str:
    while True:
        name = f".removed-{next(numbers)}"
        try:
            os.stat(name, dir_fd=top, follow_symlinks=False)
        except FileNotFoundError:
            return name
