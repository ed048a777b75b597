"""Runs that are ready ahead of their moment: nothing of them is executed before it, whatever happens meanwhile."""

import os
import signal
import time
from pathlib import Path

import pytest

from api.meta import read_rfc3339
from controller.launcher import control, records
from controller.launcher.records import Exited, Lost
from support.launching import readable, wait_for_end

pytestmark = pytest.mark.needs_root

SECOND = 1_000_000_000
FAR = 3600 * SECOND
NOW = ("date", "+%s%N")


def held(launching, *argv, nanoseconds=FAR, **fields):
    """A run that is claimed and ready: its supervisor has told what it is held to, which it does after all else."""
    spec = launching.spec(*argv, not_before=time.time_ns() + nanoseconds, **fields)
    launching.client.start(spec)
    launching.until(lambda: records.read_receipt(Path(spec.run_dir)) or isinstance(launching.observe(spec), Exited))
    return spec


def nanoseconds_of(moment):
    return int(read_rfc3339(moment).timestamp() * 1_000_000) * 1000


@pytest.mark.invariant("T1")
def test_a_command_is_executed_at_its_moment_and_not_before(launching):
    spec = held(launching, *NOW, nanoseconds=SECOND)
    record = launching.record_of(spec)

    assert int(launching.output_of(spec)) >= spec.not_before
    assert nanoseconds_of(record.started_at) >= spec.not_before // 1000 * 1000
    assert (record.reason, record.exit_code) == ("Completed", 0)


def test_until_then_it_is_seen_to_be_held_and_has_no_start(launching):
    spec = held(launching, *NOW)
    ready = launching.observe(spec)

    assert (ready.is_held, ready.started_at) == (True, "")
    assert nanoseconds_of(ready.not_before) == spec.not_before // 1000 * 1000
    assert records.read_receipt(Path(spec.run_dir))["cgroup"]
    launching.stop(spec)


def test_it_is_seen_to_run_from_its_start_on(launching):
    spec = held(launching, "sleep", "600", nanoseconds=SECOND // 2)

    launching.until(lambda: not launching.observe(spec).is_held)

    begun = launching.observe(spec)
    assert nanoseconds_of(begun.started_at) >= spec.not_before // 1000 * 1000
    assert records.read_receipt(Path(spec.run_dir))["cgroup"]
    launching.stop(spec)
    assert launching.record_of(spec).started_at == begun.started_at


def test_a_moment_that_is_over_holds_nothing(launching):
    spec = held(launching, *NOW, nanoseconds=-FAR)

    record = launching.record_of(spec)

    assert abs(nanoseconds_of(record.started_at) - int(launching.output_of(spec))) < 30 * SECOND


def test_its_deadline_counts_from_its_start(launching):
    spec = held(launching, "sleep", "600", nanoseconds=SECOND, deadline_seconds=0.4, grace_seconds=0.1)
    record = launching.record_of(spec)
    lasted = nanoseconds_of(record.finished_at) - nanoseconds_of(record.started_at)

    assert record.reason == "DeadlineExceeded"
    assert lasted >= 0.4 * SECOND


def test_so_does_one_that_it_is_given_meanwhile(launching):
    spec = held(launching, "sleep", "600", nanoseconds=SECOND)
    control.set_deadline(Path(spec.run_dir), 0.3)
    record = launching.record_of(spec)

    assert record.reason == "DeadlineExceeded"
    assert nanoseconds_of(record.started_at) >= spec.not_before // 1000 * 1000


@pytest.mark.invariant("T1")
def test_one_that_is_stopped_meanwhile_never_was_executed(launching):
    spec = held(launching, "sh", "-c", "trap '' TERM; echo executed; sleep 600")

    control.stop(Path(spec.run_dir), "Rescheduled", 600)
    record = launching.record_of(spec)

    assert (record.reason, record.exit_code, record.signal, record.started_at) == ("Rescheduled", None, None, "")
    assert record.message == "stopped as asked for, before anything of it was executed"
    assert launching.output_of(spec) == ""


@pytest.mark.invariant("T1")
def test_one_that_is_taken_back_never_was_executed(launching):
    spec = held(launching, "sh", "-c", "trap '' TERM; echo executed; sleep 600")

    assert control.take_back(Path(spec.run_dir), "Rescheduled")
    record = launching.record_of(spec)

    assert (record.reason, record.exit_code, record.signal, record.started_at) == ("Rescheduled", None, None, "")
    assert record.message == "taken back, before anything of it was executed"
    assert launching.output_of(spec) == ""


@pytest.mark.invariant("R2")
@pytest.mark.parametrize("is_heard", [True, False])
def test_one_that_has_begun_is_not_taken_back(launching, is_heard):
    spec = held(launching, "sh", "-c", "echo begun; sleep 1; echo done", nanoseconds=SECOND // 2)
    supervisor = launching.observe(spec).pid
    if not is_heard:
        os.kill(supervisor, signal.SIGSTOP)
    launching.wait_for_output(spec, "begun") if is_heard else launching.until(
        lambda: time.time_ns() > spec.not_before + SECOND // 4
    )
    control.take_back(Path(spec.run_dir), "Rescheduled")
    os.kill(supervisor, signal.SIGCONT)
    record = launching.record_of(spec)

    assert (record.reason, launching.output_of(spec)) == ("Completed", "begun\ndone\n")


@pytest.mark.invariant("T1")
def test_one_whose_supervisor_is_killed_never_is_executed(launching):
    spec = held(launching, "sh", "-c", "echo executed", nanoseconds=3 * SECOND)
    os.kill(launching.observe(spec).pid, signal.SIGKILL)

    ended = wait_for_end(Path(spec.run_dir))

    assert isinstance(ended, Lost)
    assert (ended.started_at, nanoseconds_of(ended.not_before)) == ("", spec.not_before // 1000 * 1000)
    launching.until(lambda: time.time_ns() > spec.not_before)
    assert launching.output_of(spec) == ""


def test_it_needs_no_launcher_for_its_start(launching):
    spec = held(launching, *NOW, nanoseconds=3 * SECOND)
    fd = os.pidfd_open(launching.client.ping())
    signal.pidfd_send_signal(fd, signal.SIGKILL)
    assert readable(fd, 20)
    os.close(fd)

    assert launching.record_of(spec).reason == "Completed"
    assert int(launching.output_of(spec)) >= spec.not_before


def test_what_cannot_be_executed_says_so_at_its_moment(launching):
    spec = held(launching, "/nonesuch", nanoseconds=SECOND)
    record = launching.record_of(spec)

    assert (record.reason, record.exit_code) == ("ContainerCannotRun", 127)
    assert nanoseconds_of(record.finished_at) >= spec.not_before // 1000 * 1000


def test_one_that_is_killed_by_others_meanwhile_has_no_start(launching):
    spec = held(launching, "sleep", "600")
    parent = launching.observe(spec).pid
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    os.kill(int(children[0]), signal.SIGKILL)

    record = launching.record_of(spec)

    assert (record.reason, record.signal, record.started_at) == ("Error", signal.SIGKILL, "")


def test_a_frozen_one_begins_when_it_is_thawed(launching):
    spec = held(launching, *NOW, nanoseconds=3 * SECOND)
    lifecycle = launching.lifecycle()
    lifecycle.freeze(spec.cgroup)
    launching.until(lambda: time.time_ns() > spec.not_before + SECOND // 5)
    thawed = time.time_ns()
    lifecycle.thaw(spec.cgroup)

    assert launching.record_of(spec).reason == "Completed"
    assert int(launching.output_of(spec)) >= thawed
    lifecycle.close()
