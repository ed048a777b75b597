"""The host's policy in a real daemon: at the door, and again before a run of what was stored under another policy."""

import json
import socket

import pytest

from api.errors import Forbidden
from controller.linux import landlock
from support.daemon import Daemon, a_daemon

pytestmark = pytest.mark.needs_root
OPEN = ("policy.minimum_profile=baseline", "policy.capabilities={'*': [CHOWN]}", "runtime.default_registry=")
ASKING = {"securityProfile": "baseline", "securityContext": {"capabilities": {"add": ["CHOWN"]}}}


@pytest.fixture(scope="module")
def strict():
    with a_daemon("runtime.default_registry=", "policy.required_limits=[memory]") as daemon:
        yield daemon


def test_a_job_below_the_policy_is_refused_with_the_field_the_setting_and_the_fix(strict):
    with pytest.raises(Forbidden) as refused:
        strict.apply("asking", **ASKING)

    assert refused.value.code == 403
    assert [cause.field for cause in refused.value.causes] == [
        "spec.securityProfile",
        "spec.securityContext.capabilities.add",
        "spec.resources.limits.memory",
    ]
    assert "asking" not in strict.jobs()


def test_the_command_line_says_why(strict):
    manifest = {
        "apiVersion": "runwright.dev/v1alpha1",
        "kind": "Job",
        "metadata": {"name": "asking"},
        "spec": {"command": ["true"], **ASKING},
    }
    done = strict.rnx("apply", "-f", "-", stdin=json.dumps(manifest))

    assert done.returncode == 1
    assert "is forbidden: it violates this host's policy: spec.securityProfile: Forbidden:" in done.stderr
    assert "policy.baseline_namespaces" in done.stderr


def test_a_manifest_below_the_policy_is_reported_and_not_stored(strict):
    (strict.manifests / "asking.yaml").write_text(
        "apiVersion: runwright.dev/v1alpha1\nkind: Job\nmetadata: {name: declared}\n"
        "spec: {command: ['true'], securityProfile: baseline}\n"
    )
    report = strict.report_of("asking.yaml", "Invalid")

    assert "policy.minimum_profile" in json.dumps(report)
    assert "declared" not in strict.jobs()


def test_a_job_that_the_policy_allows_runs(strict):
    strict.shell("plain", "true", resources={"limits": {"memory": "64Mi"}})

    assert strict.ended("plain")["phase"] == "Succeeded"


@pytest.mark.invariant("X7")
def test_what_was_stored_under_another_policy_is_not_run_under_this_one():
    with Daemon(*OPEN) as daemon:
        daemon.start()
        daemon.shell("fine", "chown 33 /work", **ASKING)
        assert daemon.ended("fine")["phase"] == "Succeeded"
        daemon.shell("held", "echo ran", suspend=True, **ASKING)
        daemon.stop_daemon()
        daemon.settings = ("runtime.default_registry=", "policy.baseline_namespaces=[default]")
        daemon.start()
        with pytest.raises(Forbidden):  # A change of its spec goes through the first door again.
            daemon.patch("held", suspend=False)
        daemon.patch("held", suspend=False, securityContext=None)

        assert daemon.ended("held")["phase"] == "Succeeded"


@pytest.mark.invariant("X7")
def test_a_run_that_is_due_is_not_begun_once_the_policy_forbids_it():
    with Daemon(*OPEN) as daemon:
        daemon.start()
        daemon.apply("retried", command=["false"], backoffLimit=5, backoffSeconds=3, **ASKING)
        daemon.until("its first run ended", lambda: daemon.status("retried").get("failed") == 1)
        daemon.stop_daemon()
        daemon.settings = ("runtime.default_registry=",)
        daemon.start()
        daemon.until("it waits", lambda: daemon.status("retried").get("reason") == "PolicyForbids")
        status = daemon.status("retried")

    assert status["attempts"] == 1
    assert "spec.securityProfile: Forbidden" in status["message"]
    assert "policy.capabilities" in status["message"]


@pytest.mark.elsewhere("a kernel without Landlock")
@pytest.mark.skipif(landlock.abi() > 0, reason="this kernel has Landlock")
def test_no_job_runs_without_landlock_where_the_policy_requires_it():
    with a_daemon("runtime.default_registry=", "policy.require_landlock=true") as daemon:
        daemon.shell("waits", "true")
        daemon.until("it waits", lambda: daemon.status("waits").get("reason") == "PolicyForbids")

        assert "policy.require_landlock" in daemon.status("waits")["message"]


CONNECT = "import socket, sys; socket.create_connection(('127.0.0.1', int(sys.argv[1])), 5); print('reached')"


def test_the_hosts_network_is_for_jobs_of_the_namespaces_that_the_policy_names():
    with (
        a_daemon("runtime.default_registry=", "policy.host_network=[default]") as daemon,
        socket.create_server(("127.0.0.1", 0)) as listener,
    ):
        port = str(listener.getsockname()[1])
        daemon.rnx("apply", "-f", "-", stdin="{apiVersion: v1, kind: Namespace, metadata: {name: other}}")
        done = daemon.rnx("job", "run", "--network=host", "--name=inside", "python3", "-c", CONNECT, port)
        alone = daemon.rnx("job", "run", "--name=apart", "python3", "-c", CONNECT, port)
        refused = daemon.rnx("-n", "other", "job", "run", "--network=host", "true")
        pod = json.loads(daemon.rnx("get", "pods", "inside-1", "-o", "json").stdout)
        described = daemon.rnx("describe", "job", "inside").stdout

    assert (done.returncode, done.stdout) == (0, "reached\n")
    assert (alone.returncode, "Connection refused" in alone.stderr) == (1, True)
    assert refused.returncode not in {0, 1}
    assert (
        "the setting policy.host_network does not give the host's own network to the namespace other" in refused.stderr
    )
    assert pod["spec"]["hostNetwork"] is True
    assert "Network:          host\n" in described
