"""A kubeconfig that rnx prints works: with kubectl and rnx over TLS, until it is revoked, and across restarts."""

import contextlib
import json
import os
import stat
import subprocess

import pytest

from support import host
from support.access import a_host
from support.daemon import RNX, a_daemon, a_free_port, a_manifest
from support.kubectl import BINARY

pytestmark = pytest.mark.needs_root


class Kube:
    """kubectl with a kubeconfig."""

    def __init__(self, path, home):
        self.path, self.home = path, home

    def __call__(self, *words, stdin=None, code=0):
        done = subprocess.run(
            [str(BINARY), "--kubeconfig", str(self.path), *words], input=stdin, capture_output=True, text=True,
            env={"HOME": str(self.home), "PATH": os.defpath}, timeout=30, check=False,
        )  # fmt: skip
        assert code in (None, done.returncode), (words, done.stdout, done.stderr)
        return done.stdout if done.returncode == 0 else done.stderr


@pytest.fixture(scope="module")
def daemon():
    before = host.snapshot()
    with a_daemon(f"api.listen=127.0.0.1:{a_free_port()}") as daemon:
        yield daemon
    host.assert_as_before(before)


@pytest.fixture
def kubeconfig(daemon, tmp_path):
    def make(user, *flags):
        done = daemon.rnx("admin", "kubeconfig", "--user", user, *flags)
        assert done.returncode == 0, done.stderr
        path = tmp_path / f"{user}.yaml"
        path.write_text(done.stdout)
        return Kube(path, tmp_path)

    return make


def test_a_developer_works_with_kubectl_over_tls(daemon, kubeconfig):
    alice = kubeconfig("alice", "--groups", "developers")

    alice("apply", "--server-side", "-f", "-", stdin=json.dumps(a_manifest("hello", command=["echo", "hi"])))
    alice("wait", "jobs.runwright.dev/hello", "--for=condition=Complete", "--timeout=20s")
    assert alice("logs", "hello-1") == "hi\n"
    assert "alice" in alice("auth", "whoami")
    assert alice("auth", "can-i", "create", "jobs.runwright.dev").strip() == "yes"
    assert "no" in subprocess.run(
        [str(BINARY), "--kubeconfig", str(alice.path), "auth", "can-i", "create", "clusterroles"],
        capture_output=True, text=True, check=False, env={"HOME": str(alice.home)},
    ).stdout  # fmt: skip
    assert "jobs.runwright.dev" in alice("auth", "can-i", "--list")
    assert "forbidden" in alice("create", "clusterrolebinding", "me", "--clusterrole=admin", "--user=alice", code=1)


@pytest.mark.parametrize("flags", [(), ("--token",)])
def test_rnx_uses_a_kubeconfig_too(daemon, kubeconfig, flags):
    vic = kubeconfig("vic", "--groups", "viewers", *flags)

    def rnx(*words):
        command = [str(RNX), "--kubeconfig", str(vic.path), *words]
        return subprocess.run(command, capture_output=True, text=True, check=False, env={"PATH": os.defpath})

    assert rnx("get", "jobs").returncode == 0
    refused = rnx("run", "--", "true")
    assert refused.returncode == 125
    assert 'User "vic" cannot' in refused.stderr


def test_kubectl_manages_roles_as_on_a_cluster(daemon, kubeconfig):
    boss, dave = kubeconfig("boss", "--groups", "admins"), kubeconfig("dave")

    assert "forbidden" in dave("get", "jobs.runwright.dev", code=1)
    boss("create", "role", "looker", "--verb=get,list", "--resource=jobs.runwright.dev")
    boss("create", "rolebinding", "dave", "--role=looker", "--user=dave")
    dave("get", "jobs.runwright.dev")
    assert "forbidden" in dave("get", "jobs.runwright.dev", "-A", code=1)
    names = ("get", "jobs.runwright.dev", "-o", "name")
    assert boss(*names, "--as=dave") == dave(*names)
    boss("delete", "rolebinding", "dave")
    assert "forbidden" in dave("get", "jobs.runwright.dev", code=1)


def test_what_is_revoked_is_refused_and_the_rest_survives_a_restart(daemon, kubeconfig):
    erin, frank = kubeconfig("erin", "--groups", "viewers"), kubeconfig("frank", "--groups", "viewers")
    assert "revoked" in daemon.rnx("admin", "ca", "revoke", "--user", "erin").stdout

    daemon.kill_daemon()
    daemon.start()

    assert "must be logged in" in erin("get", "jobs.runwright.dev", code=1)
    frank("get", "jobs.runwright.dev")


def test_an_expired_kubeconfig_is_refused(daemon, kubeconfig):
    late = kubeconfig("late", "--groups", "admins", "--duration", "1s")

    daemon.until("it is over", lambda: "must be logged in" in late("get", "jobs.runwright.dev", code=None))

    assert "must be logged in" in late("get", "jobs.runwright.dev", code=1)


def test_a_token_is_shown_once_and_is_nowhere_on_the_disk(daemon):
    token = daemon.rnx("admin", "token", "create", "ci", "--group", "developers").stdout.strip()

    assert token.startswith("rwt_")
    assert "ci" in daemon.rnx("admin", "token", "list").stdout
    found = subprocess.run(["grep", "-rlaF", token, str(daemon.root)], capture_output=True, text=True, check=False)
    assert found.stdout == ""
    assert "revoked" in daemon.rnx("admin", "token", "revoke", "ci").stdout


def test_secrets_of_the_host_are_closed_to_others(daemon):
    state = daemon.root / "var/lib/runwright"

    for path in (state / "pki/ca.pem", state / "pki/server.pem", daemon.root / "var/log/runwright/audit.log"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    assert stat.S_IMODE((state / "pki").stat().st_mode) == 0o700


def test_the_server_certificate_is_renewed_under_a_running_server():
    with a_host() as served, contextlib.ExitStack() as stack:

        def serial():
            client = stack.enter_context(served.client(token="none"))
            with client.stream("GET", "/healthz") as answer:
                tls = answer.extensions["network_stream"].get_extra_info("ssl_object")
                return tls.getpeercert()["serialNumber"]

        first = serial()
        (served.directory / "pki/server.pem").unlink()
        assert served.authority.renew()
        assert serial() != first
