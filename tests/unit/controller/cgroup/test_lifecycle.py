"""The contract of `Lifecycle`, on the hierarchies that this machine really has."""

import errno
import os
import select
import signal
from pathlib import Path

import pytest

from controller.cgroup import v1
from controller.cgroup.choose import hierarchies_of_host, open_lifecycle
from controller.cgroup.lifecycle import CgroupBusy, CgroupError
from controller.cgroup.limits import Limits
from support.cgroups import exit_code, own_cgroups, remove_once_reaped, start_in

pytestmark = pytest.mark.needs_root

MiB = 1 << 20
NOTHING = Limits(None, None, None)
LIMITS = Limits(memory_bytes=64 * MiB, cpu_millicpu=500, pids=20)


@pytest.fixture
def lifecycle():
    with own_cgroups() as lifecycle:
        yield lifecycle


@pytest.fixture
def counts_of_one_kill():
    """What the kernel may count when one process is killed for memory.

    Version 2 kills the whole cgroup, and counts the victim both as itself and as one of the whole.
    Source: oom_kill_process() in mm/oom_kill.c, Linux 6.1.
    """
    return {1} if hierarchies_of_host().version == 1 else {1, 2}


def test_what_is_created_is_there_and_what_is_removed_is_not(lifecycle):
    lifecycle.create("b", LIMITS)
    lifecycle.create("a", NOTHING)
    there = lifecycle.names()
    lifecycle.remove("a")
    lifecycle.remove("b")

    assert (there, lifecycle.names()) == (("a", "b"), ())


def test_each_step_may_be_repeated(lifecycle):
    for _ in range(2):
        lifecycle.create("run", LIMITS)
    for _ in range(2):
        lifecycle.kill("run")
    for _ in range(2):
        lifecycle.remove("run")
    lifecycle.kill("run")

    assert lifecycle.names() == ()


def test_creating_again_gives_the_new_limits(lifecycle):
    lifecycle.create("run", LIMITS)
    lifecycle.create("run", Limits(LIMITS.memory_bytes * 2, 700, 1))
    pid = start_in(lifecycle, "run", _fork_is_refused)

    assert exit_code(pid) == 0


def _fork_is_refused():
    with pytest.raises(BlockingIOError):
        os.fork()


def test_limits_go_up_down_and_away(lifecycle):
    lifecycle.create("run", LIMITS)
    for limits in (Limits(128 * MiB, 2000, 40), Limits(32 * MiB, 100, 10), NOTHING, LIMITS):
        lifecycle.update("run", limits)

    lifecycle.update("run", Limits(LIMITS.memory_bytes, None, 1))
    assert exit_code(start_in(lifecycle, "run", _fork_is_refused)) == 0


def test_a_process_joins_and_its_use_is_counted(lifecycle):
    lifecycle.create("run", LIMITS)
    with lifecycle.open_usage("run") as reader:
        before = reader.read()
        assert exit_code(start_in(lifecycle, "run", lambda: [bytearray(8 * MiB) for _ in range(2)])) == 0
        after = reader.read()

    assert (before.cpu_seconds, before.pids, before.oom_kills) == (0, 0, 0)
    assert after.cpu_seconds > 0
    assert 16 * MiB < after.memory_peak_bytes < 32 * MiB
    assert lifecycle.usage("run").memory_peak_bytes == after.memory_peak_bytes


def test_an_oom_kill_is_told_and_counted(lifecycle, counts_of_one_kill):
    lifecycle.create("run", LIMITS)
    watch = lifecycle.open_oom_watch("run")
    poll = select.poll()
    poll.register(watch.fileno(), select.POLLIN)
    quiet = poll.poll(0)

    pid = start_in(lifecycle, "run", lambda: bytearray(2 * LIMITS.memory_bytes).count(1))

    assert quiet == []
    assert poll.poll(10_000) == [(watch.fileno(), select.POLLIN)]
    assert exit_code(pid) == -signal.SIGKILL
    assert watch.killed_count() == lifecycle.usage("run").oom_kills
    assert watch.killed_count() in counts_of_one_kill
    watch.acknowledge()
    watch.acknowledge()
    assert poll.poll(0) == []
    assert watch.fileno() in watch.fds
    watch.close()
    watch.close()


def test_watch_and_usage_work_on_for_a_process_without_any_right(lifecycle, counts_of_one_kill):
    lifecycle.create("run", LIMITS)
    lifecycle.create("watcher", NOTHING)
    watch, reader = lifecycle.open_oom_watch("run"), lifecycle.open_usage("run")

    def watch_powerless():
        os.chroot("/proc/self/fdinfo")
        os.setgroups([])
        os.setresgid(65534, 65534, 65534)
        os.setresuid(65534, 65534, 65534)
        assert select.select([watch.fileno()], [], [], 10)[0]
        while not watch.killed_count():
            select.select([], [], [], 0.01)
        assert reader.read().oom_kills in counts_of_one_kill

    watcher = start_in(lifecycle, "watcher", watch_powerless)
    victim = start_in(lifecycle, "run", lambda: bytearray(2 * LIMITS.memory_bytes).count(1))

    assert (exit_code(victim), exit_code(watcher)) == (-signal.SIGKILL, 0)
    watch.close()
    reader.close()


