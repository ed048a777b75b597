"""What ends a run: its memory, its processes, its time, an order. Each really reached."""

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from controller.cgroup import choose
from controller.cgroup.limits import Limits
from controller.launcher import control
from controller.launcher.records import Running
from support.launching import MIB, readable

pytestmark = pytest.mark.needs_root

EAT = "x = []\nwhile True: x.append(bytearray(1 << 20))"


def test_a_run_over_its_memory_is_killed_and_says_so(launching):
    record, _ = launching.run("/usr/bin/python3", "-c", EAT, limits=Limits(64 * MIB, None, None))

    assert (record.reason, record.exit_code, record.signal) == ("OOMKilled", 137, signal.SIGKILL)
    assert record.message.startswith("the run needed more memory than its limit")
    assert 60 * MIB < record.usage["memory_peak_bytes"] <= 64 * MIB


def test_a_part_over_the_memory_takes_the_whole_run_along(launching):
    script = f"python3 -c '{EAT}' & wait; sleep 600"

    record, _ = launching.shell(script, limits=Limits(64 * MIB, None, None))

    assert (record.reason, record.exit_code) == ("OOMKilled", 137)


def test_a_fork_bomb_stops_at_its_processes(launching):
    script = (
        "import os, signal\n"
        "count = 0\n"
        "try:\n"
        "    while True:\n"
        "        if os.fork() == 0: signal.pause()\n"
        "        count += 1\n"
        "except BlockingIOError: print(count, flush=True)\n"
    )
    record, output = launching.run("/usr/bin/python3", "-c", script, limits=Limits(None, None, 20))

    assert (record.reason, output) == ("Completed", "19\n")


def test_a_run_over_its_deadline_is_asked_to_end_and_then_killed(launching):
    record, output = launching.shell(
        "trap 'echo asked' TERM; while :; do sleep 60; done", deadline_seconds=0.3, grace_seconds=0.3
    )

    assert (record.reason, record.exit_code, output) == ("DeadlineExceeded", 137, "asked\n")


def test_a_deadline_can_be_put_off_and_taken_off(launching):
    spec = launching.spec("sh", "-c", "read line < /work/never || true; sleep 60", deadline_seconds=600)
    launching.client.start(spec)

    control.set_deadline(Path(spec.run_dir), None)
    control.set_deadline(Path(spec.run_dir), 0.1)

    assert launching.record_of(spec).reason == "DeadlineExceeded"


def start_and_wait_for_output(launching, script, **fields):
    spec = launching.spec("sh", "-c", script, **fields)
    launching.client.start(spec)
    launching.wait_for_output(spec, "ready")
    return spec


def test_a_stop_gives_a_run_time_to_end_well(launching):
    spec = start_and_wait_for_output(launching, "trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 1; done")

    assert control.stop(Path(spec.run_dir), "Superseded", 30)

    record = launching.record_of(spec)
    assert (record.reason, record.exit_code) == ("Superseded", 0)
    assert launching.output_of(spec) == "ready\nbye\n"


def test_a_stop_that_is_not_heeded_ends_the_run_after_its_grace(launching):
    spec = start_and_wait_for_output(launching, "trap '' TERM; echo ready; sleep 600; sleep 600")

    control.stop(Path(spec.run_dir), "Stopped", 0.2)

    record = launching.record_of(spec)
    assert (record.reason, record.exit_code, record.signal) == ("Stopped", 137, signal.SIGKILL)


def test_a_second_stop_shortens_the_grace_and_keeps_the_first_reason(launching):
    spec = start_and_wait_for_output(launching, "trap '' TERM; echo ready; sleep 600; sleep 600")

    control.stop(Path(spec.run_dir), "Superseded", 600)
    control.stop(Path(spec.run_dir), "Deleted", 0.1)

    assert launching.record_of(spec).reason == "Superseded"


def test_a_run_that_has_ended_can_no_more_be_stopped(launching):
    spec = launching.spec("true")
    launching.client.start(spec)
    launching.record_of(spec)

    assert not control.stop(Path(spec.run_dir), "Stopped", 1)


