"""At start: what is on this host of jobs that nobody knows any more is ended and removed.

That happens when the store was restored from a backup, or lost. A job that is in the store is left to
its reconciler.
"""

import os
import re
import select
import shutil
import signal
from collections.abc import Collection, Mapping
from pathlib import Path

from api.meta import ObjectKey
from controller.cgroup.lifecycle import Lifecycle
from controller.job.run_dirs import RunDirs, run_id
from controller.job.run_watch import RunWatch
from controller.launcher import records
from controller.launcher.records import Running

_IS_UID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_DEATH_SECONDS = 5


def sweep(known_uids: Collection[str], dirs: RunDirs, cgroups: Lifecycle, logs: Path | None) -> tuple[str, ...]:
    """End and remove what belongs to no job in `known_uids`, its logs too if `logs` is given; return what did.

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
    for directory in logs.iterdir() if logs is not None else ():
        uid = directory.name.rpartition("_")[2]
        if uid not in known_uids and _IS_UID.fullmatch(uid) and directory.is_dir():
            shutil.rmtree(directory)
            swept.append(directory.name)
    return tuple(dict.fromkeys(swept))


def adopt(keys: Mapping[str, ObjectKey], dirs: RunDirs, watch: RunWatch) -> None:
    """Watch all runs that are running of the jobs `keys`, by uid: so they are counted before any other begins."""
    for uid in dirs.job_uids():
        for attempt in dirs.attempts(uid) if uid in keys else ():
            record = records.observe(dirs.path(uid, attempt))
            if isinstance(record, Running):
                watch.watch(run_id(uid, attempt), keys[uid], record)


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
        # Version 1 does not let go of the cgroup before it is gone.
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        poll.poll(_DEATH_SECONDS * 1000)
    except ProcessLookupError:
        return
    finally:
        os.close(fd)
