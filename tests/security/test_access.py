"""Nobody gets in who is not known, and nobody does what no role gives them: over real TLS, with the right Status."""

import json
import os
import socket
import ssl
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from api.access import certificates
from api.access.rules import Rule
from api.kinds import CLUSTER_ROLE, CLUSTER_ROLE_BINDING, JOB, ROLE_BINDING, TOKEN
from support.access import CERTIFICATES, JOBS, RBAC, a_binding, a_host, a_role
from support.objects import a_job

APPLY = {"content-type": "application/apply-patch+yaml"}
MERGE = {"content-type": "application/merge-patch+json"}
TOKENS = "/apis/access.runwright.dev/v1alpha1/tokens"


@pytest.fixture(scope="module")
def host():
    with a_host() as host:
        host.make(JOB, a_job("secret-job"), "other")
        host.make(JOB, a_job("mine"), "default")
        host.make(ROLE_BINDING, a_binding("only-here", "developer", "User:carol", namespace="default"), "default")
        yield host


@pytest.fixture(scope="module")
def alice(host):
    with host.as_user("alice", "developers") as client:
        yield client


@pytest.fixture(scope="module")
def carol(host):
    """A developer in `default` only."""
    with host.as_user("carol") as client:
        yield client


@pytest.fixture(scope="module")
def viewer(host):
    with host.as_user("vic", "viewers") as client:
        yield client


def check_refused(answer, code, *words):
    """It is a Status of that code, and says these words."""
    status = answer.json()
    assert (answer.status_code, status["kind"], status["code"], status["status"]) == (code, "Status", code, "Failure")
    assert status["reason"] == {401: "Unauthorized", 403: "Forbidden"}[code]
    for word in words:
        assert word in status["message"], status["message"]


# Who is not known


PAGES = ["/", "/api", "/apis", "/version", "/version/", "/openapi/v3", "/metrics", "/ca", "/api/v1/pods", "/nowhere",
         "/apis/runwright.dev/v1alpha1/jobs", "/api/v1/namespaces/default/pods/mine-1/log", "/healthz/", "//healthz",
         "/healthz\n", "/apis/rbac.authorization.k8s.io/v1/clusterroles"]  # fmt: skip


@pytest.mark.invariant("A1")
@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_nothing_but_health_is_answered_to_nobody(host, path, method):
    with host.client() as client:
        check_refused(client.request(method, host.url + path.replace("\n", "%0A")), 401, "Unauthorized")


@pytest.mark.parametrize("path", ["/healthz", "/livez", "/readyz"])
def test_health_is_answered_to_everybody(host, path):
    with host.client() as client:
        assert client.get(path).status_code == 200


def test_why_something_does_not_work_is_told_to_root_alone(host, monkeypatch):
    monkeypatch.setattr(host.above, "problems", {"launcher": "/secret/path: it is full"})
    with host.client() as client:
        told = client.get("/readyz?verbose")
        assert (told.status_code, "[-]launcher failed: reason withheld" in told.text) == (500, True)
        assert "secret" not in told.text
    assert "/secret/path: it is full" in host.root.get("/readyz").text


@pytest.mark.parametrize("path", ["/healthz", "/livez", "/readyz"])
def test_health_pages_take_nothing_from_nobody(host, path):
    with host.client() as client:
        check_refused(client.post(path, json={}), 401)


@pytest.mark.parametrize(
    "header", ["Bearer nope", "Bearer", "Basic cm9vdDpyb290", "Negotiate x", "", "Bearer " + "x" * 5000]
)
def test_a_wrong_token_is_refused_and_never_nobody_or_the_certificate(host, header):
    pem, _ = host.certificate("alice", "developers")
    for client in (host.client(), host.client(pem)):
        with client:
            check_refused(client.get("/api", headers={"Authorization": header}), 401)


def test_two_authorizations_are_refused(host):
    token = host.token("twice", "viewers")
    with host.client() as client:
        headers = [("Authorization", f"Bearer {token}"), ("Authorization", "Bearer other")]
        check_refused(client.get("/api", headers=headers), 401)


def test_a_wrong_token_on_the_unix_socket_is_refused_although_root_asks(host):
    check_refused(host.root.get("/api", headers={"Authorization": "Bearer nope"}), 401)


def test_an_expired_certificate_is_refused_with_a_status(host):
    pem, _ = host.certificate("late", "admins", seconds=0)
    with host.client(pem) as client:
        check_refused(client.get("/api"), 401)