def test_what_a_run_leaves_in_the_background_ends_with_it(launching):
    spec = launching.spec("sh", "-c", "setsid sleep 600 & echo done")
    launching.client.start(spec)

    assert launching.record_of(spec).reason == "Completed"
    assert launching.output_of(spec) == "done\n"


def test_orphans_are_reaped_while_the_run_goes_on(launching):
    script = "for i in 1 2 3 4 5; do (true & ) ; done; sleep 0.3; cat /proc/[0-9]*/stat | grep -c ' Z ' ; true"

    _, output = launching.shell(script)

    assert output == "0\n"


def test_a_supervisor_told_to_end_by_the_host_ends_its_run_and_records_it(launching):
    spec = start_and_wait_for_output(launching, "echo ready; exec sleep 600")
    running = launching.observe(spec)
    assert isinstance(running, Running)

    os.kill(running.pid, signal.SIGTERM)

    record = launching.record_of(spec)
    assert (record.reason, record.signal) == ("Stopped", signal.SIGTERM)


def test_the_cgroup_is_gone_after_the_run(launching):
    lifecycle = choose.open_lifecycle(choose.hierarchies_of_host(), launching.cgroup_parent)
    launching.run("true")

    launching.until(lambda: not lifecycle.names())
    assert lifecycle.names() == ()
    lifecycle.close()


@pytest.mark.parametrize(
    ("argv", "exit_code", "cause"),
    [
        (("nonesuch",), 127, "cannot run nonesuch: it is in no directory of PATH=/usr/bin:/bin"),
        (("/usr/bin/nonesuch",), 127, "cannot run /usr/bin/nonesuch: there is no such file in the sandbox"),
        (("/etc/hosts",), 126, "cannot run /etc/hosts: it is not executable for the job: chmod +x it"),
        (("/work/plain",), 126, "begin a script with #!"),
        (("/work/dangling",), 127, "it is there, but the interpreter it names"),
    ],
)
def test_a_command_that_cannot_be_executed_says_why(launching, argv, exit_code, cause):
    files = launching.root / "files"
    files.mkdir()
    (files / "plain").write_text("no program\n")
    (files / "dangling").write_text("#!/no/such/interpreter\n")
    for name in ("plain", "dangling"):
        (files / name).chmod(0o755)
    sandbox = launching.sandbox(files_dir=str(files))

    record, _ = launching.run(*argv, sandbox=sandbox)

    assert (record.reason, record.exit_code) == ("ContainerCannotRun", exit_code)
    assert cause in record.message


def test_a_working_directory_that_is_not_there_is_named(launching):
    record, _ = launching.run("true", cwd="/nowhere")

    assert record.reason == "ContainerCannotRun"
    assert record.message == "cannot enter the working directory /nowhere: No such file or directory"


def test_a_cgroup_that_cannot_be_made_stops_the_run(launching):

    spec = replace(launching.spec("true"), cgroup="../outside")
    launching.client.start(spec)

    record = launching.record_of(spec)
    assert (record.reason, record.exit_code) == ("SandboxFailed", None)
    assert "cannot name a cgroup '../outside'" in record.message


def test_a_frozen_run_ends_when_it_is_thawed(launching):
    spec = start_and_wait_for_output(launching, "echo ready; exec sleep 600")
    lifecycle = choose.open_lifecycle(choose.hierarchies_of_host(), launching.cgroup_parent)
    running = launching.observe(spec)
    lifecycle.freeze(spec.cgroup)
    control.stop(Path(spec.run_dir), "Stopped", 0)
    pidfd = running.hold()

    if choose.hierarchies_of_host().version == 1:  # On version 2, what is frozen dies at once.
        assert not readable(pidfd, 0.2)
        lifecycle.thaw(spec.cgroup)
    assert launching.record_of(spec).reason == "Stopped"
    os.close(pidfd)
    lifecycle.close()
