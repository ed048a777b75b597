"""Which files version 2 writes and reads, on a plain directory that looks like one.

The kernel's side of version 2 is covered by the contract test where a machine has it.
"""

import errno
import os
import select

import pytest

from controller.cgroup.detect import Hierarchies
from controller.cgroup.lifecycle import CgroupBusy, CgroupError
from controller.cgroup.limits import IoLimit, Limits
from controller.cgroup.usage import Usage
from controller.cgroup.v2 import CgroupV2

LIMITS = Limits(memory_bytes=64 << 20, cpu_millicpu=500, pids=20)
FILES = {
    "memory.max": "max\n",
    "memory.swap.max": "max\n",
    "memory.oom.group": "0\n",
    "cpu.max": "max 100000\n",
    "pids.max": "max\n",
    "cgroup.procs": "",
    "cgroup.freeze": "0\n",
    "cgroup.kill": "",
    "cgroup.events": "populated 0\nfrozen 0\n",
    "cpu.stat": "usage_usec 1500000\nnr_throttled 2\nthrottled_usec 500000\n",
    "memory.current": "4096\n",
    "memory.peak": "8192\n",
    "memory.events": "max 0\noom 0\noom_kill 0\n",
    "pids.current": "3\n",
    "cpu.weight": "100\n",
    "cpuset.cpus": "\n",
    "cpuset.cpus.effective": "0-1,3\n",
    "io.max": "",
}


@pytest.fixture
def root(tmp_path):
    for directory in (tmp_path, tmp_path / "runwright"):
        directory.mkdir(exist_ok=True)
        (directory / "cgroup.subtree_control").touch()
    run = tmp_path / "runwright" / "run"
    run.mkdir()
    for name, text in FILES.items():
        (run / name).write_text(text)
    return tmp_path


@pytest.fixture
def cgroups(root):
    mounts = {name: str(root) for name in ("memory", "cpu", "pids")}
    cgroups = CgroupV2(Hierarchies(2, mounts, ()), "runwright")
    yield cgroups
    cgroups.close()


def read(root, file):
    return (root / "runwright" / "run" / file).read_text()


def test_the_cgroup_controllers_are_enabled_from_the_root_down(root, cgroups):
    assert (root / "cgroup.subtree_control").read_text() == "+memory +cpu +pids"
    assert (root / "runwright" / "cgroup.subtree_control").read_text() == "+memory +cpu +pids"


def test_limits_are_written_into_the_runs_files(root, cgroups):
    cgroups.create("run", LIMITS)

    assert read(root, "memory.max").startswith("67108864")
    assert read(root, "memory.swap.max").startswith("0")
    assert read(root, "memory.oom.group").startswith("1")
    assert read(root, "cpu.max").startswith("50000 100000")
    assert read(root, "pids.max").startswith("20")


def test_a_kernel_that_counts_no_swap_refuses_the_run_and_says_what_to_do(root, cgroups):
    (root / "runwright" / "run" / "memory.swap.max").unlink()

    with pytest.raises(CgroupError, match=r"memory\.swap\.max: ENOENT .*: boot with swapaccount=1"):
        cgroups.update("run", LIMITS)


def test_there_are_no_blanks_as_a_cgroup_keeps_its_name(cgroups):
    assert not cgroups.make_blank("blank-7")
    with pytest.raises(CgroupError, match="EPERM .a cgroup of version 2 keeps its name"):
        cgroups.turn("blank-7", "run", LIMITS)
    cgroups.remove_blanks()

    assert cgroups.names() == ("run",)


def test_a_cgroup_that_could_not_get_its_limits_is_not_left(root, cgroups):
    with pytest.raises(CgroupError, match="cannot write"):
        cgroups.create("new", LIMITS)

    assert cgroups.names() == ("run",)


def test_usage_is_read_from_the_runs_files(cgroups):
    assert cgroups.usage("run") == Usage(1.5, 0.5, 2, 4096, 8192, 3, 0)


def test_a_missing_peak_is_none_and_a_missing_run_an_error(root, cgroups):
    (root / "runwright" / "run" / "memory.peak").unlink()

    assert cgroups.usage("run").memory_peak_bytes is None
    with pytest.raises(CgroupError) as refused:
        cgroups.usage("gone")
    assert refused.value.errno == errno.ENOENT


def test_an_oom_kill_makes_the_watch_readable(root, cgroups):
    watch = cgroups.open_oom_watch("run")
    poll = select.poll()
    poll.register(watch.fileno(), select.POLLIN)
    quiet = poll.poll(0)
    (root / "runwright" / "run" / "memory.events").write_text("max 3\noom 1\noom_kill 1\n")

    assert quiet == []
    assert poll.poll(0) != []
    assert watch.killed_count() == 1
    watch.acknowledge()
    watch.acknowledge()
    assert poll.poll(0) == []
    watch.close()
    watch.close()


def test_a_supervisor_that_no_longer_sees_the_hierarchy_can_watch_and_read(root, cgroups):
    root.rename(root.with_name("elsewhere"))
    watch, reader = cgroups.open_oom_watch("run"), cgroups.open_usage("run")
    poll = select.poll()
    poll.register(watch.fileno(), select.POLLIN)
    (root.with_name("elsewhere") / "runwright" / "run" / "memory.events").write_text("oom_kill 1\n")

    assert poll.poll(0) != []
    assert (watch.killed_count(), reader.read().oom_kills) == (1, 1)
    watch.close()
    reader.close()


