"""Jobs of many runs with a real daemon that has room for three: indexes, pods, logs, scaling, and kills in between."""

import random
import threading
from collections import Counter

import pytest

from api.indexes import Indexes
from api.kinds import POD, VOLUME
from api.meta import read_time
from support import host
from support.daemon import a_daemon

# httpcore leaves a socket to the garbage collector when a connection is refused, which is what dead daemons do.
pytestmark = [pytest.mark.needs_root, pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")]
INDEXED = {"completionMode": "Indexed"}
UNTIL_STOPPED = "trap 'exit 7' TERM; echo ready; while :; do sleep 0.02; done"


@pytest.fixture(scope="module")
def daemon():
    before = host.snapshot()
    with a_daemon("jobs.max_active=3") as running:
        yield running
    host.assert_as_before(before)


def ready(daemon, name, count):
    return daemon.until(f"{count} runs of {name}", lambda: (s := daemon.status(name)).get("ready") == count and s)


def deleted(daemon, name):
    daemon.delete(name)
    daemon.gone(name)


def test_each_index_runs_as_a_pod_of_its_own_and_knows_which_it_is(daemon):
    script = 'echo "$JOB_COMPLETION_INDEX on $(cat /proc/sys/kernel/hostname)"'
    daemon.shell("parts", script, completions=4, parallelism=2, **INDEXED)
    daemon.apply("whole", command=["true"], after=[{"job": "parts"}])

    found = daemon.ended("parts")

    assert (found["phase"], found["completedIndexes"], found["succeeded"]) == ("Succeeded", "0-3", 4)
    after = daemon.ended("whole")["runs"][0]["startedAt"]
    assert all(read_time(run["finishedAt"]) <= read_time(after) for run in found["runs"])
    deleted(daemon, "whole")
    pods = daemon.client.list(POD, "default")["items"]
    labels = {
        pod["metadata"]["name"]: pod["metadata"]["labels"]["batch.kubernetes.io/job-completion-index"] for pod in pods
    }
    assert labels == {f"parts-{index}-{index + 1}": str(index) for index in range(4)}
    lines = daemon.rnx("logs", "parts").stdout.splitlines()
    assert lines == [f"[parts-{index}-{index + 1}] {index} on parts-{index}" for index in range(4)]
    assert daemon.rnx("logs", "parts", "--index", "2").stdout == "2 on parts-2\n"
    assert daemon.rnx("get", "job", "parts").stdout.splitlines()[1].split()[3] == "4/4"
    deleted(daemon, "parts")


def test_runs_for_which_there_is_no_room_wait_while_others_go_on(daemon):
    daemon.shell("wide", UNTIL_STOPPED, completions=5, parallelism=5, **INDEXED)

    busy = ready(daemon, "wide", 3)

    waiting = daemon.until("the next waits", lambda: daemon.status("wide").get("reason") == "HostBusy")
    assert waiting
    assert busy["active"] == 3
    told = daemon.rnx("explain", "job/wide").stdout
    assert "indexes that wait for a run: 3-4" in told
    deleted(daemon, "wide")


def test_a_person_goes_into_the_run_of_an_index(daemon):
    daemon.shell("many", UNTIL_STOPPED, completions=2, parallelism=2, **INDEXED)
    ready(daemon, "many", 2)

    unsaid = daemon.rnx("exec", "many", "--", "true")
    said = daemon.rnx("exec", "many", "--index", "1", "--", "sh", "-c", "echo $JOB_COMPLETION_INDEX; hostname")

    assert unsaid.returncode != 0
    assert "2 runs of it are running: say which with --index, one of 0, 1" in unsaid.stderr
    assert said.stdout == "1\nmany-1\n"
    deleted(daemon, "many")


def test_a_job_is_scaled_down_and_up_and_held_while_it_runs(daemon):
    daemon.shell("elastic", UNTIL_STOPPED, completions=3, parallelism=3, **INDEXED)
    ready(daemon, "elastic", 3)

    daemon.patch("elastic", parallelism=1)
    down = ready(daemon, "elastic", 1)
    assert [run["index"] for run in down["runs"] if run["state"] == "Running"] == [0]
    assert {run["reason"] for run in down["runs"] if run["state"] == "Ended"} == {"ScaledDown"}
    daemon.patch("elastic", parallelism=2, completions=2)
    up = ready(daemon, "elastic", 2)
    assert (up["failed"], [run["index"] for run in up["runs"] if run["state"] == "Running"]) == (0, [0, 1])
    daemon.patch("elastic", suspend=True)
    daemon.until("it is held", lambda: daemon.status("elastic").get("phase") == "Suspended")
    daemon.stop("elastic")
    stopped = daemon.ended("elastic")
    assert stopped["reason"] == "Stopped"
    assert Counter(run["reason"] for run in stopped["runs"]) == {"Stopped": 2, "ScaledDown": 2}
    deleted(daemon, "elastic")


@pytest.mark.invariant("V4")
def test_runs_of_one_job_have_a_volume_that_is_one_runs_one_after_another(daemon):
    box = {"apiVersion": "runwright.dev/v1alpha1", "kind": "Volume", "metadata": {"name": "box"}}
    daemon.client.apply(VOLUME, "default", box | {"spec": {"size": "8Mi", "accessModes": ["ReadWriteOnce"]}})
    script = "mkdir /volumes/box/mine && sleep 0.1 && rmdir /volumes/box/mine"
    mounts = [{"name": "box"}]
    daemon.shell("turns", script, completions=3, parallelism=3, volumeMounts=mounts, **INDEXED)

    found = daemon.ended("turns")

    assert (found["phase"], found["completedIndexes"], found["failed"]) == ("Succeeded", "0-2", 0), found
    deleted(daemon, "turns")
    daemon.client.delete(VOLUME, "default", "box")
    daemon.until("the volume is gone", lambda: not daemon.get(VOLUME, "box"))


def test_an_index_that_fails_for_good_leaves_the_others_alone(daemon):
    script = "test $JOB_COMPLETION_INDEX != 1"
    document = {"completions": 3, "parallelism": 3, "backoffLimitPerIndex": 1, "backoffLimit": 9, **INDEXED}
    daemon.shell("partly", script, backoffSeconds=0.1, **document)

    found = daemon.ended("partly")

    assert (found["reason"], found["completedIndexes"], found["failedIndexes"]) == ("FailedIndexes", "0,2", "1")
    assert Counter(run["index"] for run in found["runs"]) == {0: 1, 1: 2, 2: 1}
    deleted(daemon, "partly")


def test_rnx_run_prints_what_all_runs_print_and_fails_as_the_job_does(daemon):
    words = ("--completions=3", "--parallelism=3", "--indexed", "--name=asked")
    ran = daemon.rnx(
        "job", "run", *words, "--", "sh", "-c", "echo out $JOB_COMPLETION_INDEX; exit $JOB_COMPLETION_INDEX"
    )

    assert ran.returncode in (1, 2)
    assert "[asked-0-1] out 0" in ran.stdout.splitlines()
    assert "BackoffLimitExceeded" in ran.stderr
    deleted(daemon, "asked")


@pytest.mark.invariant("J30")
def test_each_index_succeeds_once_however_often_the_controller_is_killed(daemon):
    moments, never, jobs = random.Random(20261122), threading.Event(), ("north", "south")
    for name in jobs:
        daemon.shell(name, "echo ran $JOB_COMPLETION_INDEX; sleep 0.1", completions=12, parallelism=2, **INDEXED)
    for _ in range(6):
        never.wait(moments.uniform(0.05, 0.5))
        daemon.kill_daemon()
        daemon.start_daemon()

    for name in jobs:
        found = daemon.ended(name)
        assert (found["phase"], found["completedIndexes"], found["attempts"]) == ("Succeeded", "0-11", 12), found
        runs = {run["index"]: run["attempt"] for run in found["runs"]}
        assert Indexes.of(runs) == Indexes.parse("0-11")
        assert all(daemon.log_of(f"{name}-{index}", attempt) == f"ran {index}\n" for index, attempt in runs.items())
        deleted(daemon, name)
