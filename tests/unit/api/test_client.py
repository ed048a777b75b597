"""The typed client against the real API on a unix socket."""

import socket
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from api.client import Client, Selection
from api.client_transport import Address, BadAddress, Unreachable, error_of
from api.client_watch import TimedOut, Watch, condition, wait_for
from api.errors import AlreadyExists, ApiError, BadRequest, Conflict, Expired, Invalid, NotFound
from api.kinds import JOB, NAMESPACE, RUNTIME
from support.api_server import LiveApi, a_live_api, condition_of
from support.objects import a_job


@pytest.fixture(scope="module")
def live_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveApi]:
    with a_live_api(tmp_path_factory.mktemp("live")) as server:
        yield server


@pytest.fixture
def live(live_server: LiveApi) -> Iterator[LiveApi]:
    yield live_server
    live_server.clear()


def test_what_was_created_is_got_and_listed(live):
    created = live.client.create(JOB, "default", a_job("etl")).document

    assert live.client.get(JOB, "default", "etl") == created
    assert live.client.list(JOB)["items"] == [created]


def test_labels_and_fields_select(live):
    live.create(JOB, a_job("a", metadata={"labels": {"x": "1"}})), live.create(JOB, a_job("b"))

    by_label = live.client.list(JOB, "default", Selection(labels="x=1"))["items"]
    by_field = live.client.list(JOB, "default", Selection(fields="metadata.name=b"))["items"]

    assert [item["metadata"]["name"] for item in (*by_label, *by_field)] == ["a", "b"]


def test_refusals_come_back_as_the_errors_they_were(live):
    live.create(JOB, a_job("etl"))

    with pytest.raises(AlreadyExists, match=r'jobs\.runwright\.dev "etl" already exists'):
        live.client.create(JOB, "default", a_job("etl"))
    with pytest.raises(NotFound) as missing:
        live.client.get(JOB, "default", "nope")
    with pytest.raises(Invalid) as invalid:
        live.client.create(JOB, "default", a_job("x", command=[], backoffLimit=-1))

    assert (missing.value.about.kind, missing.value.about.name) == ("jobs", "nope")
    assert {cause.field for cause in invalid.value.causes} == {"spec.command", "spec.backoffLimit"}


def test_unknown_fields_are_refused(live):
    with pytest.raises(BadRequest, match=r'unknown field "spec\.comand"'):
        live.client.create(JOB, "default", a_job("x", comand=["true"]))


def test_an_apply_says_what_it_did(live):
    done = [live.client.apply(JOB, "default", a_job("etl", backoffLimit=limit)) for limit in (1, 1, 2)]

    assert [(each.created, each.changed) for each in done] == [(True, True), (False, False), (False, True)]


def test_an_apply_to_fields_of_another_manager_is_a_conflict_unless_forced(live):
    live.client.apply(JOB, "default", a_job("etl", backoffLimit=1))
    with Client(live.client.transport.address, field_manager="other") as other:
        with pytest.raises(Conflict) as conflict:
            other.apply(JOB, "default", a_job("etl", backoffLimit=2))
        forced = other.apply(JOB, "default", a_job("etl", backoffLimit=2), force=True)

    assert [cause.field for cause in conflict.value.causes] == [".spec.backoffLimit"]
    assert forced.document["spec"]["backoffLimit"] == 2


def test_a_change_is_made_again_when_someone_else_wrote_in_between(live):
    live.create(JOB, a_job("etl"))
    seen = []

    def patch_for(current):
        seen.append(current["metadata"]["resourceVersion"])
        if len(seen) == 1:
            live.client.merge_patch(JOB, "default", "etl", {"spec": {"workingDir": "/tmp"}})
        return {"spec": {"backoffLimit": 1}}

    changed = live.client.change(JOB, "default", "etl", patch_for)

    assert len(seen) == 2
    assert (changed["spec"]["backoffLimit"], changed["spec"]["workingDir"]) == (1, "/tmp")


def test_a_deletion_of_what_was_changed_since_is_a_conflict(live):
    seen = live.create(JOB, a_job("etl"))["metadata"]["resourceVersion"]
    now = live.client.merge_patch(JOB, "default", "etl", {"spec": {"backoffLimit": 1}})["metadata"]["resourceVersion"]

    with pytest.raises(Conflict):
        live.client.delete(JOB, "default", "etl", resource_version=seen)

    live.client.delete(JOB, "default", "etl", resource_version=now)
    assert live.client.list(JOB)["items"] == []


def test_a_deletion_of_another_uid_is_a_conflict(live):
    live.create(JOB, a_job("etl"))

    with pytest.raises(Conflict):
        live.client.delete(JOB, "default", "etl", uid="another")


def test_a_watch_begins_with_what_is_there_and_goes_on_with_changes(live):
    live.create(JOB, a_job("a"))
    changes = iter(Watch(live.client, JOB, "default"))
    first = next(changes)
    live.create(JOB, a_job("b"))
    live.client.delete(JOB, "default", "a")

    seen = [(each.type, each.document["metadata"]["name"]) for each in (first, *islice(changes, 3))]

    assert seen == [("ADDED", "a"), ("ADDED", "b"), ("MODIFIED", "b"), ("DELETED", "a")]


