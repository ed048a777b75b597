"""Cgroups for tests on the hierarchies that the machine really has, under a parent of their own."""

import contextlib
import itertools
import os
import select
from collections.abc import Callable, Iterator
from pathlib import Path

from controller.cgroup.choose import hierarchies_of_host, open_lifecycle
from controller.cgroup.lifecycle import CgroupBusy, Lifecycle

_numbers = itertools.count()


@contextlib.contextmanager
def own_cgroups(*, favoured: bool = False) -> Iterator[Lifecycle]:
    """Give a lifecycle whose parent, and all below it, is gone afterwards.

    What is `favoured` goes before all else on this machine's processors, so that only its limits hold it back.
    """
    parent = f"runwright-test-{os.getpid()}-{next(_numbers)}"
    lifecycle = open_lifecycle(hierarchies_of_host(), parent)
    try:
        if favoured:
            _favour(parent)
        yield lifecycle
    finally:
        for name in lifecycle.names():
            lifecycle.kill(name)
            remove_once_reaped(lifecycle, name)
        lifecycle.remove_parent()
        lifecycle.close()


def _favour(parent: str) -> None:
    host = hierarchies_of_host()
    file, most = ("cpu.shares", "262144") if host.version == 1 else ("cpu.weight", "10000")
    Path(host.mounts["cpu"], parent, file).write_text(most)


def remove_once_reaped(lifecycle: Lifecycle, name: str) -> None:
    """Remove the cgroup, giving whoever reaps its killed processes up to five seconds to do so."""
    for _ in range(500):
        try:
            return lifecycle.remove(name)
        except CgroupBusy:
            select.poll().poll(10)
    return lifecycle.remove(name)


def start_in(lifecycle: Lifecycle, name: str, body: Callable[[], object]) -> int:
    """Return the pid of a new process that is in the cgroup and runs `body`; the caller waits for it."""
    fds = lifecycle.open_join_fds(name)
    joined_read, joined_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            for fd in fds:
                os.write(fd, b"0")
            os.write(joined_write, b".")
            body()
            os._exit(0)
        finally:
            os._exit(70)
    os.close(joined_write)
    joined = os.read(joined_read, 1)
    for fd in (*fds, joined_read):
        os.close(fd)
    assert joined, f"the child could not join {name}"
    return pid


def exit_code(pid: int) -> int:
    """Wait for `pid` and return its exit code, negative for the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
