"""The launcher's process: takes the socket, or leaves it to the launcher that has it, and serves.

Started by `client.LauncherClient` with: socket path, its own directory, descriptor to say "ready" on, its cgroup.
"""

import contextlib
import fcntl
import gc
import os
import select
import socket
import sys
import traceback

from controller.cgroup import choose
from controller.cgroup.limits import Limits
from controller.launcher import rehearsal, signals
from controller.launcher.server import STAGE, Launcher
from controller.sandbox.errors import SandboxError

_PROTECTED = b"-900"
_HASTE = -10
_BACKLOG = 128
_LOCK_TRY_SECONDS = 0.02
_LOCK_TRIES = 500
_REHEARSALS = 10
"""So often that the interpreter has specialised the code by the time it is forked (8 calls, PEP 659)."""


def main() -> int:
    """Serve until told to end."""
    socket_path, own_dir, ready_fd, cgroup = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
    os.umask(0o022)
    signals.reset_all()
    # A lock of the process, unlike flock's: supervisors forked by it do not keep it.
    lock_fd = os.open(f"{socket_path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    if not _take_lock(lock_fd, socket_path):
        return 0  # Another launcher has the socket.
    niceness = max(0, os.nice(0))  # Runs are as patient as the daemon was asked to be, and never in its haste.
    _protect()
    if cgroup:
        _go_into(cgroup)
    launcher = Launcher(_listen(socket_path), own_dir, niceness)
    _rehearse(own_dir)
    # Nothing of what lives by now is garbage: so forked supervisors do not touch, and so copy, its pages.
    gc.disable()
    gc.freeze()
    os.write(ready_fd, b"R")
    os.close(ready_fd)
    launcher.serve()
    return 0


def _take_lock(lock_fd: int, socket_path: str) -> bool:
    """Take the lock, of one who has it and does not listen as soon as it has ended; False if it is there to stay."""
    for _ in range(_LOCK_TRIES):
        try:
            fcntl.lockf(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            if _somebody_listens(socket_path):
                return False
            select.select((), (), (), _LOCK_TRY_SECONDS)
        else:
            return True
    return False


def _somebody_listens(socket_path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other:
        return other.connect_ex(socket_path) == 0


def _listen(path: str) -> socket.socket:
    if os.path.exists(path):
        os.unlink(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    before = os.umask(0o177)
    try:
        listener.bind(path)
    finally:
        os.umask(before)
    listener.listen(_BACKLOG)
    return listener


def _go_into(cgroup: str) -> None:
    """Be in this cgroup, and so all supervisors; where there can be none, no run is started either."""
    parent, _, name = cgroup.rpartition("/")
    try:
        lifecycle = choose.open_lifecycle(choose.hierarchies_of_host(), parent)
        lifecycle.create(name, Limits(memory_bytes=None, cpu_millicpu=None, pids=None))
        for fd in lifecycle.open_join_fds(name):
            os.write(fd, b"0")
            os.close(fd)
        lifecycle.close()
    except OSError:
        traceback.print_exc(file=sys.stderr)


def _rehearse(own_dir: str) -> None:
    for _ in range(_REHEARSALS):
        rehearsal.think()
    # Where it cannot be done, nor can any run be, and each says so.
    with contextlib.suppress(SandboxError, OSError):
        for _ in range(_REHEARSALS):
            rehearsal.aside(f"{own_dir}/{STAGE}")


def _protect() -> None:
    """Put this process and its supervisors before the runs, which take it off again, as `job_process` says.

    On a busy host, deadlines are then still kept and output taken away; and out of memory, it takes a run
    before its supervisor, which could not say what happened. Where root may not do so (in a container
    without CAP_SYS_NICE and CAP_SYS_RESOURCE), all are as likely to be taken, and as soon served.
    """
    with contextlib.suppress(PermissionError):
        os.nice(_HASTE)
    fd = os.open("/proc/self/oom_score_adj", os.O_WRONLY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(PermissionError):
            os.write(fd, _PROTECTED)
    finally:
        os.close(fd)


if __name__ == "__main__":
    sys.exit(main())
