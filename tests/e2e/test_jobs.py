"""Jobs from declaration to outcome, through a real daemon: how they end, are retried, held, changed and removed."""

import base64
import hashlib
import itertools
import json
import os
import signal
import time

import pytest

from api.errors import Invalid
from api.kinds import JOB
from api.meta import read_time
from controller.engine.clock import SystemClock
from support import host
from support.daemon import a_daemon, is_alive

pytestmark = pytest.mark.needs_root

UNTIL_HELD = (
    "now=$(date +%s); last=$now; echo begun; "
    "while [ $((now - last)) -lt {seconds} ]; do last=$now; sleep 0.02; now=$(date +%s); done"
)
"""Each reading of the clock is compared with the one before it: whenever it is held once it has begun, it is between two
of them."""
UNTIL_TOLD = "while [ ! -e /work/go ]; do sleep 0.02; done"
TRAP = "trap '{what}' TERM; echo ready; while :; do sleep 0.02; done"


@pytest.fixture(scope="module")
def daemon():
    before = host.snapshot()
    with a_daemon("jobs.workers=8", "logs.max_size=16Ki", "logs.max_files=3") as daemon:
        yield daemon
    host.assert_as_before(before)


def seconds_between(begin, end):
    return (read_time(end) - read_time(begin)).total_seconds()


def last(status):
    return status["runs"][-1]


def tell(daemon, name):
    """Have a job go on that waits to be told."""
    assert daemon.rnx("exec", name, "--", "touch", "/work/go").returncode == 0


# How a job ends


@pytest.mark.parametrize(
    ("name", "command", "phase", "reason", "exit_code", "signal_number", "message"),
    [
        ("well", ["true"], "Succeeded", "Completed", 0, None, ""),
        ("three", ["sh", "-c", "exit 3"], "Failed", "Error", 3, None, "exited with 3"),
        ("killed", ["sh", "-c", "kill -9 $$"], "Failed", "Error", 137, signal.SIGKILL, "killed by SIGKILL"),
        ("segv", ["sh", "-c", "kill -SEGV $$"], "Failed", "Error", 139, signal.SIGSEGV, "killed by SIGSEGV"),
        ("nowhere", ["no-such-program"], "Failed", "ContainerCannotRun", 127, None, "it is in no directory of PATH"),
        ("plain", ["/etc/hostname"], "Failed", "ContainerCannotRun", 126, None, "not executable"),
    ],
)
def test_a_job_says_how_it_ended(daemon, name, command, phase, reason, exit_code, signal_number, message):
    daemon.apply(name, command=command)

    status = daemon.ended(name)

    run = last(status)
    assert (status["phase"], status["reason"]) == (phase, reason)
    assert (run["exitCode"], run.get("signal")) == (exit_code, signal_number)
    assert message in run["message"]
    condition = status["conditions"][0]
    assert (condition["type"], condition["status"]) == ("Complete" if exit_code == 0 else "Failed", "True")
    assert status["observedGeneration"] == daemon.get(JOB, name)["metadata"]["generation"]


def test_a_run_says_what_it_used_and_what_was_enforced(daemon):
    daemon.shell(
        "used", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done", resources={"limits": {"cpu": 1, "memory": "32Mi"}}
    )

    run = last(daemon.ended("used"))

    assert 0 < run["usage"]["cpuSeconds"] < 5
    assert 0 < run["usage"]["memoryPeakBytes"] <= 32 << 20
    receipt = run["receipt"]
    assert (receipt["memoryBytes"], receipt["cpuMillicpu"], receipt["pids"]) == (32 << 20, 1000, 512)
    assert {"cgroup", "ipc", "mnt", "net", "pid", "user", "uts"} <= receipt["namespaces"].keys()


def test_a_job_whose_child_is_killed_for_memory_is_oom_killed_with_all_its_processes(daemon):
    eat = "python3 -c 'b = bytearray(1 << 28)' & wait $!; echo survived; exec sleep 60"
    daemon.shell("children", eat, resources={"limits": {"memory": "32Mi"}})

    status = daemon.ended("children")

    assert (status["phase"], status["reason"]) == ("Failed", "OOMKilled")
    assert "raise the limit" in status["message"]


