"""Claiming a run for its supervisor: the files that it leaves in its directory, made ahead of it or there and then.

Invariant: a run is claimed only when its record has its room on the disk; one that is not is left without a trace.
"""

import errno
import os
from dataclasses import dataclass

from controller.launcher import blank, recording
from controller.launcher.records import Claim

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Blanks:
    """The files of a run, made before it; see `blank`. `exit` has the room of its record."""

    claim: int | None
    log: int | None
    exit: int | None


@dataclass(frozen=True, slots=True)
class Place:
    """A claimed run's directory, and the file of its record to be; None where there are no files without names."""

    run_dir_fd: int
    exit_fd: int | None


def make_blanks(directory: str) -> Blanks:
    """Make what can be made on the disk of `directory`; whether there is room when there is a run is another matter."""
    exit_fd = blank.make(directory)
    if exit_fd is not None:
        try:
            recording.reserve(exit_fd)
        except OSError:
            os.close(exit_fd)
            exit_fd = None
    return Blanks(blank.make(directory), blank.make(directory, append=True), exit_fd)


def take_place(run_dir: str, claim: Claim, blanks: Blanks) -> Place | None:
    """Claim the run, once there is room for its record; None if it was claimed before.

    Raises:
        OSError: the disk refused: then it is not claimed.
    """
    try:
        run_dir_fd = os.open(run_dir, _DIRECTORY)
        exit_fd = _with_room(run_dir, run_dir_fd, blanks.exit)
        claim_fd = recording.place_claim(run_dir_fd, claim, blanks.claim)
    except OSError as error:
        fix = ": make room on its disk" if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
        raise OSError(f"cannot claim the run in {run_dir}: {error.strerror}{fix}") from error
    if claim_fd is None:
        return None
    os.close(claim_fd)  # Not made durable: see `records`.
    return Place(run_dir_fd, exit_fd)


def _with_room(run_dir: str, run_dir_fd: int, exit_fd: int | None) -> int | None:
    """Return a file without a name that has its room on this disk; None where there are none: it is made later."""
    if exit_fd is not None:
        if os.fstat(exit_fd).st_dev == os.fstat(run_dir_fd).st_dev:
            return exit_fd
        os.close(exit_fd)
    exit_fd = blank.make(run_dir)
    if exit_fd is not None:
        recording.reserve(exit_fd)
    return exit_fd