def test_frozen_processes_stop_and_thawed_ones_go_on(lifecycle):
    lifecycle.create("run", NOTHING)
    read_end, write_end = os.pipe()
    go_read, go_write = os.pipe()

    def answer():
        os.write(write_end, b"1")
        os.read(go_read, 1)
        os.write(write_end, b"2")

    pid = start_in(lifecycle, "run", answer)
    os.read(read_end, 1)
    lifecycle.freeze("run")
    os.write(go_write, b".")
    while_frozen = select.select([read_end], [], [], 0.1)[0]
    lifecycle.thaw("run")

    assert while_frozen == []
    assert os.read(read_end, 1) == b"2"
    assert exit_code(pid) == 0
    for fd in (read_end, write_end, go_read, go_write):
        os.close(fd)


@pytest.mark.parametrize("frozen", [False, True])
def test_kill_ends_every_process_frozen_or_not(lifecycle, frozen):
    lifecycle.create("run", NOTHING)
    pids = [start_in(lifecycle, "run", signal.pause) for _ in range(5)]
    if frozen:
        lifecycle.freeze("run")

    lifecycle.kill("run")

    assert [exit_code(pid) for pid in pids] == [-signal.SIGKILL] * 5


def test_kill_overtakes_a_fork_bomb(lifecycle):
    lifecycle.create("run", Limits(None, 500, 60))

    def bomb():
        while True:
            try:
                os.fork()
            except BlockingIOError:
                continue

    pid = start_in(lifecycle, "run", bomb)
    lifecycle.kill("run")

    assert exit_code(pid) == -signal.SIGKILL
    remove_once_reaped(lifecycle, "run")
    assert lifecycle.names() == ()


def test_killing_what_another_ends_and_removes_meanwhile_leaves_nothing_open(lifecycle, monkeypatch):
    lifecycle.create("run", NOTHING)
    pid = start_in(lifecycle, "run", signal.pause)
    codes = []

    def end_it():
        lifecycle.thaw("run")
        os.kill(pid, signal.SIGKILL)
        codes.append(exit_code(pid))
        remove_once_reaped(lifecycle, "run")

    def hold(pids, hold=v1._hold):  # On version 2 nobody is held: the kernel kills all of a cgroup.
        held = hold(pids)
        end_it()
        return held

    monkeypatch.setattr(v1, "_hold", hold)
    before = os.listdir("/proc/self/fd")
    lifecycle.kill("run")
    after = os.listdir("/proc/self/fd")

    assert len(after) == len(before)
    assert (codes or [exit_code(pid)]) == [-signal.SIGKILL]


def test_a_cgroup_with_processes_is_not_removed(lifecycle):
    lifecycle.create("run", NOTHING)
    pid = start_in(lifecycle, "run", signal.pause)

    with pytest.raises(CgroupBusy, match=r"EBUSY .*kill it, reap them, and try again"):
        lifecycle.remove("run")

    os.kill(pid, signal.SIGKILL)
    assert exit_code(pid) == -signal.SIGKILL


def test_a_parent_with_cgroups_is_not_removed(lifecycle):
    lifecycle.create("run", NOTHING)

    with pytest.raises(CgroupBusy):
        lifecycle.remove_parent()

    assert lifecycle.names() == ("run",)


@pytest.mark.parametrize("name", ["", ".", "..", "../up", "a/b", "-x", ".hidden", "nul\0", "line\n", "x" * 256])
def test_a_name_that_reaches_elsewhere_is_refused(lifecycle, name):
    steps = (
        lambda: lifecycle.create(name, NOTHING),
        lambda: lifecycle.kill(name),
        lambda: lifecycle.remove(name),
        lambda: lifecycle.usage(name),
        lambda: lifecycle.freeze(name),
    )
    for step in steps:
        with pytest.raises(ValueError, match="cannot name a cgroup"):
            step()


def test_a_cgroup_that_is_not_there_is_enoent_with_its_path(lifecycle):
    steps = (
        lambda: lifecycle.usage("gone"),
        lambda: lifecycle.open_join_fds("gone"),
        lambda: lifecycle.open_oom_watch("gone"),
        lambda: lifecycle.update("gone", LIMITS),
        lambda: lifecycle.thaw("gone"),
    )
    for step in steps:
        before = len(os.listdir("/proc/self/fd"))
        with pytest.raises(CgroupError, match=r"gone.*ENOENT") as refused:
            step()
        assert refused.value.errno == errno.ENOENT
        assert len(os.listdir("/proc/self/fd")) == before


def test_a_limit_the_kernel_refuses_leaves_no_cgroup(lifecycle):
    with pytest.raises(CgroupError, match="cannot write"):
        lifecycle.create("run", Limits(memory_bytes=None, cpu_millicpu=None, pids=10**12))

    assert lifecycle.names() == ()


def test_another_process_finds_what_was_left_and_can_end_it(lifecycle):
    lifecycle.create("run", NOTHING)
    pid = start_in(lifecycle, "run", signal.pause)
    parent = _parent_of_cgroup(pid, "run")

    later = open_lifecycle(hierarchies_of_host(), parent)
    found = later.names()
    later.kill("run")

    assert found == ("run",)
    assert exit_code(pid) == -signal.SIGKILL
    later.remove("run")
    later.close()


def _parent_of_cgroup(pid, name):
    (parent,) = {
        line.split("/")[-2] for line in Path(f"/proc/{pid}/cgroup").read_text().split() if line.endswith(f"/{name}")
    }
    return parent