@pytest.mark.invariant("J5")
def test_a_job_that_stores_too_much_in_tmp_is_held_to_its_size(daemon):
    fill = "head -c 20M /dev/zero > {where}/big; echo $? $(stat -c %s {where}/big)"
    daemon.shell("full-work", fill.format(where="/work"), resources={"limits": {"ephemeral-storage": "4Mi"}})
    daemon.shell("full-tmp", "head -c 80M /dev/zero > /tmp/big; echo $? $(stat -c %s /tmp/big)")

    daemon.ended("full-work")
    daemon.ended("full-tmp")

    assert f"1 {4 << 20}" in daemon.log_of("full-work")
    assert "No space left on device" in daemon.log_of("full-work")
    assert f"1 {64 << 20}" in daemon.log_of("full-tmp")
    assert daemon.status("full-work")["workBytes"] == 4 << 20


# Deadlines


def test_a_job_over_its_deadline_is_ended_and_not_retried(daemon):
    daemon.shell("late", "sleep 60", activeDeadlineSeconds=1, backoffLimit=5, terminationGracePeriodSeconds=5)

    status = daemon.ended("late")

    run = last(status)
    assert (status["reason"], status["attempts"], run["signal"]) == ("DeadlineExceeded", 1, signal.SIGTERM)
    assert 0.9 <= seconds_between(run["startedAt"], run["finishedAt"]) <= 1.8


def test_a_deadline_counts_over_all_retries(daemon):
    daemon.shell("late-retry", "sleep 0.2; exit 1", activeDeadlineSeconds=1.5, backoffLimit=50, backoffSeconds=0.2)

    status = daemon.ended("late-retry")

    assert status["reason"] == "DeadlineExceeded"
    assert 2 <= status["attempts"] <= 4
    took = seconds_between(status["runs"][0]["startedAt"], status["conditions"][0]["lastTransitionTime"])
    assert 0.4 <= took <= 3


def test_a_deadline_can_be_shortened_and_lengthened_while_the_job_runs(daemon):
    daemon.shell("shortened", "sleep 60", activeDeadlineSeconds=300)
    daemon.shell("lengthened", UNTIL_TOLD, activeDeadlineSeconds=5)  # Room for a slow machine to take the change in.
    started = read_time(daemon.running("lengthened")["startedAt"])
    daemon.patch("lengthened", activeDeadlineSeconds=300)
    daemon.running("shortened")

    daemon.patch("shortened", activeDeadlineSeconds=0.5)

    daemon.until("its first has passed", lambda: (SystemClock().now() - started).total_seconds() > 5.1)
    tell(daemon, "lengthened")
    shortened, lengthened = daemon.ended("shortened"), daemon.ended("lengthened")
    assert (shortened["reason"], shortened["attempts"]) == ("DeadlineExceeded", 1)
    assert seconds_between(last(shortened)["startedAt"], last(shortened)["finishedAt"]) < 3
    assert (lengthened["phase"], lengthened["attempts"]) == ("Succeeded", 1)


def test_while_a_job_is_suspended_its_deadline_does_not_count(daemon):
    """Its run ends by itself when it was held for longer than its deadline, however slow the machine is, and not before."""
    deadline = 6
    daemon.shell("held-deadline", UNTIL_HELD.format(seconds=deadline), activeDeadlineSeconds=deadline)
    daemon.printed("held-deadline", "begun")
    daemon.patch("held-deadline", suspend=True)
    frozen = daemon.until("frozen", lambda: is_frozen(daemon, "held-deadline"))
    since = time.monotonic()
    started = last(daemon.status("held-deadline"))["startedAt"]
    daemon.until("the deadline has passed", lambda: time.monotonic() - since > deadline + 0.1)

    daemon.patch("held-deadline", suspend=False)

    status = daemon.ended("held-deadline")
    assert frozen
    told = json.dumps(status)
    assert (status["phase"], status["attempts"], last(status)["startedAt"]) == ("Succeeded", 1, started), told


# Retries


def test_retries_wait_twice_as_long_each_time_and_stop_at_the_limit(daemon):
    daemon.shell("retry", "exit 4", backoffLimit=3, backoffSeconds=0.3)

    status = daemon.ended("retry")

    assert (status["reason"], status["attempts"], status["failed"]) == ("BackoffLimitExceeded", 4, 4)
    assert "backoffLimit is 3; the last: Error: exited with 4" in status["message"]
    runs = status["runs"]
    waits = [seconds_between(a["finishedAt"], b["startedAt"]) for a, b in itertools.pairwise(runs)]
    for wait, wanted in zip(waits, (0.3, 0.6, 1.2), strict=True):
        assert wanted <= wait <= wanted + 0.4, waits