def test_a_revoked_certificate_is_refused_at_once_on_the_open_connection_too(host):
    pem, name = host.certificate("former", "admins")
    with host.client(pem) as client:
        assert client.get("/api/v1/namespaces").status_code == 200
        assert host.root.delete(f"{CERTIFICATES}/{name}").status_code == 200
        check_refused(client.get("/api/v1/namespaces"), 401)


def test_a_foreign_certificate_does_not_get_through_the_handshake(host):
    foreign = certificates.new_authority("foreign", datetime.now(UTC))
    key, request = certificates.new_request()
    now = datetime.now(UTC)
    pem, _ = certificates.client_certificate(
        foreign, request, "root", ["system:masters"], now, now + timedelta(hours=1)
    )
    with (
        host.client(key + pem) as client,
        pytest.raises(httpx.TransportError, match=r"(?i)unknown ca|disconnected|broken pipe|reset|eof"),
    ):
        client.get("/api")


def test_a_certificate_of_the_ca_that_was_never_issued_through_the_api_is_refused(host):
    """As of one who read an old backup of the key: what is not on the list does not count."""
    key, request = certificates.new_request()
    expires = datetime.now(UTC) + timedelta(hours=1)
    pem, _ = host.authority.sign(request, "ghost", ["system:masters"], expires)
    with host.client(key + pem) as client:
        check_refused(client.get("/api"), 401)


def test_the_certificate_of_the_server_is_none_of_a_client(host):
    pem = (host.directory / "pki/server.pem").read_bytes()
    with host.client(pem) as client, pytest.raises(httpx.TransportError):
        client.get("/api")


def test_plain_http_is_not_answered(host):
    with pytest.raises(httpx.TransportError):
        httpx.get(f"http://127.0.0.1:{host.port}/healthz")


def test_old_tls_is_not_spoken(host):
    context = ssl.create_default_context(cadata=host.authority.certificate_pem().decode())
    context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    with (
        socket.create_connection(("127.0.0.1", host.port)) as raw,
        context.wrap_socket(raw, server_hostname="localhost") as tls,
    ):
        assert tls.version() == "TLSv1.2"  # The oldest there is.


def test_an_expired_token_is_refused(host):
    token = host.token("over", "admins", seconds=-1)
    with host.client(token=token) as client:
        check_refused(client.get("/api"), 401)


@pytest.mark.invariant("A5")
def test_a_revoked_token_is_refused_at_once(host):
    token = host.token("gone", "viewers")
    with host.client(token=token) as client:
        assert client.get("/api/v1/namespaces").status_code == 200
        assert host.root.delete(f"{TOKENS}/gone").status_code == 200
        check_refused(client.get("/api/v1/namespaces"), 401)


def test_another_user_of_this_host_is_refused_on_the_unix_socket_though_it_reaches_it(host):
    script = (
        "import os, socket, sys\ns = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); os.setgroups([])\n"
        "s.close(); os.setgid(65534); os.setuid(65534)\n"
        "s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])\n"
        "s.sendall(b'GET /api HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n')\n"
        "print(s.makefile().read())"
    )
    path = host.directory / "api.sock"
    if os.geteuid() != 0:
        pytest.skip("only root can be another user")
    host.directory.chmod(0o755), path.chmod(0o666)
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True)
    path.chmod(0o600), host.directory.chmod(0o700)

    assert done.stdout.startswith("HTTP/1.1 401")


# Who is known, and may not


@pytest.mark.parametrize(
    ("method", "path", "verb"),
    [
        ("POST", JOBS.format("default"), "create"),
        ("PUT", JOBS.format("default") + "/mine", "update"),
        ("PATCH", JOBS.format("default") + "/mine", "patch"),
        ("DELETE", JOBS.format("default") + "/mine", "delete"),
        ("DELETE", JOBS.format("default"), "deletecollection"),
        ("POST", "/api/v1/namespaces", "create"),
        ("PUT", JOBS.format("default") + "/mine/status", "update"),
    ],
)
def test_a_viewer_writes_nothing(host, viewer, method, path, verb):
    check_refused(viewer.request(method, path, json=a_job("mine")), 403, 'User "vic" cannot', f"cannot {verb} resource")


def test_a_viewer_reads(viewer):
    assert viewer.get(JOBS.format("default") + "/mine").status_code == 200
    assert viewer.get("/apis/runwright.dev/v1alpha1/jobs").status_code == 200
    assert viewer.get("/metrics").status_code == 200


