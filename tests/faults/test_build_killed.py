"""kill -9 of whoever has a part in a build, at any moment: nothing of it goes on, and nothing of it stays."""

import os
import random
import select
import signal
import threading
from pathlib import Path

import pytest

from controller.linux.removal import remove_tree
from controller.runtime.build.sandbox import BuildEnd, sweep
from support.building import Building

pytestmark = pytest.mark.needs_root

MARK = "7780.25"
SCRIPT = f"for i in 1 2 3; do setsid sleep {MARK} & done; echo started; while :; do echo x > /file; rm /file; done"
MOMENTS = 8


@pytest.mark.invariant("B3")
def test_a_daemon_killed_at_any_moment_of_a_build_leaves_nothing_that_the_next_start_does_not_remove(building):
    moments = random.Random(20261122)
    for _ in range(MOMENTS):
        pid = os.fork()
        if pid == 0:
            _build_and_never_return(building)
        select.poll().poll(moments.randrange(1, 300))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        _wait_until(lambda: not _processes_of_builds())
        sweep(building.host.cgroup_parent)
        for scratch in building.directory.glob("scratch-*"):
            remove_tree(scratch)

        assert building.shell("echo again").lines == ["again"]


@pytest.mark.invariant("B3")
@pytest.mark.parametrize("generation", [1, 2, 3])
def test_a_part_of_a_build_that_is_killed_takes_all_of_it_along(building, generation):
    """1 is the process around the sandbox, 2 is process 1 of it, 3 is the script."""

    others = _children(os.getpid())

    def kill_it() -> None:
        pid = os.getpid()
        for _ in range(generation):
            pid = _wait_until(lambda pid=pid: next((child for child in _children(pid) if child not in others), None))
        os.kill(pid, signal.SIGKILL)

    said: list[str] = []
    run = building.spec("bash", "-c", SCRIPT)

    from controller.runtime.build.sandbox import run_build

    def on_line(line: str) -> None:
        said.append(line)
        killer.start()

    killer = threading.Thread(target=kill_it)
    result = run_build(run, building.host, on_line)
    killer.join()

    assert said == ["started"]
    assert result.reason is (BuildEnd.LOST if generation == 1 else BuildEnd.SIGNALLED)
    _wait_until(lambda: not _processes_of_builds())
    assert not run.scratch.exists()


@pytest.mark.invariant("B3")
def test_a_build_that_nobody_wants_any_more_is_ended_at_once(building):
    class Enough(Exception):
        pass

    said: list[str] = []

    def tick() -> None:
        if said:
            raise Enough

    run = building.spec("bash", "-c", "echo on; sleep 7780.25")
    from controller.runtime.build.sandbox import run_build

    with pytest.raises(Enough):
        run_build(run, building.host, said.append, tick=tick)

    assert not _processes_of_builds()
    assert not run.scratch.exists()


def test_sweeping_removes_the_cgroups_that_a_killed_daemon_left(building):
    from controller.cgroup import choose
    from controller.cgroup.limits import Limits

    lifecycle = choose.open_lifecycle(choose.hierarchies_of_host(), building.host.cgroup_parent)
    lifecycle.create("left-1", Limits(None, None, 10))
    lifecycle.close()

    assert sweep(building.host.cgroup_parent) == ("left-1",)
    assert sweep(building.host.cgroup_parent) == ()


def _build_and_never_return(building: Building) -> None:
    try:
        os.setsid()
        building.shell(SCRIPT)
    finally:
        os._exit(0)


def _processes_of_builds() -> list[str]:
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            line = Path(f"/proc/{pid}/cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if MARK.encode() in line:
            found.append(pid)
    return found


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def _wait_until(condition):
    for _ in range(1000):
        if found := condition():
            return found
        select.poll().poll(10)
    raise AssertionError("it did not come to be so within ten seconds")
