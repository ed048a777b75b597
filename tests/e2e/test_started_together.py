"""Runs that are made ready ahead of the moment that they are to start at, with a real daemon; also when it is killed."""

import os
import signal
from datetime import UTC, datetime, timedelta

import pytest

from api.kinds import JOB
from api.meta import read_time, wire_time
from api.types.cron_job import AHEAD_ANNOTATION
from controller.launcher import records
from controller.launcher.records import Running
from support import host
from support.daemon import a_daemon

pytestmark = pytest.mark.needs_root

AT_ONCE = {AHEAD_ANNOTATION: "1"}
"""On a job whose run is made ready as soon as it is there."""
FAR_SECONDS = 55
"""As far ahead as a run is made ready; no test waits for that."""
TAKEN_BACK = "Rescheduled"


@pytest.fixture(scope="module")
def daemon():
    before = host.snapshot()
    with a_daemon() as running:
        yield running
    host.assert_as_before(before)


def in_seconds(seconds):
    return datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=seconds)


def ready(daemon, name, seconds, script="date +%s.%N"):
    """A job whose run is ready, and is held; return the moment, and where the run's records are."""
    moment = in_seconds(seconds)
    run_dir = daemon.run_dir(daemon.shell(name, script, annotations=AT_ONCE, startAt=wire_time(moment)))
    daemon.until(f"{name} is ready", lambda: records.read_receipt(run_dir))
    return moment, run_dir


def start_at(daemon, name, seconds, **spec):
    moment = in_seconds(seconds)
    daemon.patch(name, startAt=wire_time(moment), **spec)
    return moment


def taken_back(daemon, name):
    """Wait until the first run is on record as taken back; return the job's status."""

    def found():
        status = daemon.status(name)
        return status if status["runs"][0].get("reason") == TAKEN_BACK else None

    return daemon.until(f"{name} is taken back", found)


def reasons(status):
    return [run.get("reason") for run in status["runs"]]


@pytest.mark.invariant("T1")
def test_until_its_moment_a_job_waits_though_its_run_is_ready_and_can_be_canceled(daemon):
    ready(daemon, "waits", FAR_SECONDS)
    status = daemon.status("waits")
    explained = daemon.rnx("explain", "job", "waits").stdout
    refused = daemon.rnx("exec", "waits", "--", "true")
    canceled = daemon.rnx("job", "cancel", "waits")

    assert (status["phase"], status["reason"], status["active"]) == ("Pending", "Scheduled", 0)
    assert [run["state"] for run in status["runs"]] == ["Pending"]
    assert "run 1 on this host: ready, and held until " in explained
    assert (refused.returncode, "its run is not running (Pending)" in refused.stderr) == (1, True), refused.stderr
    assert canceled.returncode == 0, canceled.stderr
    assert daemon.ended("waits")["reason"] == "Canceled"
    assert daemon.log_of("waits") == ""


@pytest.mark.invariant("T1")
def test_its_command_is_executed_at_its_moment_and_told_as_any_other(daemon):
    moment, _ = ready(daemon, "punctual", 4)
    status = daemon.ended("punctual")

    assert float(daemon.log_of("punctual")) >= moment.timestamp()
    assert moment <= read_time(status["startTime"])
    assert status["startTime"] == status["runs"][0]["startedAt"]
    told = daemon.until("it is told", lambda: len(found := daemon.events("punctual")) >= 3 and found)
    assert sorted({each["reason"] for each in told}) == ["Completed", "Scheduled", "Started"]


@pytest.mark.invariant("T1")
def test_a_moment_that_is_put_off_is_kept_to(daemon):
    _, run_dir = ready(daemon, "put-off", FAR_SECONDS)
    later = start_at(daemon, "put-off", 3600)
    taken_back(daemon, "put-off")
    daemon.until("nothing is left of the run", lambda: not run_dir.exists())
    status = daemon.until("it waits", lambda: (found := daemon.status("put-off"))["reason"] == "Scheduled" and found)
    start_at(daemon, "put-off", 0)

    assert status["message"] == f"it starts at {wire_time(later)}"
    assert (status["failed"], {"startedAt", "exitCode"} & status["runs"][0].keys()) == (0, set())
    assert reasons(daemon.ended("put-off")) == [TAKEN_BACK, "Completed"]