@pytest.mark.parametrize("what", ["exec", "attach", "files", "portforward"])
def test_entering_a_run_is_no_reading(viewer, what):
    check_refused(
        viewer.get(f"/api/v1/namespaces/default/pods/mine-1/{what}"), 403, f'cannot create resource "pods/{what}"'
    )


def test_the_refusal_has_kubernetes_words(viewer):
    answer = viewer.delete(JOBS.format("other") + "/secret-job")

    assert answer.json()["message"] == (
        'jobs.runwright.dev "secret-job" is forbidden: User "vic" cannot delete resource "jobs" in API group '
        '"runwright.dev" in the namespace "other"'
    )
    assert answer.json()["details"] == {"name": "secret-job", "group": "runwright.dev", "kind": "jobs"}


@pytest.mark.parametrize("kind", ["tokens", "certificates"])
def test_tokens_and_certificates_are_for_administrators(alice, kind):
    check_refused(alice.get(f"/apis/access.runwright.dev/v1alpha1/{kind}"), 403)


def test_a_developer_of_one_namespace_does_nothing_in_another(carol):
    assert carol.get(JOBS.format("default")).status_code == 200
    for path in (JOBS.format("other"), "/apis/runwright.dev/v1alpha1/jobs", JOBS.format("other") + "/secret-job",
                 "/api/v1/namespaces/other/pods/secret-job-1", "/api/v1/namespaces/other/pods/secret-job-1/log"):  # fmt: skip
        check_refused(carol.get(path), 403)


def test_what_is_not_there_and_what_may_not_be_seen_look_the_same(carol):
    there, missing = (carol.get(JOBS.format("other") + f"/{name}") for name in ("secret-job", "no-such-job"))

    assert there.text.replace("secret-job", "X") == missing.text.replace("no-such-job", "X")


def test_the_namespace_of_the_body_does_not_lead_elsewhere(carol):
    answer = carol.post(JOBS.format("default"), json=a_job("x", metadata={"namespace": "other"}))

    assert answer.status_code == 400


def test_apply_makes_nothing_for_who_may_patch_only(host):
    host.make(CLUSTER_ROLE, a_role("patcher", Rule(("patch", "get"), ("runwright.dev",), ("jobs",))))
    host.make(CLUSTER_ROLE_BINDING, a_binding("patchers", "patcher", "User:pat"))
    with host.as_user("pat") as pat:
        new = pat.patch(JOBS.format("default") + "/new", json=a_job("new"), params={"fieldManager": "p"}, headers=APPLY)
        check_refused(new, 403, "cannot create resource")
        old = pat.patch(
            JOBS.format("default") + "/mine", json=a_job("mine", suspend=True), headers=APPLY,
            params={"fieldManager": "p", "force": "true"},
        )  # fmt: skip
        assert old.status_code == 200, old.text


# Confused deputies


def owner(kind, name, **more):
    return {"apiVersion": "runwright.dev/v1alpha1", "kind": kind, "name": name, "uid": "0", **more}


def test_an_owner_that_may_not_be_seen_is_refused(host):
    host.make(CLUSTER_ROLE, a_role("maker", Rule(("create",), ("runwright.dev",), ("jobs",))))
    host.make(ROLE_BINDING, a_binding("makers", "maker", "User:mallory", namespace="default"), "default")
    with host.as_user("mallory") as mallory:
        job = a_job("child", metadata={"ownerReferences": [owner("Job", "mine")]})
        check_refused(
            mallory.post(JOBS.format("default"), json=job), 403, "owner reference", 'cannot get resource "jobs"'
        )


def test_who_may_not_change_an_owner_does_not_hold_up_its_end(carol):
    job = a_job("blocker", metadata={"ownerReferences": [owner("Runtime", "python", blockOwnerDeletion=True)]})

    check_refused(carol.post(JOBS.format("default"), json=job), 403, "owner reference", "runtimes")


def test_an_owner_of_ones_own_is_fine(alice):
    job = a_job("child-of-mine", metadata={"ownerReferences": [owner("Job", "mine", blockOwnerDeletion=True)]})

    assert alice.post(JOBS.format("default"), json=job, params={"dryRun": "All"}).status_code == 201


