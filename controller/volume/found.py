"""What is found of volumes and snapshots on the disk, as plain data, and why nothing can be done to one now."""

import errno
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Found:
    """What there is of a volume: `capacity_bytes` as it was last made or grown to; usage where it can be seen."""

    capacity_bytes: int
    is_mounted: bool = False
    used_bytes: int | None = None
    is_being_copied: bool = False
    damage: str = ""  # What is wrong with its file system, and what to do; empty if nothing is known to be.
    used_anew_in_seconds: float | None = None  # If the usage is of a while ago.


@dataclass(frozen=True, slots=True)
class Taken:
    """What there is of a snapshot: of which moment, in seconds since the epoch, and what it takes of the disk."""

    size_bytes: int
    at: float
    disk_bytes: int


class BeingCopied(OSError):
    """It is held still for as long as a copy of it takes: nothing else is done to it meanwhile."""

    def __init__(self, what: str = "it is being copied") -> None:
        """Say so as the kernel would."""
        super().__init__(errno.EBUSY, f"{what}: it is tried again when that is done")


class CannotGrowInUse(Exception):
    """Its file system can be made larger only while nobody uses it, on this host."""


class Damaged(OSError):
    """Its file system cannot be used as it is; the message says what is wrong with it, and what to do."""

    def __init__(self, why: str) -> None:
        """Say so as the kernel would."""
        super().__init__(errno.EUCLEAN, why)
        self.why = why
