"""The nursery: a process that forks supervisors for the launcher and does nothing else.

A fork makes every page of memory that either side writes to afterwards one to be copied, some 3 µs each. The launcher
wrote to 350 after each fork; the nursery, which only waits and forks, writes to 40. Its children are the launcher's
(CLONE_PARENT), which reaps them, and hold none of the launcher's descriptors but those that are theirs.

Invariant: it ends with the launcher; without it, the launcher makes another.
"""

import contextlib
import errno
import json
import os
import signal
import socket
import sys
import traceback
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NoReturn

from controller.cgroup import choose
from controller.cgroup.detect import Hierarchies
from controller.cgroup.lifecycle import Lifecycle
from controller.launcher import job_process, signals, supervisor
from controller.launcher.receipt import Surroundings
from controller.launcher.slots import Slot
from controller.launcher.supervisor import Likely, Post
from controller.linux import libc, process
from controller.linux.namespaces import LinuxNamespace

_PATIENCE_SECONDS = 5.0
_READ_BYTES = 1 << 16
_FDS = 3
_CLONE_PARENT = 0x00008000
_PR_SET_NAME = 15
_OWN_SIGNALS = (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT)


class NurseryGone(OSError):
    """It ended, or hangs, before it answered: whatever it forked meanwhile has no launcher to get a run from."""


@dataclass(frozen=True, slots=True)
class Equipment:
    """What all supervisors of a launcher have in common."""

    hierarchies: Hierarchies
    seccomp: bytes
    staging: str
    boot_id: str
    host_mounts_fd: int
    runs_niceness: int
    surroundings: Surroundings


class Nursery:
    """The launcher's side of it. The process is forked when it is first needed."""

    def __init__(self, equipment: Equipment) -> None:
        self._equipment = equipment
        self._socket: socket.socket | None = None
        self.pid = 0
        """The process, to be reaped by who has made this; 0 if there is none."""

    def fork(
        self, slot: Slot, channel: socket.socket, control_path: str, parents: Iterable[str], likely: Likely
    ) -> int:
        """Have a supervisor forked, as the first process of a new pid namespace and a child of ours; return its pid.

        Args:
            parents: of cgroups that runs may be in, for the nursery to have open.
            likely: where its run is expected to be.

        Raises:
            NurseryGone: there is no telling if it was; nobody else may be given `channel`.
            OSError: there may be no more processes.
        """
        order = {"slot": slot.number, "control": control_path, "parents": list(parents), "likely": likely}
        answer = self._ask(json.dumps(order).encode(), (channel.fileno(), slot.lock_fd, slot.user_namespace_fd))
        if "pid" not in answer:
            raise OSError(answer["errno"], answer["error"])
        return int(answer["pid"])

    def end(self) -> None:
        """Have the process end, whatever it is at."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self.pid:
            with contextlib.suppress(ProcessLookupError):  # It is a child that was not reaped so far: so nobody else.
                os.kill(self.pid, signal.SIGKILL)

    def _ask(self, order: bytes, fds: tuple[int, ...]) -> dict[str, int]:
        connection = self._socket or self._start()
        try:
            socket.send_fds(connection, [order], fds)
            text = connection.recv(_READ_BYTES)
        except OSError as error:
            self.end()
            raise NurseryGone(errno.EPIPE, f"the nursery of supervisors hangs or has ended: {error}") from error
        if not text:
            self.end()
            raise NurseryGone(errno.EPIPE, "the nursery of supervisors has ended")
        answer: dict[str, int] = json.loads(text)
        return answer

    def _start(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            self.pid = os.fork()
            if self.pid == 0:
                _serve_and_exit(theirs, self._equipment)
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        ours.settimeout(_PATIENCE_SECONDS)
        self._socket = ours
        return ours


def _serve_and_exit(orders: socket.socket, equipment: Equipment) -> NoReturn:
    code = 1
    try:
        signals.forget(_OWN_SIGNALS)
        _keep_only((orders.fileno(), equipment.host_mounts_fd))
        libc.syscall("prctl", _PR_SET_NAME, b"rnx-nursery", purpose="name the process")
        job_process.be_as_jobs_are()
        _serve(orders, equipment, {})
        code = 0
    except BaseException:  # noqa: BLE001 - whatever it is, this process must not go on as a second launcher
        traceback.print_exc(file=sys.stderr)
    finally:
        os._exit(code)


def _keep_only(kept: Iterable[int]) -> None:
    first = sys.__stderr__.fileno() + 1 if sys.__stderr__ is not None else 3
    for fd in sorted(kept):
        if first < fd:
            process.close_range(first, fd - 1)
        first = fd + 1
    process.close_range(first, process.LAST_FD)


def _serve(orders: socket.socket, equipment: Equipment, lifecycles: dict[str, Lifecycle]) -> None:
    while True:
        text, fds, _, _ = socket.recv_fds(orders, _READ_BYTES, _FDS, socket.MSG_CMSG_CLOEXEC)
        if not text:
            return
        order = json.loads(text)
        _open_those_new(order["parents"], equipment.hierarchies, lifecycles)
        channel_fd, lock_fd, user_namespace_fd = fds
        try:
            pid = process.clone(_CLONE_PARENT | LinuxNamespace.PID)
        except OSError as error:
            orders.send(json.dumps({"errno": error.errno, "error": str(error)}).encode())
        else:
            if pid == 0:
                slot = Slot(order["slot"], lock_fd, user_namespace_fd)
                channel = socket.socket(fileno=channel_fd)
                likely = Likely(*order["likely"])
                post = _post(equipment, lifecycles, slot, channel, order["control"], likely, orders.fileno())
                supervisor.supervise_and_exit(post)
            orders.send(b'{"pid":%d}' % pid)
        for fd in fds:
            os.close(fd)


def _open_those_new(parents: list[str], hierarchies: Hierarchies, lifecycles: dict[str, Lifecycle]) -> None:
    for parent in parents:
        if parent not in lifecycles:
            with contextlib.suppress(OSError, ValueError):  # The supervisor whose run it is will say so.
                lifecycles[parent] = choose.open_lifecycle(hierarchies, parent)


def _post(
    equipment: Equipment,
    lifecycles: dict[str, Lifecycle],
    slot: Slot,
    channel: socket.socket,
    control_path: str,
    likely: Likely,
    orders_fd: int,
) -> Post:
    return Post(
        slot=slot,
        channel=channel,
        hierarchies=equipment.hierarchies,
        lifecycles=lifecycles,
        seccomp=equipment.seccomp,
        staging=equipment.staging,
        control_path=control_path,
        boot_id=equipment.boot_id,
        host_mounts_fd=equipment.host_mounts_fd,
        runs_niceness=equipment.runs_niceness,
        likely=likely,
        launchers_fds=(orders_fd,),
        surroundings=equipment.surroundings,
    )