def test_a_watch_loses_nothing_while_the_server_is_away(live):
    live.create(JOB, a_job("a"))
    changes = iter(Watch(live.client, JOB, "default"))
    next(changes)
    live.stop()
    live.set_status(JOB, "a", phase="Running")
    live.set_status(JOB, "a", phase="Failed")
    live.start()

    phases = [next(changes).document["status"]["phase"] for _ in range(2)]

    assert phases == ["Running", "Failed"]


def test_a_watch_whose_place_was_forgotten_lists_again_and_tells_what_vanished(live, monkeypatch):
    live.create(JOB, a_job("a")), live.create(JOB, a_job("b"))
    watch = Watch(live.client, JOB, "default")
    watch.begin()
    live.client.delete(JOB, "default", "a")
    live.set_status(JOB, "b", phase="Running")
    real, calls = live.client.transport.stream, []

    def forgetful(path, **options):
        calls.append(options["params"]["resourceVersion"])
        if len(calls) == 1:
            raise Expired("too old resource version")
        return real(path, **options)

    monkeypatch.setattr(live.client.transport, "stream", forgetful)
    changes = watch.changes()

    seen = [next(changes) for _ in range(2)]

    assert [(each.type, each.document["metadata"]["name"]) for each in seen] == [("DELETED", "a"), ("ADDED", "b")]
    assert seen[1].document["status"]["phase"] == "Running"


def test_waiting_ends_with_the_deadline(live):
    live.create(JOB, a_job("etl"))

    with pytest.raises(TimedOut):
        wait_for(live.client, JOB, "default", "etl", until=lambda job: job is None, timeout_seconds=0.05)


def test_waiting_for_the_end_of_what_is_not_there_ends_at_once(live):
    assert wait_for(live.client, JOB, "default", "nope", until=lambda job: job is None, timeout_seconds=0) is None


def test_a_missing_socket_is_unreachable_with_the_fix(tmp_path):
    with Client(Address.of_socket(tmp_path / "none.sock")) as client, pytest.raises(Unreachable) as refused:
        client.get(NAMESPACE, "", "default")

    wanted = f"cannot reach unix://{tmp_path}/none.sock: there is no such socket: is runwrightd running?"
    assert str(refused.value).startswith(wanted)


@pytest.mark.filterwarnings("ignore:.*:pytest.PytestUnraisableExceptionWarning")  # httpcore leaves its socket open.
def test_a_socket_that_nobody_serves_any_more_is_unreachable(live):
    path = live.socket
    live.stop()
    path.touch()

    with Client(Address.of_socket(path)) as client, pytest.raises(Unreachable, match="connection refused"):
        client.list(RUNTIME)

    path.unlink()
    live.start()


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("unix:///run/x.sock", Address(Path("/run/x.sock"), "http://runwright")),
        ("/run/x.sock", Address(Path("/run/x.sock"), "http://runwright")),
        ("http://localhost:8080/", Address(None, "http://localhost:8080")),
    ],
)
def test_an_address_is_a_socket_or_a_url(text, address):
    assert Address.parse(text) == address


@pytest.mark.parametrize("text", ["", "run.sock", "unix://run/x", "ftp://x", "unix:///" + "x" * 120])
def test_what_is_no_address_is_refused(text):
    with pytest.raises(BadAddress, match=r"cannot (read|use)"):
        Address.parse(text)


@pytest.mark.parametrize(
    ("code", "body", "known"),
    [
        (404, b"404 page not found\n", NotFound),
        (409, b'{"reason": "AlreadyExists"}', AlreadyExists),
        (409, b"", Conflict),
        (422, b"{}", Invalid),
        (418, b"teapot", ApiError),
        (500, b'{"reason": "Odd", "message": "no"}', ApiError),
    ],
)
def test_an_error_is_known_by_its_reason_or_else_by_its_code(code, body, known):
    error = error_of(code, body)

    assert type(error) is known
    assert error.code == code


def test_a_condition_is_found_whatever_its_case():
    job = {"metadata": {"generation": 1}, "status": {"conditions": [condition_of("Complete")]}}

    assert condition(job, "complete") == condition_of("Complete")
    assert condition(job, "Failed") is None


@pytest.mark.parametrize(
    ("number", "why"),
    [
        (socket.EAI_NONAME, "the name far.invalid is not known: check it, or name another with --server or --host"),
        (socket.EAI_AGAIN, "the name far.invalid cannot be looked up now: is there a network?"),
    ],
)
def test_a_name_that_is_not_found_is_said_to_be_that(number, why, monkeypatch):
    def fail(*_arguments, **_keywords):
        raise socket.gaierror(number, "no such name")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(Unreachable) as unreachable:
        Client(Address.parse("http://far.invalid:80")).version()

    assert str(unreachable.value) == f"cannot reach http://far.invalid:80: {why}"
