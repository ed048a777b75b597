"""Jobs after jobs, and workflows, with a real daemon; also when it is killed in between."""

import os
import signal
from itertools import pairwise

import pytest

from api.kinds import JOB, WORKFLOW
from api.meta import API_VERSION, read_time
from support import host
from support.daemon import a_daemon

pytestmark = pytest.mark.needs_root


@pytest.fixture(scope="module")
def daemon():
    before = host.snapshot()
    with a_daemon() as running:
        yield running
    host.assert_as_before(before)


def a_step(script="true", *requires, **job):
    wanted = [{"job": name} for name in requires]
    spec = {"command": ["sh", "-c", script], "backoffLimit": 0}
    return {"template": {"spec": spec}} | ({"requires": wanted} if wanted else {}) | job


def apply(daemon, name, **jobs):
    document = {"apiVersion": API_VERSION, "kind": "Workflow", "metadata": {"name": name}, "spec": {"jobs": jobs}}
    return daemon.client.apply(WORKFLOW, "default", document).document


def ended(daemon, name):
    def found():
        workflow = daemon.client.get(WORKFLOW, "default", name)
        return workflow if workflow.get("status", {}).get("completionTime") else None

    return daemon.until(f"workflow {name} ends", found)["status"]


def phases(status):
    return {job["name"]: job["phase"] for job in status["jobs"]}


@pytest.mark.invariant("O1")
def test_a_pipeline_runs_in_order_within_milliseconds_of_each_end(daemon):
    previous = None
    for number in range(5):
        daemon.apply(f"step-{number}", command=["true"], after=[{"job": previous}] if previous else [])
        previous = f"step-{number}"
    daemon.until("the last has completed", lambda: daemon.jobs()[previous]["status"].get("completionTime"))
    runs = [daemon.jobs()[f"step-{number}"]["status"]["runs"][0] for number in range(5)]

    for before, after in pairwise(runs):
        gap = read_time(after["startedAt"]) - read_time(before["finishedAt"])
        assert 0 <= gap.total_seconds() < 1.0


def test_a_job_whose_others_were_deleted_by_their_time_to_live_still_runs(daemon):
    daemon.apply("last", command=["true"], after=[{"job": name} for name in ("brief-1", "brief-2", "slow")])
    for name in ("brief-1", "brief-2"):
        daemon.apply(name, command=["true"], ttlSecondsAfterFinished=0)
    daemon.until("they are gone", lambda: {"brief-1", "brief-2"}.isdisjoint(daemon.jobs()))
    daemon.apply("slow", command=["true"])

    daemon.until("it has completed", lambda: daemon.jobs()["last"]["status"].get("completionTime"))

    assert {"brief-1", "brief-2"}.isdisjoint(daemon.jobs())


@pytest.mark.invariant("O2")
def test_a_job_after_one_that_is_deleted_has_failed_at_once(daemon):
    daemon.shell("endless", "sleep 1000")
    daemon.apply("never", command=["true"], after=[{"job": "endless"}])
    daemon.until("it waits", lambda: daemon.jobs()["never"].get("status", {}).get("reason") == "WaitingForJobs")
    daemon.delete("endless")

    daemon.until("it fails", lambda: daemon.jobs()["never"]["status"]["reason"] == "DependencyFailed")

    assert daemon.jobs()["never"]["status"]["phase"] == "Failed"


def test_a_workflow_fans_out_joins_and_takes_the_branch_of_a_failure(daemon):
    apply(
        daemon,
        "branches",
        start=a_step(),
        left=a_step("true", "start"),
        right=a_step("exit 3", "start"),
        join=a_step("true", "left", "right"),
        mend=a_step(expression="left=FAILED OR right=FAILED"),
        tidy=a_step(requires=[{"job": "join", "condition": "Finished"}, {"job": "mend", "condition": "Finished"}]),
    )

    status = ended(daemon, "branches")

    assert phases(status) == {
        "start": "Succeeded",
        "left": "Succeeded",
        "right": "Failed",
        "join": "Skipped",
        "mend": "Succeeded",
        "tidy": "Succeeded",
    }
    assert (status["phase"], status["succeeded"], status["failed"], status["skipped"]) == ("Failed", 4, 1, 1)


def test_one_cancel_ends_all_of_it_and_its_deletion_takes_its_jobs_along(daemon):
    apply(daemon, "long", a=a_step("sleep 1000"), b=a_step("sleep 1000"), c=a_step("true", "a"))
    daemon.until("they run", lambda: sum(j["status"].get("active", 0) for j in jobs_of(daemon, "long").values()) == 2)

    said = daemon.rnx("workflow", "cancel", "long")

    assert said.stdout == "workflow long cancelled\n"
    assert set(phases(ended(daemon, "long")).values()) == {"Cancelled"}
    daemon.rnx("workflow", "delete", "long")
    daemon.until("its jobs are gone", lambda: not jobs_of(daemon, "long"))


def phase_of(daemon, name):
    return daemon.jobs().get(name, {}).get("status", {}).get("phase")


def jobs_of(daemon, workflow):
    return {name: job for name, job in daemon.jobs().items() if name.startswith(f"{workflow}-") and "status" in job}


def test_suspending_it_freezes_what_runs_and_it_goes_on_as_the_same_runs(daemon):
    apply(daemon, "held", a=a_step("while [ ! -e /work/go ]; do sleep 0.02; done"), b=a_step("true", "a"))
    daemon.until("it runs", lambda: phase_of(daemon, "held-a") == "Running")
    daemon.client.merge_patch(WORKFLOW, "default", "held", {"spec": {"suspend": True}})
    daemon.until("it is held", lambda: phase_of(daemon, "held-a") == "Suspended")
    daemon.client.merge_patch(WORKFLOW, "default", "held", {"spec": {"suspend": False}})
    daemon.until("it goes on", lambda: phase_of(daemon, "held-a") == "Running")
    assert daemon.rnx("exec", "held-a", "--", "touch", "/work/go").returncode == 0

    status = ended(daemon, "held")

    assert phases(status) == {"a": "Succeeded", "b": "Succeeded"}
    assert daemon.client.get(JOB, "default", "held-a")["status"]["attempts"] == 1


@pytest.mark.invariant("O3")
def test_whenever_the_daemon_is_killed_each_job_of_a_workflow_runs_once(daemon):

    chain = {"s0": a_step()} | {f"s{n}": a_step("true", f"s{n - 1}") for n in range(1, 8)}
    apply(daemon, "killed", **chain)
    for seen in (1, 3, 5):
        daemon.until(f"job {seen} is there", lambda seen=seen: f"killed-s{seen}" in daemon.jobs())
        os.kill(daemon.pid, signal.SIGKILL)
        daemon.wait_daemon()
        daemon.start()

    status = ended(daemon, "killed")
    runs = [daemon.client.get(JOB, "default", f"killed-s{number}")["status"]["attempts"] for number in range(8)]

    assert (status["phase"], status["succeeded"], runs) == ("Succeeded", 8, [1] * 8)
