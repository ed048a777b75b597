"""Crashes of jobs: no program of the host is started for them, and no core is left unless it was asked for."""

import json
import signal
from dataclasses import replace

import pytest

from api.types.job import Job
from controller.devices.fitting import Fitting
from controller.job import host_limits
from controller.job.observed import RuntimeReady
from controller.sandbox.confine import ProcessLimits
from controller.sandbox.rights import Rights
from support.crashes import (
    CRASH,
    IS_THROWN_AWAY,
    crashes_told_to_a_program,
    on_a_machine_of_our_own,
    where_cores_are_files,
)
from support.joining import Held
from support.objects import a_job

pytestmark = pytest.mark.needs_root

LOWER = """
import ctypes, os, resource, struct
libc, before, none = ctypes.CDLL(None, use_errno=True), ctypes.create_string_buffer(16), struct.pack("QQ", 0, 0)
said = []
def lower(answer): said.append([answer if answer == 0 else -ctypes.get_errno(), resource.getrlimit(4)])
lower(libc.setrlimit(4, none))
lower(libc.prlimit(0, 4, none, None))
lower(libc.prlimit(0, 4, none, before))
lower(libc.prlimit(os.getpid(), 4, none, None))
child = os.fork()
if child == 0:
    os.read(os.pipe()[0], 1)
libc.prlimit(child, 4, none, None)
said.append([0, resource.prlimit(child, 4)])
os.kill(child, 9)
"""
TELL = "import json\nprint(json.dumps(said), flush=True)\n"


@pytest.mark.invariant("X9")
@pytest.mark.parametrize("rights", [Rights(), Rights("baseline", ("CHOWN",))])
def test_a_job_cannot_lower_its_limit_of_core_files_to_where_the_host_is_told(launching, rights):
    record, output = launching.run("/usr/bin/python3", "-c", LOWER + TELL, rights=rights)

    assert json.loads(output) == [[0, [1, 1]], [0, [1, 1]], [-1, [1, 1]], [0, [1, 1]], [0, [1, 1]]]
    assert (record.receipt["coreLimit"], record.receipt["dumpable"]) == (1, False)


@pytest.mark.invariant("X9")
def test_who_goes_into_a_run_cannot_lower_it_either(launching):
    held = Held(launching)

    code, output = held.output("/usr/bin/python3", "-c", LOWER + TELL)
    held.end()

    assert (code, json.loads(output)[-1]) == (0, [0, [1, 1]])


def where_builds_can_be(building):
    """The machine's file systems map no owners, which keeps builds from being another's root than the host's."""
    return replace(building, host=replace(building.host, as_root=IS_THROWN_AWAY))


@pytest.mark.invariant("X9")
def test_nor_can_a_build(building):
    ran = where_builds_can_be(building).shell(f"python3 -c '{LOWER + TELL}'")

    assert json.loads(ran.lines[-1])[-1] == [0, [1, 1]]


@where_cores_are_files
def test_no_core_is_left_unless_it_was_asked_for_and_then_no_larger_than_that(launching):
    script = f"python3 -c '{CRASH}'; stat -c %s /work/core* 2> /dev/null || echo none"

    record, nothing = launching.shell(script)
    asked, something = launching.shell(script, process_limits=ProcessLimits(core_bytes=100 << 10))
    _, too_little = launching.shell(script, process_limits=ProcessLimits(core_bytes=2))

    assert (nothing, record.receipt["coreLimit"]) == ("none\n", 1)
    assert 4096 <= int(something) <= 100 << 10
    assert asked.receipt["coreLimit"] == asked.receipt["coreSize"] == 100 << 10
    assert too_little == "none\n"


@where_cores_are_files
def test_a_run_that_leaves_cores_may_do_without(launching):
    script = "import os, resource; resource.setrlimit(4, (0, 0)); print(resource.getrlimit(4), flush=True); os.abort()"
    shell = f"python3 -c '{script}'; ls /work"

    _, output = launching.shell(shell, process_limits=ProcessLimits(core_bytes=1 << 20))

    assert output == "(0, 0)\n"


@pytest.fixture
def told():
    with crashes_told_to_a_program() as told:
        assert told.of_a_process_with_limit(0)  # So the tests below are about something.
        assert not told.of_a_process_with_limit(1)
        yield told


@on_a_machine_of_our_own
@pytest.mark.invariant("X9")
@pytest.mark.parametrize("rights", [Rights(), Rights("baseline")])
def test_no_program_of_the_host_is_started_for_a_jobs_crash(launching, told, rights):
    seen = told.pids()

    at_once, _ = launching.shell("kill -SEGV $$", rights=rights)
    of_itself, _ = launching.run("/usr/bin/python3", "-c", LOWER + CRASH, rights=rights)
    of_a_child, output = launching.shell("ulimit -c 0; sh -c 'kill -ABRT $$'; echo $?", rights=rights)

    assert [each.signal for each in (at_once, of_itself)] == [signal.SIGSEGV, signal.SIGABRT]
    assert (of_a_child.reason, output) == ("Completed", f"{128 + signal.SIGABRT}\n")
    assert told.pids() == seen


@on_a_machine_of_our_own
@pytest.mark.invariant("X9")
def test_nor_for_the_crash_of_somebody_who_came_in(launching, told):
    held, seen = Held(launching), told.pids()

    code, _ = held.output("/usr/bin/python3", "-c", LOWER + CRASH)
    held.end()

    assert (code, told.pids()) == (128 + signal.SIGABRT, seen)


@on_a_machine_of_our_own
@pytest.mark.invariant("X9")
def test_nor_for_a_builds(building, told):
    seen = told.pids()

    ran = where_builds_can_be(building).shell(f"python3 -c '{LOWER}{CRASH}'; echo $?")

    assert ran.lines[-1] == str(128 + signal.SIGABRT)
    assert told.pids() == seen


@on_a_machine_of_our_own
def test_core_files_are_not_promised_where_no_limit_holds_them(launching, told):
    limits = ProcessLimits(core_bytes=1 << 20)

    record, _ = launching.run("true", process_limits=limits)
    job = Job.model_validate(a_job("etl", resources={"limits": {"coreSize": "1Mi"}}))

    assert (record.reason, record.exit_code) == ("SandboxFailed", None)
    assert "no core file is held to coreSize: kernel.core_pattern is |/tmp/crash-" in record.message
    assert "spec.resources.limits.coreSize" in host_limits.why_not(job, RuntimeReady(), Fitting(), None)
