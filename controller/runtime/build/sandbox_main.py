"""The process around one build: its cgroup, its deadline, its disk, and the order to end, which is a pipe that closes.

It stays outside of the sandbox; `sandbox_init` is its child, and process 1 of the build's pid namespace, with which all
of the build ends. Standard library, `linux`, `cgroup` and `sandbox` only: it starts in a few dozen milliseconds.
Invariant: it ends only after the build's last process, and then its cgroup is gone.
"""

import json
import os
import select
import signal
import sys
import time
from dataclasses import dataclass

from controller.cgroup import choose
from controller.cgroup.lifecycle import CgroupError, Lifecycle, OomWatch
from controller.linux import namespaces, process, user_namespace
from controller.linux.namespaces import LinuxNamespace
from controller.linux.user_namespace import IdMap
from controller.runtime.build import disk_left, mount_places, order, sandbox_init
from controller.runtime.build.order import BuildEnd, Order, TreeRoot
from controller.runtime.build.sandbox_init import Started

_CHECK_MILLISECONDS = 500
_READ_BYTES = 1 << 16


@dataclass(slots=True)
class _End:
    reason: BuildEnd
    message: str = ""
    exit_code: int | None = None


def main() -> None:
    """Read the order from stdin, carry it out, and write the answer to the descriptor that the first argument names."""
    answer_fd = int(sys.argv[1])
    os.set_inheritable(answer_fd, False)  # noqa: FBT003 - it has no name for it.
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    line = sys.stdin.buffer.readline()
    if not line:
        return
    end = _carry_out(order.from_json(line.decode()))
    answer = {"reason": end.reason, "message": end.message, "exit_code": end.exit_code}
    os.write(answer_fd, json.dumps(answer).encode())


def _carry_out(asked: Order) -> _End:
    try:
        lifecycle = choose.open_lifecycle(choose.hierarchies_of_host(), asked.cgroup_parent)
        lifecycle.create(asked.id, asked.limits)
    except CgroupError as error:
        return _End(BuildEnd.NOT_STARTED, str(error))
    made: tuple[str, ...] = ()
    try:
        made = mount_places.places_to_be_made(asked)
        oom = lifecycle.open_oom_watch(asked.id)
        try:
            started = _start(asked, lifecycle)
            end = _wait(asked, started)
            return _explained(end, oom)
        finally:
            oom.close()
    except OSError as error:
        return _End(BuildEnd.NOT_STARTED, str(error))
    finally:
        if isinstance(asked.root, TreeRoot):
            mount_places.remove_places(asked.root.path, made)
        lifecycle.kill(asked.id)
        lifecycle.remove(asked.id)
        lifecycle.close()


def _start(asked: Order, lifecycle: Lifecycle) -> Started:
    """Fork process 1 of the build; it is in the cgroup before it does anything."""
    join_fds = lifecycle.open_join_fds(asked.id)
    report_read, report_write = os.pipe2(os.O_CLOEXEC)
    lifeline_read, lifeline_write = os.pipe2(os.O_CLOEXEC)
    # Before the pid namespace: from inside, the pid of the namespace's first process is not the one in /proc.
    owners_fd = user_namespace.create(IdMap(sandbox_init.FIRST_ID, sandbox_init.IDS, host_owner=sandbox_init.OWNER))
    namespaces.unshare(LinuxNamespace.PID)
    pid = os.fork()
    if pid == 0:
        process.set_parent_death_signal(signal.SIGKILL)
        os.close(lifeline_write)
        sandbox_init.be_process_1(asked, sandbox_init.Pipes(report_write, lifeline_read, owners_fd, join_fds))
    for fd in (*join_fds, owners_fd, report_write, lifeline_read):
        os.close(fd)
    # The build's output is process 1's and its children's; our copy would keep the pipe open behind them.
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    os.close(null)
    return Started(pid, report_read, lifeline_write)


def _wait(asked: Order, started: Started) -> _End:
    """Wait until it has ended, or end it: at its deadline, on a full disk, when the daemon is gone."""
    poll = select.poll()
    poll.register(started.report_fd, select.POLLIN)
    poll.register(sys.stdin.fileno(), select.POLLIN)
    deadline = time.clock_gettime(time.CLOCK_BOOTTIME) + asked.timeout_seconds
    report = bytearray()
    end: _End | None = None
    while True:
        ready = {fd for fd, _ in poll.poll(_CHECK_MILLISECONDS)}
        if started.report_fd in ready:
            piece = os.read(started.report_fd, _READ_BYTES)
            report += piece
            if not piece:
                break
        if end is None:
            end = _reason_to_end(asked, deadline, orphaned=sys.stdin.fileno() in ready)
            if end is not None:
                os.kill(started.pid, signal.SIGKILL)
                poll.unregister(sys.stdin.fileno())
    _, status = os.waitpid(started.pid, 0)
    return end or _read_report(bytes(report), status)


def _reason_to_end(asked: Order, deadline: float, *, orphaned: bool) -> _End | None:
    if orphaned:
        return _End(BuildEnd.LOST, "whoever asked for the build is gone")
    if time.clock_gettime(time.CLOCK_BOOTTIME) >= deadline:
        return _End(BuildEnd.DEADLINE, f"it took longer than its {asked.timeout_seconds:g} seconds")
    if left := disk_left.lacking(os.statvfs(asked.scratch), asked.space_floor_bytes):
        return _End(BuildEnd.NO_SPACE, left)
    return None


def _read_report(report: bytes, status: int) -> _End:
    """Return what process 1 said: why there is no sandbox, or how the command ended."""
    try:
        document = json.loads(report)
    except ValueError:
        code = os.waitstatus_to_exitcode(status)
        return _End(BuildEnd.SIGNALLED, f"process 1 of the build ended with {code} and said nothing", None)
    if "error" in document:
        return _End(BuildEnd.NOT_STARTED, document["error"])
    code = os.waitstatus_to_exitcode(document["status"])
    if code < 0:
        return _End(BuildEnd.SIGNALLED, f"it was ended by {signal.Signals(-code).name}", 128 - code)
    return _End(BuildEnd.EXITED, f"it ended with exit code {code}", code)


def _explained(end: _End, oom: OomWatch) -> _End:
    """Blame the memory limit where a process was killed for it and the build did not end well."""
    killed = oom.killed_count()
    if killed and end.exit_code != 0 and end.reason in (BuildEnd.EXITED, BuildEnd.SIGNALLED):
        return _End(BuildEnd.OUT_OF_MEMORY, "it used more memory than its limit", end.exit_code)
    return end
