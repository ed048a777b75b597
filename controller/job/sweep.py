"""At start: what is on this host of jobs that nobody knows any more is ended and removed.

That happens when the store was restored from a backup, or lost. A job that is in the store is left to
its reconciler.
"""

import os
import shutil
import signal
from collections.abc import Collection
from pathlib import Path

from controller.cgroup.lifecycle import Lifecycle
from controller.job.run_dirs import RunDirs, run_id
from controller.launcher import records
from controller.launcher.records import Running


def sweep(known_uids: Collection[str], dirs: RunDirs, cgroups: Lifecycle, logs: Path) -> tuple[str, ...]:
    """End and remove what belongs to no job in `known_uids`; return the runs and logs that did.

    Raises:
        OSError: something cannot be removed.
    """
    swept = []
    for uid in dirs.job_uids():
        if uid in known_uids:
            continue
        for attempt in dirs.attempts(uid):
            _end(dirs, cgroups, uid, attempt)
            swept.append(run_id(uid, attempt))
    for name in cgroups.names():
        if name.rpartition("-")[0] not in known_uids:
            cgroups.kill(name)
            cgroups.remove(name)
            swept.append(name)
    for directory in logs.iterdir():
        if directory.name.rpartition("_")[2] not in known_uids:
            shutil.rmtree(directory)
            swept.append(directory.name)
    return tuple(dict.fromkeys(swept))


def _end(dirs: RunDirs, cgroups: Lifecycle, uid: str, attempt: int) -> None:
    name = run_id(uid, attempt)
    record = records.observe(dirs.path(uid, attempt))
    cgroups.kill(name)
    if isinstance(record, Running):
        _kill_supervisor(record)
    cgroups.remove(name)
    dirs.remove(uid, attempt)


def _kill_supervisor(running: Running) -> None:
    try:
        fd = running.hold()
    except ProcessLookupError:
        return
    try:
        signal.pidfd_send_signal(fd, signal.SIGKILL)
    except ProcessLookupError:
        return
    finally:
        os.close(fd)
