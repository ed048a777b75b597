"""`--json` of commands that a real daemon answers to: each prints one JSON document, and does what it does."""

import json

import pytest

from support.documents import EXAMPLES
from support.served import a_served_daemon

pytestmark = [
    pytest.mark.needs_root,
    # httpcore leaves a socket to the garbage collector when a connection is refused, which is what dead daemons do.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def said():
    """Run rnx with a line that has --json in it; return what it printed, which is one document."""
    with a_served_daemon("runtime.default_registry=") as daemon:

        def said(line):
            done = daemon.rnx(*line.split())
            assert done.returncode == 0, done.stderr
            return json.loads(done.stdout)

        yield said


def test_of_jobs_networks_and_volumes(said, tmp_path):
    assert said("volume create data --size=8MB --json")["metadata"]["name"] == "data"
    assert said("volume snapshot create kept --volume=data --json")["status"]["readyToUse"] is True
    assert said("network create database --json")["metadata"]["name"] == "database"
    assert said("job run --json --schedule=1h --name=later true")["metadata"]["name"] == "later"
    assert said("job cancel later --json")["status"]["phase"] == "Failed"
    assert said("job run --json --name=left --artifact=out touch out")["status"]["phase"] == "Succeeded"
    assert [each["path"] for each in said(f"job download left --output={tmp_path} --json")["items"]] == ["out"]


def test_of_a_host_that_is_drained(said):
    assert said("job run --json --detach --name=endless sleep 1000")["metadata"]["name"] == "endless"
    assert said("wait job/endless --for=jsonpath={.status.phase}=Running --json")["kind"] == "Job"

    drained = said("drain --json")

    assert drained["deleted"] == ["default/endless-1"]
    assert said("uncordon --json")["metadata"]["name"] == drained["node"]


def test_of_a_runtime_from_its_build_to_its_end(said):
    assert said(f"runtime build {EXAMPLES / 'python.yaml'} --json")["metadata"]["name"] == "python-host"
    for command in ("verify", "test", "accept", "update"):
        assert said(f"runtime {command} --json python-host")["kind"] == "Runtime"
    assert said("runtime test --json python-host python -c pass")["status"]["phase"] == "Succeeded"
    assert said("runtime remove python-host --json") == {"removed": ["python-host"]}


def test_of_who_may_use_the_api(said):
    token = said("admin token create ci --json")
    assert (token["token"][:4], token["object"]["metadata"]["name"]) == ("rwt_", "ci")
    assert [each["metadata"]["name"] for each in said("admin token list --json")["items"]] == ["ci"]
    assert said("admin token revoke ci --json") == {"revoked": ["ci"]}
    assert said("admin kubeconfig --user=me --json")["users"][0]["name"] == "me"
    [certificate] = said("admin ca list --json")["items"]
    assert "BEGIN CERTIFICATE" in said("admin ca show --json")["certificate"]
    assert said("admin ca revoke --user=me --json") == {"revoked": [certificate["metadata"]["name"]]}
    assert said("admin rotate-secrets-key --json") == {"rotated": 0}