@pytest.fixture(scope="module")
def pat(host):
    """May change jobs, and not delete them."""
    host.make(CLUSTER_ROLE, a_role("changer", Rule(("get", "patch", "update"), ("runwright.dev",), ("jobs",))))
    host.make(CLUSTER_ROLE_BINDING, a_binding("changers", "changer", "User:changer"))
    with host.as_user("changer") as client:
        yield client


@pytest.mark.invariant("A2")
@pytest.mark.parametrize("uid", ["0", "00000000-0000-0000-0000-000000000000"])
def test_who_may_change_and_not_delete_has_nothing_deleted_for_its_owner(host, pat, uid):
    """An owner that is not there, or ends soon, would take the object along."""
    references = [owner("Job", "mine") | {"uid": uid}]
    path, patch = JOBS.format("default") + "/mine", {"metadata": {"ownerReferences": references}}
    check_refused(pat.patch(path, json=patch, headers=MERGE), 403, "owners", 'cannot delete resource "jobs"')
    patch["apiVersion"], patch["kind"] = JOB.api_version, JOB.name
    patch["metadata"] |= {"name": "mine"}
    applied = pat.patch(path, json=patch, headers=APPLY, params={"fieldManager": "x"})
    check_refused(applied, 403, "owners", 'cannot delete resource "jobs"')


def test_who_may_change_and_not_delete_frees_nothing_of_its_owner_either(host, pat):
    references = [
        owner("Job", "mine") | {"uid": host.root.get(JOBS.format("default") + "/mine").json()["metadata"]["uid"]}
    ]
    host.make(JOB, a_job("owned", metadata={"ownerReferences": references}), "default")
    patch = {"metadata": {"ownerReferences": None}}

    check_refused(pat.patch(JOBS.format("default") + "/owned", json=patch, headers=MERGE), 403, "owners")


