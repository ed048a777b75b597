"""What only version 1 has: several hierarchies, of which some may be left behind."""

import os
import signal
from dataclasses import replace

import pytest

from controller.cgroup import detect
from controller.cgroup.choose import hierarchies_of_host
from controller.cgroup.lifecycle import CgroupError
from controller.cgroup.limits import IoLimit, Limits
from controller.cgroup.v1 import CgroupV1
from support.cgroups import exit_code
from support.disks import loop_disk

HOST = hierarchies_of_host()
pytestmark = [
    pytest.mark.needs_root,
    pytest.mark.elsewhere("cgroup v1"),
    pytest.mark.skipif(HOST.version != 1, reason="this host limits by cgroup version 2"),
]
NOTHING = Limits(None, None, None)


@pytest.fixture
def cgroups():
    cgroups = CgroupV1(HOST, f"runwright-test-v1-{os.getpid()}")
    yield cgroups
    for name in cgroups.names():
        cgroups.remove(name)
    cgroups.remove_parent()
    cgroups.close()


def directories(cgroups, name):
    return [f"{directory.path}/{name}" for directory in cgroups._directories]


def test_a_run_has_a_directory_in_each_hierarchy(cgroups):
    cgroups.create("run", NOTHING)

    assert [os.path.isdir(path) for path in directories(cgroups, "run")] == [True] * len(detect.NEEDED_V1)


def test_a_half_of_a_cgroup_is_found_completed_and_removed(cgroups):
    os.mkdir(directories(cgroups, "run")[-1])
    found = cgroups.names()
    cgroups.create("run", Limits(64 << 20, 500, 20))
    complete = all(os.path.isdir(path) for path in directories(cgroups, "run"))
    cgroups.remove("run")

    assert (found, complete, cgroups.names()) == (("run",), True, ())


def test_a_blank_is_no_runs_until_it_is_turned_and_then_has_its_limits(cgroups):
    made = cgroups.make_blank("blank-7")
    before = cgroups.names()
    inodes = [os.stat(path).st_ino for path in directories(cgroups, "blank-7")]
    usage = cgroups.open_usage("blank-7")
    cgroups.turn("blank-7", "run", Limits(64 << 20, 500, 20))

    assert (made, before, cgroups.names()) == (True, (), ("run",))
    assert [os.stat(path).st_ino for path in directories(cgroups, "run")] == inodes
    assert not any(os.path.exists(path) for path in directories(cgroups, "blank-7"))
    assert cgroups._of["pids"].read("run/pids.max") == "20\n"
    assert cgroups._of["memory"].read("run/memory.limit_in_bytes") == "67108864\n"
    assert usage.read().cpu_seconds == 0  # What was opened of the blank is the run's.
    usage.close()


def test_a_blank_whose_name_to_be_is_taken_is_not_turned_and_what_has_the_name_stays(cgroups):
    cgroups.make_blank("blank-7")
    os.mkdir(directories(cgroups, "run")[-1])

    with pytest.raises(CgroupError, match="cannot call the cgroup .*/blank-7 run: EEXIST"):
        cgroups.turn("blank-7", "run", NOTHING)

    assert [os.path.isdir(path) for path in directories(cgroups, "run")] == [False] * 4 + [True]


def test_a_blank_whose_limits_are_refused_is_not_turned(cgroups):
    cgroups.make_blank("blank-7")

    with pytest.raises(CgroupError, match=r"cpuset\.cpus"):
        cgroups.turn("blank-7", "run", Limits(None, None, None, cpus=(0,)))

    assert cgroups.names() == ()


def test_blanks_that_somebody_left_are_removed_and_runs_are_not(cgroups):
    cgroups.create("run", NOTHING)
    cgroups.make_blank("blank-7")
    os.rmdir(directories(cgroups, "blank-7")[0])

    cgroups.remove_blanks()

    assert cgroups.names() == ("run",)
    assert not any(os.path.exists(path) for path in directories(cgroups, "blank-7"))


def test_kill_reaches_a_process_that_joined_one_hierarchy_alone(cgroups):
    cgroups.create("run", NOTHING)
    pid = os.fork()
    if pid == 0:
        signal.pause()
    with open(f"{directories(cgroups, 'run')[0]}/cgroup.procs", "w") as procs:
        procs.write(str(pid))

    cgroups.kill("run")

    assert exit_code(pid) == -signal.SIGKILL


