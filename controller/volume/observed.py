"""What there is of a volume on the host, as plain data, and the steps that its plan is made of."""

from dataclasses import dataclass

from api.types.volume import VolumeReason
from controller.volume.found import Found
from controller.volume.modes import User


@dataclass(frozen=True, slots=True)
class Problem:
    """Why no run can have the volume, nor can it be made."""

    reason: VolumeReason
    message: str


@dataclass(frozen=True, slots=True)
class ObservedVolume:
    """All that a plan for a volume is decided from, beside the volume itself.

    `wanted_bytes` is its size once defaults are filled in; `problem` why it cannot be had; `copied_by` what is to be
    made of it; `too_large` why it is to stay as large as it is, though it was asked to be larger.
    """

    wanted_bytes: int
    found: Found | None = None
    users: tuple[User, ...] = ()
    problem: Problem | None = None
    is_gone: bool = False
    copied_by: tuple[str, ...] = ()
    too_large: str = ""


@dataclass(frozen=True, slots=True)
class Make:
    """Make it."""

    size_bytes: int


@dataclass(frozen=True, slots=True)
class Grow:
    """Have it hold so much."""

    size_bytes: int


@dataclass(frozen=True, slots=True)
class Detach:
    """Unmount it: no run has it."""


@dataclass(frozen=True, slots=True)
class Trim:
    """Remove the oldest files of a cache."""


@dataclass(frozen=True, slots=True)
class Remove:
    """Remove it and what it holds."""


@dataclass(frozen=True, slots=True)
class Retain:
    """Unmount it and leave what it holds on the disk."""