def test_who_may_change_and_not_delete_has_nothing_pruned_as_if_a_manifest_had_gone(host, pat):
    """What a manifest source has applied, and does not declare, the daemon deletes."""
    path = JOBS.format("default") + "/mine"
    posing = pat.patch(path, json=a_job("mine", suspend=True), headers=APPLY,
                       params={"fieldManager": "manifests/directory", "force": "true"})  # fmt: skip
    check_refused(posing, 403, "manifest sources", 'cannot delete resource "jobs"')
    entry = {"manager": "manifests/directory", "operation": "Apply", "apiVersion": JOB.api_version,
             "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {"f:command": {}}}}  # fmt: skip
    check_refused(
        pat.patch(path, json={"metadata": {"managedFields": [entry]}}, headers=MERGE), 403, "manifest sources"
    )


def test_who_may_delete_may_say_with_what_else_it_goes(host, alice):
    host.make(JOB, a_job("ones-own"), "default")
    references = [owner("Job", "mine")]
    patch = {"metadata": {"ownerReferences": references}}

    answer = alice.patch(JOBS.format("default") + "/ones-own", json=patch, headers=MERGE, params={"dryRun": "All"})
    assert answer.status_code == 200, answer.text


def test_who_may_not_impersonate_does_not(alice):
    check_refused(alice.get("/api", headers={"Impersonate-User": "root"}), 403, 'cannot impersonate resource "users"')


def test_who_may_impersonate_has_the_other_ones_rights_only(host):
    with host.as_user("boss", "admins") as boss:
        headers = {"Impersonate-User": "vic", "Impersonate-Group": "viewers"}
        assert boss.get(JOBS.format("default"), headers=headers).status_code == 200
        check_refused(boss.delete(JOBS.format("default") + "/mine", headers=headers), 403, 'User "vic"')


@pytest.mark.parametrize("header", ["Impersonate-Uid", "Impersonate-Extra-scopes", "Impersonate-Group"])
def test_half_an_impersonation_is_refused_and_not_passed_over(host, header):
    check_refused(host.root.get("/api", headers={header: "x"}), 403)


# Nobody gives what they do not have


@pytest.fixture(scope="module")
def rita(host):
    """May write roles and bindings, tokens and certificates, and is a viewer."""
    rules = [
        Rule(("create", "patch", "update", "get"), ("rbac.authorization.k8s.io",), ("*",)),
        Rule(("create", "patch", "get", "update"), ("access.runwright.dev",), ("*",)),
    ]
    host.make(CLUSTER_ROLE, a_role("writer-of-roles", *rules))
    host.make(CLUSTER_ROLE_BINDING, a_binding("writers", "writer-of-roles", "User:rita"))
    with host.as_user("rita", "viewers") as client:
        yield client


@pytest.mark.invariant("A2")
def test_nobody_writes_a_role_with_more_than_they_have(rita):
    more = a_role("more", Rule(("delete",), ("runwright.dev",), ("jobs",)))

    check_refused(rita.post(f"{RBAC}/clusterroles", json=more), 403, "not currently held", "delete")


def test_what_one_has_may_be_given(rita):
    same = a_role("same", Rule(("get",), ("runwright.dev",), ("jobs",)))

    assert rita.post(f"{RBAC}/clusterroles", json=same).status_code == 201


@pytest.mark.parametrize("content_type", ["application/merge-patch+json", "application/apply-patch+yaml"])
def test_a_role_grows_by_no_patch_either(rita, host, content_type):
    name = "grows-" + content_type.partition("/")[2].partition("-")[0]
    host.make(CLUSTER_ROLE, a_role(name, Rule(("get",), ("runwright.dev",), ("jobs",))))
    patch = a_role(name, Rule(("*",), ("*",), ("*",)))
    answer = rita.patch(
        f"{RBAC}/clusterroles/{name}", json=patch, headers={"content-type": content_type},
        params={"fieldManager": "x"} | ({"force": "true"} if "apply" in content_type else {}),
    )  # fmt: skip

    check_refused(answer, 403, "not currently held")


def test_nobody_binds_a_role_with_more_than_they_have(rita):
    check_refused(
        rita.post(f"{RBAC}/clusterrolebindings", json=a_binding("me", "admin", "User:rita")), 403, "not currently held"
    )


def test_nobody_binds_a_role_that_somebody_may_write_later(rita):
    check_refused(
        rita.post(f"{RBAC}/clusterrolebindings", json=a_binding("early", "not-yet", "User:rita")), 403, "not there"
    )


def test_a_binding_does_not_change_its_role(host):
    host.make(CLUSTER_ROLE_BINDING, a_binding("fixed", "viewer", "User:zoe"))
    answer = host.root.patch(
        f"{RBAC}/clusterrolebindings/fixed", json={"roleRef": {"name": "admin"}},
        headers={"content-type": "application/merge-patch+json"},
    )  # fmt: skip

    assert (answer.status_code, answer.json()["reason"]) == (422, "Invalid")


def test_nobody_makes_a_token_of_somebody_else(rita):
    spec = {"user": "root", "groups": ["system:masters"], "expires": "2099-01-01T00:00:00Z", "sha256": "0" * 64}
    document = {"apiVersion": TOKEN.api_version, "kind": "Token", "metadata": {"name": "steal"}, "spec": spec}

    check_refused(rita.post(TOKENS, json=document), 403, "cannot impersonate")


def test_nobody_gets_a_certificate_of_somebody_else(rita):
    _, request = certificates.new_request()
    spec = {"user": "rita", "groups": ["admins"], "expires": "2099-01-01T00:00:00Z", "request": request.decode()}

    check_refused(rita.post(CERTIFICATES, json={"spec": spec}), 403, "cannot impersonate resource")


def test_a_certificate_of_oneself_is_given(rita):
    _, request = certificates.new_request()
    spec = {"user": "rita", "groups": ["viewers"], "expires": "2099-01-01T00:00:00Z", "request": request.decode()}

    assert rita.post(CERTIFICATES, json={"spec": spec}).status_code == 201


@pytest.fixture(scope="module")
def boss(host):
    """May do everything, by a role."""
    with host.as_user("boss", "admins") as client:
        yield client


@pytest.mark.parametrize(("user", "groups"), [("x", ["system:masters"]), ("system:root", []), ("x", ["system:nodes"])])
def test_only_root_gives_the_names_of_the_server(boss, user, groups):
    """Whoever is in system:masters is asked about no role, and so would outlive the role of who made the proof."""
    identity = {"user": user, "groups": groups, "expires": "2099-01-01T00:00:00Z"}
    token = {
        "apiVersion": TOKEN.api_version,
        "kind": "Token",
        "metadata": {"name": "m"},
        "spec": identity | {"sha256": "3" * 64},
    }
    check_refused(boss.post(TOKENS, json=token), 403, "only root gives it")
    _, request = certificates.new_request()
    check_refused(boss.post(CERTIFICATES, json={"spec": identity | {"request": request.decode()}}), 403, "only root")


def test_a_token_is_nobody_elses_by_another_object_of_it(host, boss):
    """Whoever may list tokens sees their digests."""
    host.token("first", "viewers")
    token = boss.get(f"{TOKENS}/first").json()
    spec = token["spec"] | {"user": "boss", "groups": ["admins"]}
    again = {"apiVersion": TOKEN.api_version, "kind": "Token", "metadata": {"name": "second"}, "spec": spec}

    check_refused(boss.post(TOKENS, json=again), 403, "another object is of the same token")
    assert boss.patch(f"{TOKENS}/first", json={"spec": {"description": "x"}}, headers=MERGE).status_code == 200


def test_a_role_whose_judgement_would_take_hours_is_refused_at_once(rita):
    words = [f"w{number}" for number in range(2000)]
    rule = {"verbs": words, "apiGroups": words, "resources": words, "resourceNames": words}
    role = a_role("huge") | {"rules": [rule]}

    check_refused(rita.post(f"{RBAC}/clusterroles", json=role), 403, "more than 10000 pairs")


@pytest.mark.invariant("A5")
@pytest.mark.parametrize("tail", ["", "/"])
def test_a_revoked_certificate_comes_back_to_life_by_no_object_of_its_name(host, boss, tail):
    """Whoever may make certificates, their own only, could else bring back one of an administrator."""
    pem, name = host.certificate("chief", "admins")
    assert host.root.delete(f"{CERTIFICATES}/{name}").status_code == 200
    spec = {"user": "boss", "groups": ["admins"], "expires": "2099-01-01T00:00:00Z"}
    again = {
        "apiVersion": "access.runwright.dev/v1alpha1",
        "kind": "Certificate",
        "metadata": {"name": name},
        "spec": spec,
    }
    if tail:
        boss.post(f"{CERTIFICATES}/", json=again)
    else:
        boss.patch(f"{CERTIFICATES}/{name}", json=again, headers=APPLY, params={"fieldManager": "x"})

    with host.client(pem) as client:
        check_refused(client.get("/api"), 401)


@pytest.mark.parametrize(
    "request_", ["", "nonsense", "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----"]
)
def test_what_is_no_request_for_a_certificate_is_refused(host, request_):
    spec = {"user": "x", "expires": "2099-01-01T00:00:00Z", "request": request_}
    answer = host.root.post(CERTIFICATES, json={"spec": spec})

    assert (answer.status_code, answer.json()["reason"]) == (400, "BadRequest")


# The key of Secrets


def test_the_key_of_secrets_is_rotated_by_administrators_and_nobody_else(host, boss, alice):
    host.root.post("/api/v1/namespaces/default/secrets", json={"metadata": {"name": "kept"}, "stringData": {"p": "x"}})
    keys = (host.directory / "secrets.key").read_text()
    check_refused(alice.post("/secrets-key/rotate"), 403, 'cannot post path "/secrets-key/rotate"')
    assert (host.directory / "secrets.key").read_text() == keys

    done = boss.post("/secrets-key/rotate")

    assert (done.status_code, done.json()["texts"] >= 1) == (200, True)
    assert (host.directory / "secrets.key").read_text() != keys
    assert boss.get("/api/v1/namespaces/default/secrets/kept").json()["data"] == {"p": "eA=="}
    assert (entries(host)[-2]["path"], entries(host)[-2]["user"]) == ("/secrets-key/rotate", "boss")


def test_a_key_that_cannot_be_saved_is_told_of(host):
    (host.directory / ".secrets.key.new").mkdir()
    refused = host.root.post("/secrets-key/rotate")
    (host.directory / ".secrets.key.new").rmdir()

    assert (refused.status_code, refused.json()["reason"]) == (503, "ServiceUnavailable")
    assert "cannot use the keys of secrets" in refused.json()["message"]


# What a token is for


@pytest.fixture(scope="module")
def scoped(host):
    scope = [
        {"verbs": ["get", "list"], "resources": ["jobs"], "apiGroups": ["runwright.dev"], "namespaces": ["default"]}
    ]
    with host.client(token=host.token("scoped", "system:masters", scope=scope)) as client:
        yield client


@pytest.mark.invariant("A3")
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", JOBS.format("other")),
        ("GET", "/apis/runwright.dev/v1alpha1/jobs"),
        ("POST", JOBS.format("default")),
        ("DELETE", JOBS.format("default") + "/mine"),
        ("GET", "/apis/runwright.dev/v1alpha1/runtimes"),
        ("GET", JOBS.format("default") + "?watch=true"),
        ("GET", JOBS.format("default") + "/mine/explain"),
        ("GET", "/metrics"),
        ("POST", TOKENS),
    ],
)
def test_a_token_does_no_more_than_it_is_for_whoever_it_is_of(scoped, method, path):
    check_refused(
        scoped.request(method, path, json=a_job("x") if method == "POST" else None), 403, "the token is not for this"
    )


