"""Where files that must not be on a disk wait for their run: a file system in memory, of root alone.

`PLACE/JOB_UID/ATTEMPT/`; the run's directory on the disk is made before it and removed after it, so nothing is left
here that nobody looks for. Invariant: what is no file system in memory, or was made by somebody else, is not used.
"""

import errno
import os
import shutil
import stat
from collections.abc import Sequence
from pathlib import Path

_TRIES = 100
_IN_MEMORY = frozenset(("tmpfs", "ramfs"))


class NoMemoryPlace(OSError):
    """There is no place for secret files on this host; the message says where it was looked for, and what to do."""


class MemoryPlace:
    """Directories in memory, one a run."""

    def __init__(self, candidates: Sequence[Path]) -> None:
        """Use the first of `candidates` that is in memory; they are made as they are needed."""
        self._candidates = candidates

    def make(self, job_uid: str, attempt: int) -> Path:
        """Make the directory of a run; it may be there.

        Raises:
            NoMemoryPlace: none of the candidates is in memory, or the place is somebody else's.
        """
        place = self._place()
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        for _ in range(_TRIES):
            try:
                _make_private(place)
                for directory in (place / job_uid, place / job_uid / str(attempt)):
                    directory.mkdir(mode=0o700, exist_ok=True)
            except FileNotFoundError:
                continue  # The last of others was removed, and the place with it.
            return place / job_uid / str(attempt)
        raise NoMemoryPlace(errno.EAGAIN, f"cannot keep secret files in {place}: it is removed again and again")

    def remove(self, job_uid: str, attempt: int) -> None:
        """Remove the directory of a run; it may be gone."""
        for place in self._candidates:
            directory = place / job_uid / str(attempt)
            if not directory.exists():
                continue
            shutil.rmtree(directory)
            for above in (directory.parent, place):
                try:
                    above.rmdir()
                except OSError:
                    break  # Others of it are still there.

    def _place(self) -> Path:
        mounts = _mounts()
        for place in self._candidates:
            if _file_system_of(place, mounts) in _IN_MEMORY:
                return place
        looked = ", ".join(str(place.parent) for place in self._candidates)
        raise NoMemoryPlace(
            errno.ENODEV, f"cannot keep secret files off the disk: none of {looked} is in memory: mount a tmpfs there"
        )


def _make_private(place: Path) -> None:
    try:
        place.mkdir(mode=0o700)
    except FileExistsError:
        found = place.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
            why = f"cannot keep secret files in {place}: somebody else made it: remove it"
            raise NoMemoryPlace(errno.EPERM, why) from None


def _mounts() -> dict[str, str]:
    """Return the file system of each mount point; of several at one place the last, which covers the others."""
    lines = Path("/proc/self/mounts").read_text().splitlines()
    return {words[1]: words[2] for words in map(str.split, lines)}


def _file_system_of(place: Path, mounts: dict[str, str]) -> str:
    existing = next(path for path in (place, *place.parents) if path.exists()).resolve()
    return next(mounts[str(path)] for path in (existing, *existing.parents) if str(path) in mounts)
