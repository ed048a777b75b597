"""A supervisor's life while its job runs: output to the log, signals, orders, the deadline, memory, orphans.

Here: one poll over everything that may happen, until the job's main process has ended and all else is gone with it.
Never here: making the sandbox, writing the record (`supervisor`).
"""

import contextlib
import fcntl
import os
import select
import signal
import socket
import termios
import time
from collections.abc import Callable
from dataclasses import dataclass
from struct import Struct

from controller.cgroup.io_lift import IoLift
from controller.cgroup.lifecycle import OomWatch
from controller.launcher import job_process, outcome
from controller.launcher.control import Command, ControlFifo
from controller.launcher.job_stdin import JobStdin
from controller.launcher.log_writer import LogWriter
from controller.launcher.outcome import Ending
from controller.launcher.records import Reason

_READ_BYTES = 65536
_INT = Struct("i")
_MAX_WAIT_SECONDS = 86400.0
_OOM_LOOKS_SECONDS = (0.01, 0.05, 0.2, 1.0, 5.0)
"""When to look again for who was killed: version 1 tells all runs of it, and before the kernel has chosen."""


def boot_seconds() -> float:
    """Return seconds since boot, those included that the machine was suspended for."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(frozen=True, slots=True)
class Held:
    """A job's process that waits for its moment: where it tells of its start, and who is told then."""

    orders: socket.socket
    began: Callable[[int], None]


