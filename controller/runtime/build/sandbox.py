"""Running one command of a build in the build sandbox, from a thread of the daemon: its output, its end, its traces.

A process of its own makes the sandbox (`sandbox_main`), so that the daemon's threads and namespaces stay as they are.
It holds a pipe of ours: when we are gone, so is all of the build. Never here: what is run (recipes, declared builds).
Invariant: when `run_build` returns or raises, no process, mount or cgroup of the build is left.
"""

import contextlib
import json
import os
import re
import secrets
import select
import shutil
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

from api.types.runtime import RuntimeReason
from controller.cgroup import choose
from controller.cgroup.lifecycle import CgroupBusy, CgroupError, Lifecycle
from controller.cgroup.limits import Limits
from controller.engine.errors import TransientError
from controller.linux.removal import remove_tree
from controller.runtime.build import order
from controller.runtime.build.lines import Lines
from controller.runtime.build.order import BuildEnd, BuildRun, HostOverlay, Order, TreeRoot

__all__ = ["BuildEnd", "BuildHost", "BuildResult", "BuildRun", "HostOverlay", "TreeRoot", "run_build", "sweep"]

_SOURCE_ROOT = Path(__file__).resolve().parents[3]
_BOOT = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); from controller.runtime.build.sandbox_main import main; main()"
)
_READ_BYTES = 1 << 16
_TICK_MILLISECONDS = 250
_GRACE_SECONDS = 20
_TAIL_LINES = 20
_REAP_TRIES = 500
_REAP_MILLISECONDS = 10
_DEFAULT_LIMITS = Limits(memory_bytes=None, cpu_millicpu=None, pids=4096)
_UNFIT = re.compile(r"[^A-Za-z0-9_.-]")


