"""What lasts ends with what allowed it: watches, logs that are followed, streams into runs; over real TLS."""

import contextlib
import json
import select
import threading
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from api.access.rules import Rule
from api.client_stream import Stream
from api.client_transport import Address, Unreachable
from api.errors import ApiError
from api.kinds import CLUSTER_ROLE, CLUSTER_ROLE_BINDING, JOB, SECRET, TOKEN
from api.kubeconfigs import Credentials
from api.meta import wire_time
from support.access import CERTIFICATES, RBAC, a_binding, a_host, a_role
from support.objects import a_job

TOKENS = "/apis/access.runwright.dev/v1alpha1/tokens"
SECRETS = "/api/v1/namespaces/default/secrets"
POD = "/api/v1/namespaces/default/pods/etl-1"
SECONDS = 10


@pytest.fixture(scope="module")
def host():
    with a_host() as host:
        job = host.make(JOB, a_job("etl"), "default")
        host.store.update_status(job | {"status": {"runs": [{"attempt": 1, "state": "Running"}]}})
        host.above.log = quiet_log
        yield host


def quiet_log(_job, _attempt, _options, is_stopped):
    """A run that prints a line and then nothing, until nobody follows it."""
    pause = threading.Event()
    yield b"hello\n"
    while not is_stopped():
        pause.wait(0.02)


def lines_until_cut_off(client, path, after_first):
    """Return what a stream says until the server ends it; `after_first` is called when its first line is there."""
    said = []
    with contextlib.suppress(httpx.RemoteProtocolError), client.stream("GET", path, timeout=SECONDS) as answer:
        assert answer.status_code == 200
        for line in answer.iter_lines():
            said.append(line)
            if len(said) == 1:
                after_first()
    return said


def end_on_record(host, user):
    """Return the entry that says how something of a user's ended, which follows its end."""
    pause = threading.Event()
    for _ in range(SECONDS * 50):
        for entry in map(json.loads, host.audit_log.read_text().splitlines()):
            if entry.get("user") == user and entry.get("ended"):
                return entry
        pause.wait(0.02)
    raise AssertionError(f"nothing is on record of how what {user} had ended")


WATCH, LOG = f"{SECRETS}?watch=true", f"{POD}/log?follow=true"


@pytest.mark.invariant("A6")
@pytest.mark.parametrize("path", [WATCH, LOG], ids=["watch", "log"])
def test_what_lasts_ends_when_its_certificate_is_revoked(host, path):
    host.root.post(SECRETS, json={"metadata": {"name": "early"}, "stringData": {"p": "x"}})
    pem, name = host.certificate("leaver", "developers")

    def revoke():
        assert host.root.delete(f"{CERTIFICATES}/{name}").status_code == 200

    with host.client(pem) as client:
        said = lines_until_cut_off(client, path, revoke)

    assert len(said) == 1


def test_a_watch_ends_when_its_token_is_revoked(host):
    token = host.token("watcher", "developers")
    with host.client(token=token) as client:
        said = lines_until_cut_off(client, WATCH, lambda: host.root.delete(f"{TOKENS}/watcher"))

    assert len(said) >= 1


def test_a_watch_ends_when_its_token_does(host):
    """Nothing is written meanwhile that would make anybody look."""
    token = host.token("short", "developers", seconds=2)
    begun = datetime.now(UTC)
    with host.client(token=token) as client:
        lines_until_cut_off(client, WATCH, lambda: None)

    assert timedelta(seconds=1) < datetime.now(UTC) - begun < timedelta(seconds=SECONDS)


def test_a_watch_ends_when_its_token_does_that_was_made_shorter_meanwhile(host):
    token = host.token("shortened", "developers")

    def shorten():
        ends = wire_time(datetime.now(UTC) + timedelta(seconds=2))
        patch = {"spec": {"expires": ends}}
        answer = host.root.patch(
            f"{TOKENS}/shortened", json=patch, headers={"content-type": "application/merge-patch+json"}
        )
        assert answer.status_code == 200

    begun = datetime.now(UTC)
    with host.client(token=token) as client:
        lines_until_cut_off(client, WATCH, shorten)

    assert timedelta(seconds=1) < datetime.now(UTC) - begun < timedelta(seconds=SECONDS)


def test_a_watch_ends_when_its_user_loses_the_right(host):
    host.make(CLUSTER_ROLE, a_role("sees-secrets", Rule(("watch", "list"), ("",), ("secrets",))))
    host.make(CLUSTER_ROLE_BINDING, a_binding("sees-secrets", "sees-secrets", "User:sid"))
    with host.as_user("sid") as sid:
        lines_until_cut_off(sid, WATCH, lambda: host.root.delete(f"{RBAC}/clusterrolebindings/sees-secrets"))

    assert end_on_record(host, "sid")["reason"].startswith('ended: secrets is forbidden: User "sid" cannot watch')


def test_a_watch_goes_on_when_others_lose_theirs(host):
    """Also through changes of access that concern it, as long as it may go on."""
    host.make(CLUSTER_ROLE_BINDING, a_binding("twice", "developer", "User:stays"))
    with host.as_user("stays", "developers") as client, client.stream("GET", WATCH, timeout=SECONDS) as answer:
        lines = answer.iter_lines()
        next(lines)
        host.root.delete(f"{RBAC}/clusterrolebindings/twice")
        lines_until_cut_off(
            host.client(token=host.token("other", "developers")), WATCH, lambda: host.root.delete(f"{TOKENS}/other")
        )
        host.make(SECRET, {"metadata": {"name": "seen-by-stays"}, "stringData": {"p": "x"}}, "default")

        assert any("seen-by-stays" in line for line in lines)


def attached(host, token):
    """Follow a run's output over a WebSocket as the holder of a token."""
    proof = Credentials(host.url, authority=host.authority.certificate_pem(), token=token)
    return Stream.open(Address(None, host.url, proof), f"{POD}/attach", [("stdout", "true")])


def until_its_end(stream):
    while select.select([stream], [], [], SECONDS)[0]:
        stream.receive()


@pytest.mark.invariant("A6")
def test_a_websocket_ends_when_its_token_is_revoked_and_its_end_is_on_record(host):
    with attached(host, host.token("enters", "developers")) as stream:
        assert host.root.delete(f"{TOKENS}/enters").status_code == 200
        with pytest.raises(Unreachable, match="was ended: Unauthorized"):
            until_its_end(stream)

    entry = end_on_record(host, "service:enters")
    assert (entry["code"], entry["object"]["subresource"], entry["reason"]) == (101, "attach", "ended: Unauthorized")


def test_a_token_is_not_passed_over_for_a_websocket(host):
    with pytest.raises(ApiError) as refused:
        attached(host, "wrong")

    assert refused.value.code == 401


def test_the_end_of_a_watch_is_on_record_too(host):
    with host.as_user("ends", "developers") as client:
        client.get(f"{WATCH}&timeoutSeconds=1")

    entry = end_on_record(host, "ends")
    assert (entry["verb"], entry["code"]) == ("watch", 200)
    assert entry["seconds"] >= 1


def test_a_token_of_the_year_9999_is_one(host):
    """Times at the ends of what there is are refused or read, and never a bug."""
    for moment, code in (("9999-12-31T23:59:59-12:00", 422), ("0001-01-01T00:00:00+12:00", 422)):
        spec = {"user": "x", "expires": moment, "sha256": "2" * 64}
        document = {"apiVersion": TOKEN.api_version, "kind": "Token", "metadata": {"name": "far"}, "spec": spec}
        assert host.root.post(TOKENS, json=document).status_code == code