def test_a_retry_has_an_empty_work_directory_and_knows_its_attempt(daemon):
    script = "ls /work | wc -l; touch /work/mark; [ $JOB_ATTEMPT = 2 ]"
    daemon.shell("again", script, backoffLimit=1, backoffSeconds=0.05)

    status = daemon.ended("again")

    assert (status["phase"], status["attempts"]) == ("Succeeded", 2)
    assert [daemon.log_of("again", attempt) for attempt in (1, 2)] == ["0\n", "0\n"]


# Being ended


@pytest.mark.parametrize(("name", "what", "code"), [("heeds-0", "exit 0", 0), ("heeds-3", "exit 3", 3)])
def test_a_stopped_job_that_heeds_sigterm_ends_by_itself(daemon, name, what, code):
    daemon.shell(name, TRAP.format(what=what), terminationGracePeriodSeconds=20)
    daemon.printed(name, "ready")

    daemon.stop(name)

    status = daemon.ended(name, 10)
    assert (status["phase"], status["reason"], last(status)["reason"]) == ("Failed", "Stopped", "Stopped")
    assert (last(status)["exitCode"], last(status).get("signal")) == (code, None)
    assert name in daemon.jobs()


def test_a_stopped_job_that_ignores_sigterm_is_killed_after_its_grace(daemon):
    daemon.shell("ignores", TRAP.format(what="echo heard"), terminationGracePeriodSeconds=0.7)
    daemon.printed("ignores", "ready")
    asked_at = SystemClock().now()
    daemon.stop("ignores")

    status = daemon.ended("ignores", 10)

    assert (last(status)["reason"], last(status)["signal"]) == ("Stopped", signal.SIGKILL)
    assert "heard" in daemon.log_of("ignores")
    assert 0.6 <= (read_time(last(status)["finishedAt"]) - asked_at).total_seconds() <= 2.5


def test_a_job_can_be_stopped_before_it_starts(daemon):
    daemon.shell("never", "true", suspend=True)
    daemon.until("suspended", lambda: daemon.status("never").get("phase") == "Suspended")

    daemon.stop("never")

    assert daemon.ended("never")["reason"] == "Stopped"
    daemon.patch("never", suspend=False)
    status = daemon.until("seen", lambda: seen(daemon, "never"))
    assert (status["phase"], status["attempts"]) == ("Failed", 0)


@pytest.mark.invariant("J2")
def test_a_deleted_job_leaves_nothing(daemon):
    job = daemon.shell("deleted", "echo here; sleep 60", files=[{"path": "x", "text": "y"}])
    daemon.printed("deleted", "here")
    supervisor = last(daemon.status("deleted"))["pid"]
    there = [daemon.run_dir(job), daemon.log_dir(job), *daemon.cgroups_of(job).values()]
    assert len(there) >= 7
    assert all(path.is_dir() for path in there)

    daemon.delete("deleted")

    daemon.gone("deleted", 5)
    assert [path for path in there if path.exists()] == []
    assert not daemon.run_dir(job).parent.exists()
    assert not daemon.log_dir(job).parent.exists()
    assert not is_alive(supervisor)


def test_a_deleted_job_keeps_to_the_shorter_of_both_graces(daemon):
    daemon.shell("deaf", TRAP.format(what=":"), terminationGracePeriodSeconds=60)
    daemon.printed("deaf", "ready")

    daemon.delete("deaf", grace_seconds=0)

    daemon.gone("deaf", 5)
    assert "deaf" not in daemon.jobs()


def test_a_finished_job_goes_after_its_time_to_live(daemon):
    daemon.shell("ttl", "true", ttlSecondsAfterFinished=1)
    daemon.shell("ttl-failed", "false", ttlSecondsAfterFinished=0)

    daemon.gone("ttl-failed", 5)
    daemon.gone("ttl", 6)

    assert "ttl" not in daemon.jobs()


# Being held


def test_a_suspended_job_does_not_start_until_it_is_released(daemon):
    job = daemon.shell("held", "echo ran", suspend=True)
    daemon.until("suspended", lambda: daemon.status("held").get("phase") == "Suspended")
    assert not daemon.run_dir(job).exists()

    daemon.patch("held", suspend=False)

    status = daemon.ended("held")
    assert (status["phase"], status["attempts"]) == ("Succeeded", 1)
    suspended = next(c for c in status["conditions"] if c["type"] == "Suspended")
    assert (suspended["status"], suspended["reason"]) == ("False", "Resumed")


