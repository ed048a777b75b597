"""The cgroup of everything, on the hierarchies that this machine really has."""

import itertools
import os
from pathlib import Path

import pytest

from controller.cgroup.choose import hierarchies_of_host, open_lifecycle
from controller.cgroup.lifecycle import CgroupBusy
from controller.cgroup.limits import Limits
from controller.cgroup.slice import RUNS, Slice
from controller.cgroup.slice_caps import UNLIMITED, Caps, number
from support.cgroups import remove_once_reaped, start_in

pytestmark = pytest.mark.needs_root

MiB = 1 << 20
HOST = hierarchies_of_host()
V1 = HOST.version == 1
MEMORY = "memory.limit_in_bytes" if V1 else "memory.max"
CPU = "cpu.cfs_quota_us" if V1 else "cpu.max"
NO_CAPS = Caps(None, None, None)
_numbers = itertools.count()


@pytest.fixture
def name():
    name = f"runwright-test-{os.getpid()}-slice-{next(_numbers)}"
    yield name
    Slice(HOST, name).remove()


def file_of(name, controller, file):
    return Path(HOST.mounts[controller], name, file)


def found(name):
    files = (("memory", MEMORY), ("cpu", CPU), ("pids", "pids.max"))
    return tuple(number(file_of(name, controller, file).read_text()) for controller, file in files)


def test_a_slice_has_its_caps_and_new_ones_up_and_down(name):
    everything = Slice(HOST, name)
    for memory, cpu, pids in ((64 * MiB, 1500, 100), (256 * MiB, 2000, 200), (32 * MiB, 500, 80)):
        told = everything.hold(Caps(memory, cpu, pids))

        assert told == ()
        assert found(name) == (memory, cpu * 100, pids)
        assert file_of(name, "pids", f"{RUNS}/pids.max").read_text().strip() == str(pids - pids // 8)


def test_caps_are_taken_off_again(name):
    everything = Slice(HOST, name)
    everything.hold(Caps(64 * MiB, 500, 100))
    told = everything.hold(NO_CAPS)

    assert (told, found(name)) == ((), (UNLIMITED,) * 3)


def test_a_lower_cap_of_an_administrator_is_kept_and_told(name):
    Slice(HOST, name).hold(NO_CAPS)
    file_of(name, "memory", MEMORY).write_text(str(32 * MiB))

    (told,) = Slice(HOST, name).hold(Caps(64 * MiB, None, None))

    assert told.endswith(f"{MEMORY} is {32 * MiB}, which somebody else set: it is lower than cgroup.memory, and kept")
    assert found(name)[0] == 32 * MiB


def test_a_higher_cap_of_an_administrator_gives_way_and_is_told(name):
    Slice(HOST, name).hold(NO_CAPS)
    file_of(name, "pids", "pids.max").write_text("5000")

    (told,) = Slice(HOST, name).hold(Caps(None, None, 200))

    assert "pids.max was 5000, which somebody else set: now 200" in told
    assert found(name)[2] == 200


def test_a_cap_on_cpu_that_comes_later_reaches_those_who_have_more(name):
    Slice(HOST, name).hold(NO_CAPS)
    lifecycle = open_lifecycle(HOST, f"{name}/{RUNS}")
    lifecycle.create("run", Limits(None, 4000, None))

    Slice(HOST, name).hold(Caps(None, 1000, None))

    assert found(name)[1] == 100_000
    lifecycle.create("later", Limits(None, 4000, None))  # Version 1 has it no higher than what is above it.
    lifecycle.remove("later")
    lifecycle.remove("run")
    lifecycle.close()


def test_a_slice_in_use_is_not_removed(name, monkeypatch):
    Slice(HOST, name).hold(NO_CAPS)
    lifecycle = open_lifecycle(HOST, f"{name}/{RUNS}")
    lifecycle.create("run", Limits(None, None, None))
    monkeypatch.setattr("controller.cgroup.slice._REMOVAL_TRIES", 1)

    with pytest.raises(CgroupBusy):
        Slice(HOST, name).remove()

    lifecycle.remove("run")
    lifecycle.close()


def test_a_process_in_the_slice_is_in_it_for_every_cap(name):
    Slice(HOST, name).hold(NO_CAPS)
    lifecycle = open_lifecycle(HOST, f"{name}/{RUNS}")
    lifecycle.create("run", Limits(None, None, None))
    pid = start_in(lifecycle, "run", lambda: os.read(os.pipe()[0], 1))
    seen = Path(f"/proc/{pid}/cgroup").read_text()
    lifecycle.kill("run")
    os.waitpid(pid, 0)
    remove_once_reaped(lifecycle, "run")
    lifecycle.close()

    assert seen.count(f"/{name}/{RUNS}/run\n") == len(set(HOST.mounts.values()))
