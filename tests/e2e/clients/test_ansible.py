"""Ansible's collection kubernetes.core against a real daemon over TLS: one playbook, and what each of its tasks found."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from api.kinds import JOB
from support.served import CLIENTS

pytestmark = pytest.mark.needs_root

PLAYBOOK = Path(__file__).with_name("playbook_of_tests.yaml")
SPACE = "ansible"
SECONDS = 180


@pytest.fixture(scope="module")
def found(served, kubeconfig, tmp_path_factory):
    """What each task of the playbook registered."""
    if not (CLIENTS / "ansible_collections").is_dir():
        pytest.skip(f"there is no collection in {CLIENTS}: run scripts/install-test-clients")
    home = tmp_path_factory.mktemp("ansible")
    results = home / "results.json"
    variables = {"space": SPACE, "results": str(results), "ansible_python_interpreter": sys.executable}
    done = subprocess.run(
        [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "localhost,", "-e", json.dumps(variables), str(PLAYBOOK)],
        env={
            "HOME": str(home), "TMPDIR": str(home), "PATH": os.defpath, "LC_ALL": "C.UTF-8", "K8S_AUTH_KUBECONFIG": str(kubeconfig),
            "ANSIBLE_COLLECTIONS_PATH": str(CLIENTS), "ANSIBLE_LOCALHOST_WARNING": "false", "ANSIBLE_PIPELINING": "true",
            "ANSIBLE_HOME": str(home), "ANSIBLE_LOCAL_TEMP": str(home / "tmp"), "ANSIBLE_REMOTE_TEMP": str(home / "tmp"),
        },
        capture_output=True, text=True, timeout=SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(results.read_text())


def test_a_namespace_is_made(found):
    assert found["namespace"]["changed"]
    assert found["namespace"]["result"]["status"]["phase"] == "Active"


def test_a_job_is_created_and_its_condition_waited_for(found):
    assert found["created"]["changed"]
    assert found["created"]["method"] == "create"
    assert found["created"]["result"]["status"]["phase"] == "Succeeded"


def test_the_same_again_changes_nothing(found):
    assert not found["again"]["changed"]


def test_a_job_is_updated_though_strategic_patches_are_refused(found):
    assert (found["updated"]["changed"], found["updated"]["method"]) == (True, "update")
    assert found["updated"]["result"]["spec"]["backoffLimit"] == 2


def test_check_mode_says_what_would_change_and_changes_nothing(found):
    assert found["checked"]["changed"]
    assert found["checked"]["result"]["spec"]["backoffLimit"] == 3
    assert found["checked"]["diff"]["before"]["spec"]["backoffLimit"] == 2
    generations = [found[each]["result"]["metadata"]["generation"] for each in ("updated", "patched")]
    assert generations[1] == generations[0] + 1


def test_what_is_applied_twice_changes_once(found):
    assert (found["applied"]["changed"], found["applied_again"]["changed"]) == (True, False)


def test_what_is_applied_server_side_is_owned(found):
    managers = {each["manager"] for each in found["server_side"]["result"]["metadata"]["managedFields"]}

    assert found["server_side"]["result"]["data"] == {"a": "2"}
    assert "ansible" in managers


def test_a_wrong_value_fails_with_its_field(found):
    assert found["refused"]["failed"]
    assert "spec.backoffLimit" in found["refused"]["msg"]


def test_a_json_patch_is_done(found):
    assert found["patched"]["result"]["spec"]["backoffLimit"] == 5


def test_jobs_are_found_by_labels(found):
    assert [each["metadata"]["name"] for each in found["info"]["resources"]] == ["etl"]


def test_a_log_is_read(found):
    assert found["log"]["log_lines"] == ["from ansible", ""]


def test_a_pod_is_waited_for(found):
    assert found["running"]["resources"][0]["status"]["phase"] == "Running"


def test_a_command_is_executed(found):
    executed = found["executed"]

    assert (executed["rc"], executed["stdout"], executed["stderr"]) == (3, "out\n", "err\n")


def test_a_job_is_deleted_and_gone(served, found):
    assert (found["deleted"]["changed"], found["deleted_again"]["changed"]) == (True, False)
    assert [each["metadata"]["name"] for each in served.client.list(JOB, SPACE)["items"]] == ["etl"]