@pytest.mark.invariant("J3")
def test_a_job_suspended_while_it_runs_is_frozen_and_goes_on_in_the_same_run(daemon):
    job = daemon.shell("frozen", "echo begun; while [ ! -e /work/go ]; do :; done; echo done")
    daemon.printed("frozen", "begun")

    daemon.patch("frozen", suspend=True)
    daemon.until("frozen", lambda: is_frozen(daemon, "frozen"))
    first = cpu_used(daemon, job)
    daemon.shell("meanwhile", "sleep 0.3")
    daemon.ended("meanwhile")
    second = cpu_used(daemon, job)
    phase = daemon.status("frozen")["phase"]
    daemon.patch("frozen", suspend=False)
    daemon.until("it goes on", lambda: daemon.status("frozen")["phase"] == "Running")
    tell(daemon, "frozen")

    status = daemon.ended("frozen")
    assert (first, phase) == (second, "Suspended")
    assert (status["phase"], status["attempts"]) == ("Succeeded", 1)
    assert daemon.log_of("frozen") == "begun\ndone\n"


@pytest.mark.invariant("J3")
def test_a_suspended_job_can_be_deleted_and_stopped(daemon):
    for name in ("held-deleted", "held-stopped"):
        daemon.shell(name, "echo ready; sleep 60", terminationGracePeriodSeconds=5)
        daemon.printed(name, "ready")
        daemon.patch(name, suspend=True)
    for name in ("held-deleted", "held-stopped"):
        daemon.until("frozen", lambda name=name: is_frozen(daemon, name))

    daemon.delete("held-deleted")
    daemon.stop("held-stopped")

    daemon.gone("held-deleted", 4)
    assert daemon.ended("held-stopped", 4)["reason"] == "Stopped"


@pytest.mark.invariant("J3")
def test_a_suspended_run_whose_supervisor_is_killed_is_lost_and_not_suspended_for_ever(daemon):
    daemon.shell("held-lost", "echo ready; sleep 60")
    daemon.printed("held-lost", "ready")
    daemon.patch("held-lost", suspend=True)
    daemon.until("frozen", lambda: is_frozen(daemon, "held-lost"))

    os.kill(last(daemon.status("held-lost"))["pid"], signal.SIGKILL)

    assert last(daemon.ended("held-lost"))["reason"] == "RunLost"


# Being changed


def test_a_changed_command_replaces_the_run_that_is_running(daemon):
    daemon.shell("replaced", "echo old; sleep 60")
    daemon.printed("replaced", "old")

    daemon.shell("replaced", "echo new")

    status = daemon.ended("replaced")
    assert (status["phase"], status["attempts"], status["failed"]) == ("Succeeded", 2, 0)
    assert [run["reason"] for run in status["runs"]] == ["Superseded", "Completed"]
    assert daemon.log_of("replaced", 2) == "new\n"


def test_a_changed_command_runs_again_after_the_end_and_so_does_changing_it_back(daemon):
    for attempt, text in enumerate(("first", "second", "first"), start=1):
        daemon.shell("rerun", f"echo {text}", activeDeadlineSeconds=60)
        daemon.until("ran", lambda n=attempt: (seen(daemon, "rerun") or {}).get("attempts") == n)
        status = daemon.ended("rerun")
        assert (status["phase"], status["attempts"], status["succeeded"]) == ("Succeeded", attempt, 1)
        assert daemon.log_of("rerun", attempt) == f"{text}\n"


def test_a_job_that_failed_for_good_runs_again_when_its_command_is_mended(daemon):
    daemon.shell("mended", "exit 1", backoffLimit=1, backoffSeconds=0.05)
    assert daemon.ended("mended")["attempts"] == 2

    daemon.shell("mended", "exit 0", backoffLimit=1, backoffSeconds=0.05)

    status = daemon.until("ran", lambda: (s := daemon.status("mended")).get("phase") == "Succeeded" and s)
    assert (status["attempts"], status["failed"], [c["type"] for c in status["conditions"]]) == (3, 0, ["Complete"])


def test_a_change_of_anything_else_does_not_run_it_again(daemon):
    daemon.shell("settled", "true")
    daemon.ended("settled")

    daemon.patch("settled", backoffLimit=9, terminationGracePeriodSeconds=7, activeDeadlineSeconds=100)

    status = daemon.until("seen", lambda: seen(daemon, "settled"))
    assert (status["phase"], status["attempts"]) == ("Succeeded", 1)


# What a run gets


