"""The queue on a real host: what is promised, who begins, who gives way, and what a kill in between changes of it."""

import os
import signal

import pytest

from api.errors import Forbidden
from api.kinds import JOB, NODE, POD, PRIORITY_CLASS, RESOURCE_QUOTA
from api.objects.patch import PatchType
from controller.capacity import amounts
from support.daemon import Daemon

pytestmark = [pytest.mark.needs_root, pytest.mark.usefixtures("host_is_clean")]
FOR_EVER = "sleep 1000"


@pytest.fixture
def daemon():
    with Daemon("queue.preemption=true") as daemon:
        daemon.start()
        for name, value in (("urgent", 1000), ("patient", -5)):
            document = {"apiVersion": PRIORITY_CLASS.api_version, "kind": "PriorityClass", "value": value}
            daemon.client.create(PRIORITY_CLASS, "", document | {"metadata": {"name": name}})
        yield daemon


def all_cpus(daemon):
    return daemon.client.list(NODE)["items"][0]["status"]["allocatable"]["cpu"]


def add(daemon, name, command="true", cpu="1m", **spec):
    daemon.shell(name, command, resources={"requests": {"cpu": cpu}}, **spec)


def status(daemon, name):
    return daemon.client.get(JOB, "default", name).get("status", {})


def until(daemon, name, **wanted):
    return daemon.until(
        f"{name} is {wanted}",
        lambda: (s := status(daemon, name)) and all(s.get(field) == value for field, value in wanted.items()) and s,
    )


def busy_cpu(daemon):
    """What the runs that are there have been promised, by their records."""
    runs = [run for job in daemon.client.list(JOB, "default")["items"] for run in job["status"].get("runs", ())]
    return sum(amounts.read("cpu", run["requests"]["cpu"]) for run in runs if run["state"] != "Ended")


@pytest.mark.invariant("Q1")
def test_what_runs_have_been_promised_is_theirs_however_often_the_daemon_is_killed(daemon):
    cpus = all_cpus(daemon)
    add(daemon, "first", FOR_EVER, cpus)
    until(daemon, "first", phase="Running")
    for number in range(3):
        add(daemon, f"next-{number}", "true", cpus)
    for _ in range(3):
        os.kill(daemon.pid, signal.SIGKILL)
        daemon.wait_daemon()
        daemon.start()
        told = until(daemon, "next-2", reason="InsufficientCPU")
        assert "in the queue, priority 0" in told["message"]
        assert busy_cpu(daemon) <= amounts.read("cpu", cpus)
        assert status(daemon, "first")["attempts"] == 1

    daemon.client.delete(JOB, "default", "first")

    begun = [until(daemon, f"next-{number}", phase="Succeeded")["runs"][0]["startedAt"] for number in range(3)]
    assert begun == sorted(begun)


@pytest.mark.invariant("Q3")
def test_a_run_gives_way_ends_with_grace_and_its_job_runs_again_without_a_failure(daemon):
    cpus = all_cpus(daemon)
    trap = "trap 'echo gave way; exit 3' TERM; echo ready; while :; do sleep 0.05; done"
    add(daemon, "low", trap, cpus, priorityClassName="patient", backoffLimit=0)
    until(daemon, "low", phase="Running")
    daemon.until("it is ready", lambda: "ready" in daemon.log_of("low"))

    add(daemon, "now", "true", cpus, priorityClassName="urgent")

    until(daemon, "now", phase="Succeeded")
    again = daemon.until("it runs again", lambda: (s := status(daemon, "low")) and s.get("attempts") == 2 and s)
    first = again["runs"][0]
    assert (first["reason"], first["exitCode"], again["failed"]) == ("Preempted", 3, 0)
    assert first["message"] == "it gave way to job/default/now, of priority 1000; its own is -5"
    assert "gave way" in daemon.log_of("low", 1)


def test_who_makes_a_job_with_a_limit_above_the_host_is_told(daemon):
    said = daemon.rnx("run", "--name=wide", "--max-memory=900Gi", "--detach", "true")

    assert (said.returncode, said.stdout) == (0, "wide\n")
    assert said.stderr.startswith(
        "Warning: spec.resources.limits.memory: 900Gi is more than runs can have on this host ("
    )


@pytest.mark.invariant("Q5")
def test_a_quota_holds_whichever_way_a_job_comes_and_tells_what_is_used(daemon):
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "few"}, "spec": {"hard": {"pods": "1"}}}
    daemon.client.create(RESOURCE_QUOTA, "default", quota)
    add(daemon, "one", FOR_EVER)

    with pytest.raises(Forbidden) as error:
        add(daemon, "two")

    assert "exceeded quota: few, requested: pods=1, used: pods=1, limited: pods=1" in str(error.value)

    def used():
        return daemon.client.get(RESOURCE_QUOTA, "default", "few").get("status", {}).get("used")

    daemon.until("it is counted", lambda: used() == {"pods": "1"})


def test_a_drained_host_begins_nothing_until_it_is_uncordoned_also_after_a_restart(daemon):
    name = daemon.client.list(NODE)["items"][0]["metadata"]["name"]
    add(daemon, "drained", FOR_EVER, backoffLimit=1, backoffSeconds=0.1)
    add(daemon, "over")
    daemon.running("drained")
    until(daemon, "over", phase="Succeeded")

    said = daemon.rnx("drain", "--grace-period=0")

    assert said.stdout.splitlines() == [
        f"node/{name} cordoned", "pod/default/drained-1 deleted", f"node/{name} drained"
    ]  # fmt: skip
    assert daemon.client.get(POD, "default", "over-1")["status"]["phase"] == "Succeeded"
    until(daemon, "drained", reason="HostCordoned")
    os.kill(daemon.pid, signal.SIGKILL)
    daemon.wait_daemon()
    daemon.start()
    add(daemon, "later")
    until(daemon, "later", reason="HostCordoned")
    assert status(daemon, "drained")["attempts"] == 1

    daemon.client.patch(NODE, "", name, {"spec": {"unschedulable": None}}, PatchType.MERGE)
    until(daemon, "later", phase="Succeeded")
    daemon.running("drained", attempt=2)
