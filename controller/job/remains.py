"""Removing what a run leaves on the host: its processes, its cgroup and its directory; whoever had it started."""

import contextlib
import os
import select
import shutil
from collections.abc import Collection
from pathlib import Path

from controller.cgroup.lifecycle import CgroupBusy, Lifecycle
from controller.job.run_dirs import RunDirs, run_id
from controller.launcher import records
from controller.linux import pidfd

_DEATH_SECONDS = 2


def remove(cgroups: Lifecycle, dirs: RunDirs, uid: str, attempt: int, *, to_its_end: bool = False) -> None:
    """Remove what is left of a run that has ended; there may be nothing.

    `to_its_end` is for one whose supervisor keeps something for life that others wait for: it is waited for.

    Raises:
        CgroupError: something of it is still there, and does not go.
        OSError: its directory cannot be removed.
    """
    identity = run_id(uid, attempt)
    cgroups.kill(identity)  # Nothing of it is left, unless its supervisor was killed.
    try:
        cgroups.remove(identity)
    except CgroupBusy:
        # We were told of the end a moment before the supervisor was gone, and version 1 waits for that.
        _await_supervisor(dirs, uid, attempt)
        cgroups.remove(identity)
    if to_its_end:
        with contextlib.suppress(FileNotFoundError):
            _await_supervisor(dirs, uid, attempt)
    dirs.remove(uid, attempt)


def remove_old_logs(root: Path, on_record: Collection[int], begun: int) -> None:
    """Remove the logs below `root` of runs that were on record and are no more: nobody can name them.

    So a job of ever so many runs has the logs of some. Up to `begun` they all were; a higher one has still to be.
    """
    with contextlib.suppress(FileNotFoundError):
        attempts = [int(name) for name in os.listdir(root) if name.isdecimal()]
        for attempt in attempts:
            if attempt <= begun and attempt not in on_record:
                shutil.rmtree(root / str(attempt), ignore_errors=True)


def await_death(pidfd_of_it: int) -> None:
    """Return when the process has ended, or after a short while if it does not."""
    poll = select.poll()
    poll.register(pidfd_of_it, select.POLLIN)
    poll.poll(_DEATH_SECONDS * 1000)


def _await_supervisor(dirs: RunDirs, uid: str, attempt: int) -> None:
    directory_fd = os.open(dirs.path(uid, attempt), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        claim = records.read_claim(directory_fd)
    finally:
        os.close(directory_fd)
    if claim is None or not claim.pid:
        return
    with contextlib.suppress(ProcessLookupError):
        fd = pidfd.open_identified(claim.pid, claim.start_time)
        try:
            await_death(fd)
        finally:
            os.close(fd)