def test_files_are_in_work_with_their_modes_whatever_bytes_they_hold(daemon):
    junk = bytes(range(256)) * 4
    files = [
        {"path": "run.sh", "text": "#!/bin/sh\ncat conf/deep/app.ini\nsha256sum blob | cut -c1-64\n", "mode": 0o755},
        {"path": "conf/deep/app.ini", "text": "key = ü\n", "mode": 0o600},
        {"path": "blob", "base64": base64.b64encode(junk).decode()},
        {"path": "show", "text": "stat -c '%a %n %u' run.sh conf/deep/app.ini blob conf\n"},
    ]
    daemon.apply("files", command=["sh", "-c", "./run.sh; sh show; echo more >> blob; touch conf/new"], files=files)

    status = daemon.ended("files")

    assert status["phase"] == "Succeeded", status["message"]
    assert daemon.log_of("files").splitlines() == [
        "key = ü",
        hashlib.sha256(junk).hexdigest(),
        "755 run.sh 0",
        "600 conf/deep/app.ini 0",
        "644 blob 0",
        "755 conf 0",
    ]


def test_files_that_cannot_be_side_by_side_are_refused(daemon):
    with pytest.raises(Invalid, match=r"spec\.files.*both a file and a directory"):
        daemon.apply("clash", files=[{"path": "a", "text": ""}, {"path": "a/b", "text": ""}])


def test_the_environment_is_the_jobs_own_and_nothing_of_the_hosts(daemon):
    env = [{"name": "PATH", "value": "/usr/bin:/bin"}, {"name": "EMPTY"}, {"name": "TEXT", "value": "a b\nü=$HOME"}]
    job = daemon.apply("environment", command=["env", "-0"], env=env)

    daemon.ended("environment")

    found = dict(entry.split("=", 1) for entry in daemon.log_of("environment").split("\0") if entry)
    assert found == {
        "PATH": "/usr/bin:/bin",
        "HOME": "/work",
        "USER": "root",
        "LANG": "C.UTF-8",
        "TERM": "dumb",
        "EMPTY": "",
        "TEXT": "a b\nü=$HOME",
        "JOB_ID": f"{job['metadata']['uid']}-1",
        "JOB_NAME": "environment",
        "JOB_NAMESPACE": "default",
        "JOB_ATTEMPT": "1",
    }


def test_a_run_starts_in_its_working_directory_with_its_arguments(daemon):
    daemon.apply("placed", command=["sh", "-c", 'pwd; echo "$0|$1|$2"'], args=["a b", "", "c"], workingDir="/usr")
    daemon.apply("misplaced", workingDir="/no/such")

    assert daemon.ended("placed")["phase"] == "Succeeded"
    misplaced = daemon.ended("misplaced")

    assert daemon.log_of("placed") == "/usr\na b||c\n"
    assert (misplaced["reason"], last(misplaced)["exitCode"]) == ("ContainerCannotRun", 126)
    assert "/no/such" in misplaced["message"]


def test_without_a_runtime_a_run_sees_the_hosts_directories_and_cannot_change_them(daemon):
    script = """
    for where in / /usr /bin /etc /lib; do touch $where/mark 2>/dev/null && echo "wrote $where"; done
    test -x /usr/bin/env && echo sees; ls /root /home /var/lib 2>/dev/null | wc -l; hostname; id -u
    """
    daemon.shell("legacy", script)

    daemon.ended("legacy")

    assert daemon.log_of("legacy").split() == ["sees", "0", "legacy", "0"]


def test_a_runtime_that_may_not_be_installed_is_waited_for_and_nothing_is_asked(daemon):
    daemon.apply("policy", runtime="python-9.9@1.0.0", installPolicy="Never")

    status = daemon.until("waits", lambda: (s := daemon.status("policy")).get("reason") == "RuntimeNotFound" and s)

    assert status["phase"] == "Pending"
    assert "installPolicy is Never" in status["message"]
    assert daemon.rnx("get", "runtimes", "-o", "name").stdout == ""
    assert "python-9.9" in daemon.rnx("explain", "job/policy").stdout
    daemon.delete("policy")


# Helpers


def seen(daemon, name):
    """The status of a job, once it is about its newest generation; else nothing."""
    job = daemon.get(JOB, name)
    status = job.get("status", {})
    return status if status.get("observedGeneration") == job["metadata"]["generation"] else None


def is_frozen(daemon, name):
    job = daemon.get(JOB, name)
    if "freezer" in (found := daemon.cgroups_of(job)):
        return (found["freezer"] / "freezer.state").read_text().strip() == "FROZEN"
    events = next(iter(found.values())) / "cgroup.events"
    return "frozen 1" in events.read_text()


def cpu_used(daemon, job):
    found = daemon.cgroups_of(job)
    if "cpuacct" in found:
        return int((found["cpuacct"] / "cpuacct.usage").read_text())
    return (next(iter(found.values())) / "cpu.stat").read_text().split("\n")[0]
