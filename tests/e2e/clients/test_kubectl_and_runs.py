"""kubectl on a real daemon: runs as pods, their logs and events, and what goes with what."""

import pytest

from api.kinds import JOB
from support import host
from support.daemon import a_daemon
from support.kubectl import Kubectl
from support.tcp_gate import a_tcp_gate

pytestmark = pytest.mark.needs_root


@pytest.fixture(scope="module")
def daemon():
    before = host.snapshot()
    with a_daemon() as daemon:
        yield daemon
    host.assert_as_before(before)


@pytest.fixture(scope="module")
def kubectl(daemon, tmp_path_factory):
    with a_tcp_gate(daemon.socket) as url:
        yield Kubectl(url, tmp_path_factory.mktemp("kubectl"), "default")


def a_job(name, *script, **spec):
    document = {"apiVersion": "runwright.dev/v1alpha1", "kind": "Job", "metadata": {"name": name}}
    return document | {"spec": {"command": ["sh", "-c", *script], "backoffLimit": 0} | spec}


def test_a_job_is_created_waited_for_and_read(kubectl):
    kubectl("create", "-f", "-", stdin=a_job("hello", "echo hello; echo there"))
    kubectl("wait", "job/hello", "--for=condition=Complete", "--timeout=20s")

    assert kubectl("logs", "hello-1").out == "hello\nthere\n"
    assert kubectl("logs", "hello-1", "--tail=1").out == "there\n"
    assert kubectl("logs", "-l", "runwright.dev/job-name=hello").out == "hello\nthere\n"
    assert "hello-1" in kubectl("get", "pods").out
    assert "Succeeded" in kubectl("describe", "pod", "hello-1").out
    assert "Completed" in kubectl("get", "pods").out


def test_a_job_that_fails_says_so_in_its_condition_and_its_pod(kubectl):
    kubectl("create", "-f", "-", stdin=a_job("bad", "exit 3"))
    kubectl("wait", "job/bad", "--for=condition=Failed", "--timeout=20s")

    (status,) = kubectl.json("get", "pod", "bad-1")["status"]["containerStatuses"]
    assert status["state"]["terminated"]["exitCode"] == 3


def test_a_log_is_followed_to_its_end(kubectl):
    kubectl("create", "-f", "-", stdin=a_job("slow", "echo one; sleep 0.5; echo two"))
    kubectl("wait", "pod/slow-1", "--for=create", "--timeout=10s")
    kubectl("wait", "pod/slow-1", "--for=jsonpath={.status.startTime}", "--timeout=10s")

    assert kubectl("logs", "-f", "slow-1").out == "one\ntwo\n"


def test_deleting_a_pod_ends_its_run_and_the_job_runs_it_again(kubectl, daemon):
    kubectl(
        "create",
        "-f",
        "-",
        stdin=a_job("again", "trap 'exit 9' TERM; sleep 60 & wait", backoffLimit=3, backoffSeconds=0.1),
    )
    kubectl("wait", "pod/again-1", "--for=condition=Ready", "--timeout=20s")
    kubectl("delete", "pod", "again-1", "--grace-period=5")
    kubectl("wait", "pod/again-2", "--for=create", "--timeout=20s")

    assert daemon.status("again")["runs"][0]["reason"] == "PodDeleted"
    assert "again-1" not in kubectl("get", "pods").out
    kubectl("delete", "job", "again")


def test_a_run_that_does_not_heed_is_killed_at_once_when_there_is_no_grace(kubectl):
    kubectl("create", "-f", "-", stdin=a_job("deaf", "trap '' TERM; while :; do sleep 1; done"))
    kubectl("wait", "pod/deaf-1", "--for=condition=Ready", "--timeout=20s")
    kubectl("delete", "pod", "deaf-1", "--force", "--grace-period=0", "--timeout=15s")

    assert "NotFound" in kubectl("get", "pod", "deaf-1", code=1).err


def test_what_exists_for_a_job_goes_with_it(kubectl, daemon):
    kubectl("create", "-f", "-", stdin=a_job("owner", "true"))
    metadata = kubectl.json("get", "job", "owner")["metadata"]
    reference = {"apiVersion": "runwright.dev/v1alpha1", "kind": "Job", "name": "owner", "uid": metadata["uid"]}
    dependent = a_job("dependent", "true")
    dependent["metadata"]["ownerReferences"] = [reference]
    kubectl("create", "-f", "-", stdin=dependent)
    kubectl("delete", "job", "owner")

    assert daemon.until("the dependent is gone", lambda: not daemon.get(JOB, "dependent"))


def test_the_node_says_what_the_host_has(kubectl):
    (node,) = kubectl.json("get", "nodes")["items"]

    assert {condition["type"]: condition["status"] for condition in node["status"]["conditions"]}["Ready"] == "True"
    assert node["status"]["capacity"]["cpu"]
    assert "Ready" in kubectl("get", "nodes").out
