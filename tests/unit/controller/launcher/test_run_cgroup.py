"""Cgroups made before their run is known: whose they become, what they have counted, and that none is left."""

import os
import signal

import pytest

from controller.cgroup.choose import hierarchies_of_host
from controller.cgroup.lifecycle import BLANK
from controller.cgroup.limits import Limits
from support.launching import MIB, readable

HOST = hierarchies_of_host()
pytestmark = [
    pytest.mark.needs_root,
    pytest.mark.elsewhere("cgroup v1"),
    pytest.mark.skipif(HOST.version != 1, reason="a cgroup of version 2 keeps the name that it was made with"),
]
LIMITED = Limits(64 * MIB, 500, 30)


def blanks(launching):
    """The blanks in each hierarchy, as names with their inode numbers."""
    found = {}
    for mount in HOST.mounts.values():
        with os.scandir(f"{mount}/{launching.cgroup_parent}") as entries:
            found[mount] = {entry.name: entry.inode() for entry in entries if entry.name.startswith(BLANK)}
    return found


def make_all_ready(launching):
    """Have a blank for each supervisor that waits: those forked before any run was known have none."""
    for _ in range(4):
        launching.run("true")
    launching.until(lambda: launching.client.status()["warm"] == 4)
    launching.until(lambda: [len(names) for names in blanks(launching).values()] == [4] * len(HOST.mounts))


def inode(launching, controller, name):
    return os.stat(f"{HOST.mounts[controller]}/{launching.cgroup_parent}/{name}").st_ino


def test_a_run_has_a_blank_for_its_cgroup_with_its_own_limits(launching):
    make_all_ready(launching)
    before = blanks(launching)
    spec = launching.spec("sh", "-c", "echo here; sleep 60", limits=LIMITED)

    launching.client.start(spec)
    launching.wait_for_output(spec, "here")

    for controller, mount in HOST.mounts.items():
        assert inode(launching, controller, spec.cgroup) in before[mount].values()
    lifecycle = launching.lifecycle()
    said = {write.file: text.strip() for write, text in lifecycle.read_limits(spec.cgroup, LIMITED)}
    assert said["memory.limit_in_bytes"] == str(64 * MIB)
    assert (said["cpu.cfs_quota_us"], said["pids.max"]) == ("50000", "30")
    assert lifecycle.names() == (spec.cgroup,)
    lifecycle.close()


def test_a_blank_has_counted_nothing(launching):
    make_all_ready(launching)

    lifecycle = launching.lifecycle()
    used = [lifecycle.usage(name) for name in blanks(launching)[HOST.mounts["memory"]]]
    lifecycle.close()

    assert len(used) == 4
    assert {(one.cpu_seconds, one.memory_bytes, one.memory_peak_bytes, one.pids) for one in used} == {(0, 0, 0, 0)}


def test_a_run_whose_blanks_were_removed_has_a_cgroup_made_for_it(launching):
    make_all_ready(launching)
    lifecycle = launching.lifecycle()
    lifecycle.remove_blanks()
    lifecycle.close()

    record, output = launching.shell("echo it runs", limits=LIMITED)

    assert (record.reason, output) == ("Completed", "it runs\n")
    assert record.receipt["cgroup"]["pids.max"] == "30"


def test_a_run_whose_cgroup_is_there_already_is_in_that_and_has_its_own_limits(launching):
    make_all_ready(launching)
    spec = launching.spec("sh", "-c", "cat /proc/self/cgroup; echo here; sleep 60", limits=LIMITED)
    lifecycle = launching.lifecycle()
    lifecycle.create(spec.cgroup, Limits(None, None, 5))
    there = inode(launching, "pids", spec.cgroup)

    launching.client.start(spec)
    launching.wait_for_output(spec, "here")

    assert inode(launching, "pids", spec.cgroup) == there
    assert [text for write, text in lifecycle.read_limits(spec.cgroup, LIMITED) if write.file == "pids.max"] == ["30\n"]
    assert lifecycle.usage(spec.cgroup).pids == 2
    lifecycle.close()


def test_a_run_that_is_limited_to_cpus_has_a_cgroup_made_for_it(launching):
    if "cpuset" not in HOST.rare:
        pytest.skip("this host has no cpuset")
    make_all_ready(launching)

    record, output = launching.shell("nproc", limits=Limits(None, None, None, cpus=(0,)))

    assert (record.reason, output) == ("Completed", "1\n")


def test_memory_too_little_for_any_process_ends_a_run_as_it_does_without_a_blank(launching):
    little = Limits(100_000, None, None)
    without = launching.run("true", limits=little)[0]
    make_all_ready(launching)

    assert launching.run("true", limits=little)[0].reason == without.reason


def test_blanks_end_with_those_who_wait(launching):
    make_all_ready(launching)

    launching.client.shutdown()
    launching.until(lambda: not any(blanks(launching).values()))

    assert [len(names) for names in blanks(launching).values()] == [0] * len(HOST.mounts)


def test_those_of_a_launcher_that_was_killed_with_all_who_wait_are_removed_by_the_next(launching):
    make_all_ready(launching)
    launcher = launching.client.ping()
    waiting = waiting_below(launcher)
    fds = [os.pidfd_open(pid) for pid in (*waiting, launcher)]
    for pid in (launcher, *waiting):
        os.kill(pid, signal.SIGSTOP)  # So that nobody tidies after another.
    for fd in fds:
        signal.pidfd_send_signal(fd, signal.SIGKILL)
    for fd in fds:
        assert readable(fd, 20)
        os.close(fd)
    left = blanks(launching)[HOST.mounts["pids"]]

    launching.client.ensure_running()
    launching.run("true")

    assert len(left) == 4
    now = blanks(launching)[HOST.mounts["pids"]]
    assert not set(left.values()) & set(now.values())


def test_the_blank_of_one_that_was_killed_while_it_waited_is_removed(launching):
    make_all_ready(launching)
    before = blanks(launching)[HOST.mounts["pids"]]
    for pid in waiting_below(launching.client.ping()):
        os.kill(pid, signal.SIGKILL)

    def are_gone():
        return not set(before.values()) & set(blanks(launching)[HOST.mounts["pids"]].values())

    launching.until(are_gone)
    assert launching.run("true")[0].reason == "Completed"


def waiting_below(launcher):
    with open(f"/proc/{launcher}/task/{launcher}/children") as file:
        pids = [int(word) for word in file.read().split()]
    found = []
    for pid in pids:
        with open(f"/proc/{pid}/comm") as file:
            if file.read() == "rnx-run\n":
                found.append(pid)
    return found