def test_a_token_does_what_it_is_for(scoped):
    assert scoped.get(JOBS.format("default")).status_code == 200
    assert scoped.get("/api").status_code == 200


def test_a_token_for_some_things_makes_none_for_more(host):
    scope = [{"verbs": ["*"], "resources": ["tokens"], "apiGroups": ["access.runwright.dev"]}]
    with host.client(token=host.token("minter", "system:masters", scope=scope, user="root")) as client:
        spec = {"user": "root", "expires": "2099-01-01T00:00:00Z", "sha256": "1" * 64}
        document = {"apiVersion": TOKEN.api_version, "kind": "Token", "metadata": {"name": "wide"}, "spec": spec}
        check_refused(client.post(TOKENS, json=document), 403, "for some things only")


def test_a_scope_goes_along_when_acting_as_another(host):
    scope = [{"verbs": ["impersonate", "get"], "resources": ["users", "jobs"]}]
    with host.client(token=host.token("actor", "system:masters", scope=scope)) as client:
        headers = {"Impersonate-User": "alice"}
        check_refused(
            client.delete(JOBS.format("default") + "/mine", headers=headers), 403, "the token is not for this"
        )


# The record


def entries(host):
    return [json.loads(line) for line in host.audit_log.read_text().splitlines()]


@pytest.mark.invariant("A4")
def test_a_write_is_on_record_before_it_is_answered_with_who_what_and_the_answer(host, alice):
    assert alice.post(JOBS.format("default"), json=a_job("recorded"), params={"dryRun": "All"}).status_code == 201

    last = entries(host)[-1]
    assert (last["user"], last["verb"], last["code"], last["dryRun"], last["sourceIP"]) == (
        "alice",
        "create",
        201,
        True,
        "127.0.0.1",
    )
    assert last["object"] == {"group": "runwright.dev", "resource": "jobs", "namespace": "default", "name": "recorded"}