def test_a_failed_kill_leaves_nothing_frozen(cgroups, monkeypatch):
    cgroups.create("run", NOTHING)
    pid = os.fork()
    if pid == 0:
        signal.pause()
    for path in directories(cgroups, "run"):
        with open(f"{path}/cgroup.procs", "w") as procs:
            procs.write(str(pid))
    monkeypatch.setattr(os, "pidfd_open", _too_many_open_files)

    with pytest.raises(OSError, match="too many"):
        cgroups.kill("run")
    monkeypatch.undo()

    assert cgroups._of["freezer"].read("run/freezer.state") == "THAWED\n"
    cgroups.kill("run")
    assert exit_code(pid) == -signal.SIGKILL


def _too_many_open_files(pid):
    raise OSError(24, "too many open files")


def test_memory_and_swap_are_limited_together(cgroups):
    cgroups.create("run", Limits(64 << 20, None, None))
    read = cgroups._of["memory"].read

    assert read("run/memory.limit_in_bytes") == "67108864\n"
    if cgroups._counts_swap:
        assert read("run/memory.memsw.limit_in_bytes") == "67108864\n"
    else:
        assert read("run/memory.swappiness") == "0\n"


def test_two_controllers_on_one_mount_have_one_directory(tmp_path):
    for mount in ("cpu,cpuacct", "memory", "pids", "freezer"):
        (tmp_path / mount).mkdir()
    mounts = {name: str(tmp_path / name) for name in ("memory", "pids", "freezer")}
    mounts |= {"cpu": str(tmp_path / "cpu,cpuacct"), "cpuacct": str(tmp_path / "cpu,cpuacct")}

    cgroups = CgroupV1(detect.Hierarchies(1, mounts, ()), "runwright")
    cgroups.create("run", NOTHING)

    assert len(directories(cgroups, "run")) == 4
    assert (tmp_path / "cpu,cpuacct" / "runwright" / "run").is_dir()
    cgroups.close()


IO = Limits(None, None, None, io=(IoLimit("1:0", read_bytes=1 << 20),))
"""Of a memory disk, which is there or not: what it is for does not matter."""


def rare(cgroups, name):
    return [os.path.isdir(f"{mount}/runwright-test-v1-{os.getpid()}/{name}") for mount in HOST.rare.values()]


def test_a_run_that_asks_for_no_cpus_and_no_io_has_no_cgroup_for_them(cgroups):
    cgroups.create("run", Limits(64 << 20, 500, 20, cpu_weight=5))

    assert not any(rare(cgroups, "run"))
    assert cgroups.open_io_lift("run").fds == ()


def test_a_cgroup_for_cpus_is_joined_found_again_and_removed_like_the_others(cgroups):
    cgroups.create("run", Limits(None, None, None, cpus=(0,)))
    fds = cgroups.open_join_fds("run")
    for fd in fds:
        os.close(fd)
    for directory in directories(cgroups, "run"):
        os.rmdir(directory)
    half = cgroups.names()
    cgroups.remove("run")

    assert len(fds) == len(detect.NEEDED_V1) + 1
    assert (half, cgroups.names()) == (("run",), ())
    assert not any(rare(cgroups, "run"))


def test_limits_of_io_are_taken_off_whatever_they_are(cgroups):
    with loop_disk(1 << 20) as disk:
        cgroups.create("run", Limits(None, None, None, io=(IoLimit(disk.device, 4096, 8192, 5, 6),)))
        lift = cgroups.open_io_lift("run")
        before = [os.pread(fd, 100, 0).decode().strip() for fd in lift.fds]
        lift.lift()
        after = [os.pread(fd, 100, 0) for fd in lift.fds]
        lift.close()
        lift.close()
        cgroups.remove("run")

    assert before == [f"{disk.device} {rate}" for rate in (4096, 8192, 5, 6)]
    assert after == [b""] * 4


def test_cpus_that_are_not_there_leave_no_half_of_a_run(cgroups):
    with pytest.raises(CgroupError, match=r"cpuset\.cpus"):
        cgroups.create("run", Limits(None, None, None, cpus=(4000,)))

    assert cgroups.names() == ()


def test_a_host_without_a_controller_refuses_those_who_ask_for_it_alone():
    cgroups = CgroupV1(replace(HOST, rare={}), f"runwright-test-v1-bare-{os.getpid()}")
    try:
        with pytest.raises(CgroupError, match=r"cgroup v1 has no blkio here\): mount it below"):
            cgroups.create("run", IO)
        cgroups.create("run", NOTHING)
        cgroups.remove("run")
        names = cgroups.names()
    finally:
        cgroups.remove_parent()
        cgroups.close()

    assert names == ()