@dataclass(frozen=True, slots=True)
class BuildHost:
    """What builds need to know of this host.

    Args:
        cgroup_parent: the cgroup of all builds of this daemon: not that of its runs, which would not know them.
        logs: the directory of the builds' logs.
        hidden: where the daemon keeps its own things: never seen by builds.
        environment: variables by which tools find the indexes this host is configured for (`host_config`).
        files: configuration of the same kind, by path inside.
        secrets: what must not get into logs.
        space_floor_bytes: a build ends when less is free.
        default_limits: those of a build that does not say.
        as_root: whether builds may be root on the host too where its file systems cannot map owners.
        why_not: says why no build may begin now; empty if one may.
    """

    cgroup_parent: str
    logs: Path
    hidden: tuple[Path, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()
    space_floor_bytes: int = 1 << 30
    default_limits: Limits = _DEFAULT_LIMITS
    as_root: bool = False
    why_not: Callable[[], str] = lambda: ""

    def refuse_unless_held(self) -> None:
        """Have no build begin, and nothing be fetched for one, that the host could not be protected from.

        Raises:
            TransientError: LimitUnenforceable, with the words that jobs have for it.
        """
        if why := self.why_not():
            raise TransientError(RuntimeReason.LIMIT_UNENFORCEABLE, why)


@dataclass(frozen=True, slots=True)
class BuildResult:
    """How it ended. `exit_code` is None unless the command ended itself; a signal counts 128 and its number."""

    exit_code: int | None
    reason: BuildEnd
    message: str = ""
    tail: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the command ended itself, with 0."""
        return self.reason is BuildEnd.EXITED and self.exit_code == 0


def run_build(
    run: BuildRun, host: BuildHost, log: Callable[[str], None], *, tick: Callable[[], None] | None = None
) -> BuildResult:
    """Run it to its end, whatever end that is, and return which.

    Args:
        log: called with every line of its output, without the newline; long ones come in pieces.
        tick: called a few times a second; what it raises ends the build, and is raised.

    Raises:
        TransientError: InsufficientSpace, LimitsUnsupported, CannotStart: the sandbox could not be made.
            LimitUnenforceable: see `BuildHost.refuse_unless_held`.
    """
    host.refuse_unless_held()
    run.scratch.mkdir(mode=0o700)
    _refuse_without_space(run, host)
    asked = _order(run, host)
    try:
        return _Helper(asked, Lines(log, host.secrets), tick).result()
    finally:
        _tidy(asked)


def sweep(cgroup_parent: str) -> tuple[str, ...]:
    """End and remove what builds of a daemon that is gone have left; return which. Call it before the first build."""
    try:
        lifecycle = choose.open_lifecycle(choose.hierarchies_of_host(), cgroup_parent)
    except CgroupError:
        return ()  # Where no build can be limited, none was started.
    try:
        left = lifecycle.names()
        for name in left:
            _end_cgroup(lifecycle, name)
        with contextlib.suppress(CgroupBusy):
            lifecycle.remove_parent()
        return left
    finally:
        lifecycle.close()


class _Helper:
    """The process that makes the sandbox, and our ends of its pipes."""

    def __init__(self, asked: Order, lines: Lines, tick: Callable[[], None] | None) -> None:
        self._asked = asked
        self._tick = tick
        self._tail = deque[str](maxlen=_TAIL_LINES)
        self._lines = lines
        self._answer = bytearray()

    def result(self) -> BuildResult:
        """Start it, follow it to its end, and say how that was."""
        answer_read, answer_write = os.pipe2(os.O_CLOEXEC)
        try:
            process = _spawn(answer_write)
        finally:
            os.close(answer_write)
        try:
            self._give_the_order(process)
            self._follow(process, answer_read)
        finally:
            # Its end of file is the order to end everything, if that is not so already.
            _close(process)
            os.close(answer_read)
        return self._read_answer()

    def _give_the_order(self, process: "subprocess.Popen[bytes]") -> None:
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # It ended already: its answer says why.
            process.stdin.write(order.to_json(self._asked).encode() + b"\n")
            process.stdin.flush()

    def _follow(self, process: "subprocess.Popen[bytes]", answer_fd: int) -> None:
        assert process.stdout is not None
        output_fd = process.stdout.fileno()
        poll = select.poll()
        for fd in (output_fd, answer_fd):
            os.set_blocking(fd, False)
            poll.register(fd, select.POLLIN)
        open_fds = {output_fd, answer_fd}
        while open_fds:
            for fd, _ in poll.poll(_TICK_MILLISECONDS):
                piece = os.read(fd, _READ_BYTES)
                if not piece:
                    poll.unregister(fd)
                    open_fds.discard(fd)
                elif fd == answer_fd:
                    self._answer += piece
                else:
                    self._hear(self._lines.feed(piece))
            if self._tick is not None:
                self._tick()
        self._hear(self._lines.finish())

    def _hear(self, lines: list[str]) -> None:
        self._tail.extend(lines)

    def _read_answer(self) -> BuildResult:
        try:
            answer = json.loads(bytes(self._answer))
        except ValueError:
            return BuildResult(None, BuildEnd.LOST, "the process that ran the build was ended", tuple(self._tail))
        reason = BuildEnd(answer["reason"])
        if reason is BuildEnd.NOT_STARTED:
            raise TransientError("CannotStart", f"cannot build {self._asked.id}: {answer['message']}")
        return BuildResult(answer["exit_code"], reason, answer["message"], tuple(self._tail))


def _spawn(answer_fd: int) -> "subprocess.Popen[bytes]":
    try:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _BOOT, str(_SOURCE_ROOT), str(answer_fd)],
            cwd="/",
            env={"LANG": "C.UTF-8"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=(answer_fd,),
            start_new_session=True,
        )
    except OSError as error:
        raise TransientError("CannotStart", f"cannot start a build: {error}") from error


def _close(process: "subprocess.Popen[bytes]") -> None:
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with contextlib.suppress(BrokenPipeError):
                stream.close()
    try:
        process.wait(_GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _order(run: BuildRun, host: BuildHost) -> Order:
    root = run.root
    if isinstance(root, HostOverlay):
        root = HostOverlay(root.base, (*root.hidden, *host.hidden))
    asked = {each.name: getattr(run, each.name) for each in fields(run)} | {"root": root}
    return Order(
        **asked,
        id=f"{_UNFIT.sub('_', run.name)[:80]}-{secrets.token_hex(4)}",
        cgroup_parent=host.cgroup_parent,
        space_floor_bytes=host.space_floor_bytes,
        as_root=host.as_root,
    )


def _refuse_without_space(run: BuildRun, host: BuildHost) -> None:
    free = shutil.disk_usage(run.scratch).free
    if free < host.space_floor_bytes:
        run.scratch.rmdir()
        raise TransientError(
            "InsufficientSpace",
            f"cannot build {run.name}: {run.scratch.parent} needs {host.space_floor_bytes >> 20} MiB free "
            f"and has {free >> 20} MiB: remove runtimes or files there",
        )


def _tidy(asked: Order) -> None:
    """Remove what the build left: its cgroup, if its own process could not, and its scratch directory."""
    with contextlib.suppress(CgroupError):
        lifecycle = choose.open_lifecycle(choose.hierarchies_of_host(), asked.cgroup_parent)
        try:
            if asked.id in lifecycle.names():
                _end_cgroup(lifecycle, asked.id)
        finally:
            lifecycle.close()
    remove_tree(asked.scratch)


def _end_cgroup(lifecycle: Lifecycle, name: str) -> None:
    """Kill what is in it, and remove it once all of that is reaped."""
    lifecycle.kill(name)
    for _ in range(_REAP_TRIES):
        try:
            return lifecycle.remove(name)
        except CgroupBusy:
            select.poll().poll(_REAP_MILLISECONDS)
    return lifecycle.remove(name)