def test_a_refusal_is_on_record(host, viewer):
    viewer.delete(JOBS.format("default") + "/mine")

    assert (entries(host)[-1]["user"], entries(host)[-1]["code"]) == ("vic", 403)


def test_who_is_unknown_is_on_record(host):
    with host.client(token="guess-of-a-token") as client:
        client.get("/api")

    assert entries(host)[-1]["code"] == 401
    assert "user" not in entries(host)[-1]


def test_no_token_body_or_query_is_in_the_record(host):
    token = host.token("quiet", "developers")
    with host.client(token=token) as client:
        client.post(
            JOBS.format("default"),
            json=a_job("x", env=[{"name": "PASSWORD", "value": "hunter2"}]),
            params={"dryRun": "All"},
        )
        client.get("/api/v1/namespaces/default/pods/mine-1/exec?command=hunter2")

    text = host.audit_log.read_text()
    assert token not in text
    assert "hunter2" not in text


def test_what_a_client_says_of_itself_cannot_forge_a_line(host, alice):
    before = len(entries(host))
    alice.get("/api", headers={"User-Agent": 'x","code":200}{"user":"root'})

    assert len(entries(host)) == before + 1
    assert entries(host)[-1]["userAgent"].startswith('x",')


def test_nothing_is_changed_that_could_not_be_put_on_record():
    with a_host(audit_log="missing/audit.log") as host, host.client(token=host.token("t", "developers")) as client:
        assert client.get(JOBS.format("default")).status_code == 200
        refused = client.post(JOBS.format("default"), json=a_job("unrecorded"))
        assert (refused.status_code, refused.json()["reason"]) == (503, "ServiceUnavailable")
        assert "cannot write the audit log" in refused.json()["message"]
        assert host.root.post("/secrets-key/rotate").status_code == 503
        assert client.get(JOBS.format("default") + "/unrecorded").status_code == 404

        host.audit_log.parent.mkdir()
        assert client.post(JOBS.format("default"), json=a_job("recorded")).status_code == 201
        assert [entry["code"] for entry in entries(host)] == [200, 503, 503, 404, 201]