class RunLoop:
    """What goes on around one job's main process; `run` is called once.

    Args:
        outputs: read ends of the job's pipes, each with its stream's name in the log.
        wakeup_fd: readable after a signal; `signals_seen` tells which.
        stdin: the job's standard input, if it has one to be ended.
        held: a job's process that has not begun: its deadline counts from its start.
    """

    def __init__(
        self,
        job_pid: int,
        outputs: dict[int, bytes],
        log: LogWriter,
        control: ControlFifo,
        oom: OomWatch,
        io_lift: IoLift,
        wakeup_fd: int,
        deadline_seconds: float | None,
        grace_seconds: float,
        stdin: JobStdin | None = None,
        held: Held | None = None,
    ) -> None:
        self._job_pid = job_pid
        self._outputs = dict(outputs)
        self._log = log
        self._control = control
        self._oom = oom
        self._io_lift = io_lift
        self._wakeup_fd = wakeup_fd
        self._grace_seconds = grace_seconds
        self._stdin = stdin
        self._held = held
        self._deadline_seconds = deadline_seconds
        self._deadline_at: float | None = None
        if held is None:
            self._count_to_the_deadline()
        self._kill_at: float | None = None
        self._look_at: float | None = None
        self._oom_looks: list[float] = []
        self._wait_status: int | None = None
        self.ending: Ending | None = None
        self._poll = select.poll()
        self._actions: dict[int, Callable[[int], None]] = {
            wakeup_fd: self._on_signal,
            control.fd: self._on_command,
            oom.fileno(): self._on_oom,
            **dict.fromkeys(outputs, self._on_output),
            **({} if held is None else {held.orders.fileno(): self._on_start}),
        }
        for fd in self._actions:
            self._poll.register(fd, select.POLLIN)
        for fd in outputs:
            os.set_blocking(fd, False)

    def run(self) -> int:
        """Return the wait status of the job's main process, once nothing is left of it and its output is logged."""
        # Either may have happened before anything could wake us.
        if self._oom.killed_count():
            self._on_oom(self._oom.fileno())
        self._reap(os.WNOHANG)
        while self._wait_status is None:
            for fd, _ in self._poll.poll(self._wait_milliseconds()):
                self._actions[fd](fd)
            self._check_times()
        self._kill_everything()
        self._reap(0)
        if self._held is not None:
            self._on_start(self._held.orders.fileno())
        for fd in list(self._outputs):
            self._take_what_is_left(fd)
        self._log.finish()
        return self._wait_status

    def _wait_milliseconds(self) -> float:
        times = [at for at in (self._deadline_at, self._kill_at, self._look_at) if at is not None]
        wait = min(min(times) - boot_seconds(), _MAX_WAIT_SECONDS) if times else _MAX_WAIT_SECONDS
        return max(0.0, wait) * 1000 + 1

    def _check_times(self) -> None:
        now = boot_seconds()
        if self._look_at is not None and now >= self._look_at:
            self._look_for_oom_kills()
        if self._kill_at is not None and now >= self._kill_at:
            self._kill_at = None
            self._kill_everything()
        if self._deadline_at is not None and now >= self._deadline_at:
            self._deadline_at = None
            self._end(Ending(Reason.DEADLINE_EXCEEDED, "the run took longer than its deadline"), self._grace_seconds)

    def _end(self, ending: Ending, grace_seconds: float) -> None:
        """Ask the job to end and see to it that it does. The first reason counts; the shortest grace does."""
        self._deadline_at = None
        first = self.ending is None
        self.ending = self.ending or ending
        kill_at = boot_seconds() + max(0.0, grace_seconds)
        self._kill_at = kill_at if first or self._kill_at is None else min(self._kill_at, kill_at)
        if first:
            _signal_group(self._job_pid, signal.SIGTERM)

    def _kill_everything(self) -> None:
        self._io_lift.lift()  # What waits for a disk dies only when it had its turn.
        # As the first process of its pid namespace: -1 is all of that but this process.
        with contextlib.suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)

    def _on_signal(self, fd: int) -> None:
        numbers = os.read(fd, 4096)
        if signal.SIGTERM in numbers or signal.SIGINT in numbers:
            self._end(Ending(Reason.STOPPED, "the supervisor was told to end"), self._grace_seconds)
        self._reap(os.WNOHANG)

    def _on_command(self, _fd: int) -> None:
        for command in self._control.read():
            self._obey(command)

    def _obey(self, command: Command) -> None:
        match command:
            case {"op": "stop", "reason": str(reason), "grace_seconds": int() | float() as grace_seconds}:
                self._end(Ending(reason, "stopped as asked for"), float(grace_seconds))
            case {"op": "take_back", "reason": str(reason)} if self._is_held():
                self._end(Ending(reason, "taken back"), 0)
            case {"op": "deadline", "seconds": None | int() | float() as seconds} if self.ending is None:
                self._deadline_seconds = seconds
                if self._held is None:
                    self._count_to_the_deadline()
            case {"op": "end_stdin"} if self._stdin is not None:
                self._stdin.end()
            case _:
                pass  # A newer controller's order. What it is for, only that one could say.

    def _on_start(self, fd: int) -> None:
        """Hear of the start of a job that was held; or that its process has ended without."""
        held, self._held = self._held, None
        if held is None:  # It was heard of already.
            return
        self._poll.unregister(fd)
        with held.orders:
            began = job_process.hear_start(held.orders)
        if began is not None:
            held.began(began)
        if self.ending is None:
            self._count_to_the_deadline(0.0 if began is None else max(0.0, time.time_ns() - began) / 1e9)

    def _is_held(self) -> bool:
        """Whether the job waits for its moment, as far as it has told."""
        if self._held is not None:
            poll = select.poll()
            poll.register(self._held.orders, select.POLLIN)
            if poll.poll(0):
                self._on_start(self._held.orders.fileno())
        return self._held is not None

    def _count_to_the_deadline(self, seconds_ago: float = 0.0) -> None:
        seconds = self._deadline_seconds
        self._deadline_at = None if seconds is None else boot_seconds() + seconds - seconds_ago

    def _on_oom(self, _fd: int) -> None:
        """Look whether it was a process of ours that was killed: it may be that of another run, or none so far."""
        self._oom.acknowledge()
        self._oom_looks = list(_OOM_LOOKS_SECONDS)
        self._look_for_oom_kills()

    def _look_for_oom_kills(self) -> None:
        self._look_at = boot_seconds() + self._oom_looks.pop(0) if self._oom_looks else None
        if not self._oom.killed_count():
            return
        self._look_at = None
        if self.ending is None:
            # A run that lost a part of itself is no good.
            self.ending = Ending(Reason.OOM_KILLED, outcome.oom_message(0))
        self._kill_everything()

    def _take_what_is_left(self, fd: int) -> None:
        """Log what the pipe holds now that the run is gone: somebody else who has it open is not waited for."""
        held = _INT.unpack(fcntl.ioctl(fd, termios.FIONREAD, bytes(_INT.size)))[0]
        with contextlib.suppress(BlockingIOError):
            while held and (chunk := os.read(fd, min(held, _READ_BYTES))):
                self._log.write(self._outputs[fd], chunk)
                held -= len(chunk)
        os.close(fd)

    def _on_output(self, fd: int) -> None:
        try:
            chunk = os.read(fd, _READ_BYTES)
        except BlockingIOError:  # The job can open its own output for reading, and was faster.
            return
        if chunk:
            self._log.write(self._outputs[fd], chunk)
            return
        self._poll.unregister(fd)
        del self._outputs[fd]
        os.close(fd)

    def _reap(self, options: int) -> None:
        """Reap the job's main process and orphans: those there are, or with `options` 0, until none is left."""
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, options)
                if pid == 0:
                    return
                if pid == self._job_pid:
                    self._wait_status = status


def kill_and_reap(job_pid: int) -> int:
    """Kill all there is in this pid namespace, wait for it, and return the wait status of the job's main process."""
    wait_status = int(signal.SIGKILL)  # Unless it is to be had: it may have been reaped.
    with contextlib.suppress(ProcessLookupError):
        os.kill(-1, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, 0)
            if pid == job_pid:
                wait_status = status
    return wait_status


def _signal_group(pid: int, number: int) -> None:
    try:
        os.killpg(pid, number)
    except ProcessLookupError:  # It has not made its group so far: then it is alone.
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
