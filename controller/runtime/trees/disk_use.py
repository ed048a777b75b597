"""What a tree takes on the disk, and how much of that would stay if it went, because other trees share it."""

import os
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG

from controller.runtime.trees import digest

_BLOCK_BYTES = 512
_OURS = 2
"""The names of a file that only one tree has: one there and one in the store."""


@dataclass(frozen=True, slots=True)
class DiskUse:
    """Bytes on the disk; `shared_bytes` of them are those of files that other trees have too."""

    disk_bytes: int
    shared_bytes: int


def measure(tree: Path) -> DiskUse:
    """Return what `tree` takes: some 50 ms for 10,000 files. What vanishes meanwhile counts as far as it was seen.

    Raises:
        OSError: it cannot be read.
    """
    total = shared = 0
    names: dict[int, tuple[int, int, int]] = {}
    for _, entry in digest.walk(os.fsencode(tree)):
        status = entry.stat(follow_symlinks=False)
        if S_ISREG(status.st_mode) and status.st_nlink > _OURS:
            here = names.get(status.st_ino, (0, 0, 0))[0] + 1
            names[status.st_ino] = (here, status.st_nlink, status.st_blocks)
            continue
        total += status.st_blocks
    for here, everywhere, blocks in names.values():
        total += blocks
        if everywhere > here + 1:  # The one more is the store's.
            shared += blocks
    return DiskUse(total * _BLOCK_BYTES, shared * _BLOCK_BYTES)