def test_one_that_is_suspended_meanwhile_runs_when_it_is_resumed(daemon):
    ready(daemon, "paused", FAR_SECONDS)
    daemon.patch("paused", suspend=True)
    taken_back(daemon, "paused")
    daemon.until("it is suspended", lambda: daemon.status("paused")["phase"] == "Suspended")
    start_at(daemon, "paused", 0, suspend=False)

    assert reasons(daemon.ended("paused")) == [TAKEN_BACK, "Completed"]


def test_one_that_is_changed_meanwhile_is_what_it_is_at_its_moment(daemon):
    moment, _ = ready(daemon, "changed", 6, "echo before")
    daemon.patch("changed", command=["echo", "after"])
    status = daemon.ended("changed")

    assert reasons(status) == ["Superseded", "Completed"]
    assert daemon.log_of("changed", 2) == "after\n"
    assert read_time(status["startTime"]) >= moment


def test_one_that_is_deleted_meanwhile_leaves_nothing(daemon):
    _, run_dir = ready(daemon, "unwanted", FAR_SECONDS)
    daemon.delete("unwanted")
    daemon.gone("unwanted")

    assert not run_dir.parent.exists()


@pytest.mark.invariant("R2")
def test_one_whose_supervisor_is_killed_meanwhile_has_not_failed_and_another_begins_when_it_is_due(daemon):
    _, run_dir = ready(daemon, "hit", FAR_SECONDS)
    os.kill(records.observe(run_dir).pid, signal.SIGKILL)
    taken_back(daemon, "hit")
    start_at(daemon, "hit", 0)

    assert reasons(daemon.ended("hit")) == [TAKEN_BACK, "Completed"]


@pytest.mark.invariant("T1")
@pytest.mark.invariant("R2")
def test_it_begins_at_its_moment_and_once_though_neither_daemon_nor_launcher_is_there(daemon):
    moment, run_dir = ready(daemon, "alone", 4, "date +%s.%N; sleep 600")
    daemon.kill_launcher()
    daemon.kill_daemon()
    daemon.until("it has begun", lambda: records.observe(run_dir).started_at)
    daemon.start()
    run = daemon.running("alone")

    assert float(daemon.printed("alone", ".")) >= moment.timestamp()
    assert read_time(run["startedAt"]) >= moment
    assert len(daemon.status("alone")["runs"]) == 1
    daemon.delete("alone")
    daemon.gone("alone")


def test_one_that_is_ready_stays_so_when_the_daemon_is_killed(daemon):
    _, run_dir = ready(daemon, "kept", FAR_SECONDS)
    before = records.observe(run_dir)
    daemon.kill_daemon()
    daemon.start()
    daemon.client.merge_patch(JOB, "default", "kept", {"metadata": {"labels": {"seen": "again"}}})
    daemon.until("another has run meanwhile", lambda: daemon.shell("other", "true") and daemon.ended("other"))

    assert isinstance(before, Running)
    assert records.observe(run_dir) == before
    daemon.delete("kept")
    daemon.gone("kept")


@pytest.mark.invariant("R2")
def test_of_many_each_is_begun_once_and_none_before_its_moment(daemon):
    names = [f"crowd-{number}" for number in range(40)]
    moment = in_seconds(6)
    for name in names:
        daemon.shell(name, "date +%s.%N", startAt=wire_time(moment))
    early = daemon.until("some are begun", lambda: [each for each in names if daemon.status(each).get("runs")])
    ended = {name: daemon.ended(name) for name in names}

    assert early
    assert {(status["phase"], len(status["runs"])) for status in ended.values()} == {("Succeeded", 1)}
    assert min(read_time(status["startTime"]) for status in ended.values()) >= moment
    assert min(float(daemon.log_of(name)) for name in names) >= moment.timestamp()
