"""The process that forks supervisors: whose they are, what they hold, and what happens without it."""

import contextlib
import os
import signal
from pathlib import Path

import pytest

from controller.launcher import rehearsal
from support.in_child import in_child
from support.launching import readable

pytestmark = pytest.mark.needs_root

KINDS = ("mnt", "net", "ipc", "uts", "pid", "pid_for_children", "time_for_children", "user", "cgroup")


def children(pid):
    found = {}
    for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # It has ended meanwhile.
            found[int(each)] = Path(f"/proc/{each}/comm").read_text().strip()
    return found


def nursery_of(launching):
    launching.until(lambda: launching.client.status()["warm"] >= 1)
    # The first, as children are listed by age: a supervisor has its name, too, until it gives itself another.
    return next(pid for pid, name in children(launching.client.ping()).items() if name == "rnx-nursery")


def end(pid):
    fd = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(fd, signal.SIGKILL)
        assert readable(fd, 20)
    finally:
        os.close(fd)


def test_a_supervisor_is_the_launchers_child_and_not_the_nurserys(launching):
    started = launching.client.start(launching.spec("sleep", "60"))

    assert started.pid in children(launching.client.ping())
    assert children(nursery_of(launching)) == {}


def test_runs_go_on_and_others_start_when_the_nursery_was_killed(launching):
    before = launching.spec("sh", "-c", "read line < /dev/null; sleep 0.5; exit 3")
    launching.client.start(before)
    end(nursery_of(launching))
    # More than are ready by now: so that some have to be forked.
    after = [launching.spec("true") for _ in range(8)]
    for spec in after:
        launching.client.start(spec)

    assert {launching.record_of(spec).reason for spec in after} == {"Completed"}
    assert launching.record_of(before).exit_code == 3


@pytest.mark.slow  # It waits for as long as the launcher does.
def test_a_nursery_that_hangs_is_replaced(launching):
    nursery = nursery_of(launching)
    os.kill(nursery, signal.SIGSTOP)
    specs = [launching.spec("true") for _ in range(8)]
    for spec in specs:
        launching.client.start(spec)

    assert {launching.record_of(spec).reason for spec in specs} == {"Completed"}
    assert nursery_of(launching) != nursery


def test_the_nursery_ends_with_its_launcher(launching):
    fd = os.pidfd_open(nursery_of(launching))
    end(launching.client.ping())

    assert readable(fd, 20)
    os.close(fd)


def test_a_ready_supervisor_holds_no_connection_of_the_launchers(launching):
    launcher = launching.client.ping()
    launching.until(lambda: len(supervisors(launcher)) >= 4)  # One has its name a moment after it is counted.

    ready = supervisors(launcher)

    # A new one closes what it has of the launcher, and the launcher what it has of it, a moment after it has its name.
    launching.until(lambda: not any(sockets(pid) & sockets(launcher) for pid in ready))
    assert len(ready) >= 4


def supervisors(launcher):
    return [pid for pid, name in children(launcher).items() if name == "rnx-run"]


def sockets(pid):
    links = set()
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # It was closed this moment.
            links.add(os.readlink(path))
    return {link for link in links if link.startswith("socket:")}


def test_a_rehearsal_aside_leaves_the_process_where_it_was_and_nothing_behind(tmp_path):
    def body():
        before = here()
        rehearsal.aside(str(tmp_path))
        return before, here(), os.listdir(tmp_path)

    before, after, left = in_child(body)

    assert after == before
    assert left == []


def here():
    mounts = Path("/proc/self/mountinfo").read_text()
    return [os.readlink(f"/proc/self/ns/{kind}") for kind in KINDS], len(os.listdir("/proc/self/fd")), mounts