def test_freezing_and_killing_are_one_write_each(root, cgroups):
    cgroups.freeze("run")
    frozen = read(root, "cgroup.freeze")
    cgroups.thaw("run")
    cgroups.kill("run")
    cgroups.kill("gone")

    assert (frozen[0], read(root, "cgroup.freeze")[0], read(root, "cgroup.kill")) == ("1", "0", "1")


def test_joining_is_writing_cgroup_procs(root, cgroups):
    (fd,) = cgroups.open_join_fds("run")
    os.write(fd, b"0")
    os.close(fd)

    assert read(root, "cgroup.procs") == "0"


def test_a_parent_with_processes_above_says_what_to_do(root, monkeypatch):
    (root / "cgroup.subtree_control").unlink()
    mounts = {name: str(root) for name in ("memory", "cpu", "pids")}

    with pytest.raises(CgroupError, match="move them into a cgroup of their own"):
        CgroupV2(Hierarchies(2, mounts, ()), "runwright")


def test_removal_is_repeatable_and_never_of_what_is_not_empty(root, cgroups):
    (root / "runwright" / "empty").mkdir()
    cgroups.remove("empty")
    cgroups.remove("empty")

    with pytest.raises(OSError, match="cannot remove the cgroup"):
        cgroups.remove("run")
    assert cgroups.names() == ("run",)
    assert issubclass(CgroupBusy, CgroupError)


def with_rare(root, *rare):
    mounts = {name: str(root) for name in ("memory", "cpu", "pids")}
    return CgroupV2(Hierarchies(2, mounts, (), dict.fromkeys(rare, str(root))), "runwright")


def test_weight_cpus_and_io_are_written_and_enabled_for_those_who_ask(root):
    cgroups = with_rare(root, "io", "cpuset")
    limits = Limits(None, None, None, cpu_weight=50, cpus=(0, 1, 3), io=(IoLimit("8:0", read_bytes=4096),))

    cgroups.create("run", limits)
    cgroups.close()

    assert read(root, "cpu.weight").startswith("50")
    assert read(root, "cpuset.cpus") == "0-1,3"
    assert read(root, "io.max") == "8:0 rbps=4096 wbps=max riops=max wiops=max"
    for place in (root, root / "runwright"):
        assert (place / "cgroup.subtree_control").read_text().startswith("+cpuset +io")


def test_cpus_that_the_kernel_did_not_give_are_refused_with_those_it_did(root):
    cgroups = with_rare(root, "cpuset")

    with pytest.raises(CgroupError, match=r"there are the CPUs 0-1,3, not 0-2\): use CPUs that are online"):
        cgroups.create("run", Limits(None, None, None, cpus=(0, 1, 2)))
    cgroups.close()


@pytest.mark.parametrize(
    ("limits", "missing"),
    [
        (Limits(None, None, None, cpus=(0,)), "cpuset"),
        (Limits(None, None, None, io=(IoLimit("8:0", read_bytes=4096),)), "io"),
    ],
)
def test_a_controller_that_is_missing_is_refused_to_those_who_ask_alone(root, cgroups, limits, missing):
    with pytest.raises(CgroupError, match=rf"cgroup v2 has no {missing} here\): enable it"):
        cgroups.create("new", limits)
    cgroups.create("run", LIMITS)

    assert cgroups.names() == ("run",)


def test_limits_of_io_are_taken_off_before_a_run_is_killed(root, cgroups):
    (root / "runwright" / "run" / "io.max").write_text("8:0 rbps=4096 wbps=max riops=max wiops=max\n")

    cgroups.kill("run")

    assert read(root, "io.max").startswith("8:0 rbps=max wbps=max riops=max wiops=max")


def test_what_the_cgroups_above_did_is_not_the_runs_own_lack_of_memory(root, cgroups):
    watch = cgroups.open_oom_watch("run")
    (root / "runwright" / "run" / "memory.events").write_text("max 0\noom 0\noom_kill 1\n")
    for_others = watch.was_at_its_limit()
    (root / "runwright" / "run" / "memory.events").write_text("max 9\noom 1\noom_kill 1\n")
    for_itself = watch.was_at_its_limit()
    watch.close()

    assert (for_others, for_itself) == (False, True)


def test_a_parent_may_lie_below_another(root):
    (root / "runwright" / "runs").mkdir()
    (root / "runwright" / "runs" / "cgroup.subtree_control").touch()
    mounts = {name: str(root) for name in ("memory", "cpu", "pids")}

    CgroupV2(Hierarchies(2, mounts, ()), "runwright/runs").close()

    for place in (root, root / "runwright", root / "runwright/runs"):
        assert (place / "cgroup.subtree_control").read_text() == "+memory +cpu +pids"
    with pytest.raises(ValueError, match="cannot name a cgroup '..'"):
        CgroupV2(Hierarchies(2, mounts, ()), "runwright/..")
