"""Paths of one object and of all: no name makes the one out of the other, or another object's."""

import json
import socket
from urllib.parse import unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.client import Client, Selection
from api.client_paths import BadName, field_selector, path_of_all, path_of_one, path_of_usages
from api.client_transport import Address
from api.client_watch import wait_for
from api.http import paths
from api.kinds import JOB, NAMESPACE, NODE, RUNTIME, VOLUME
from support.api_server import a_live_api
from support.objects import a_job

NO_NAMES = ["", ".", "..", "a/b", "../jobs/b", "a%2fb", "%61", "a\n", "a\0", "a\x7f", 5]


@pytest.mark.parametrize(
    "ask",
    [
        lambda client: client.execute("default", "etl-1", ["echo", "\udcff"]),
        lambda client: client.execute("default", "etl-1", ["echo", "ü" * 10_000]),
        lambda client: client.copy_in("default", "etl-1", "/work/\udcff", []),
        lambda client: client.copy_out("default", "etl-1", "/work/\udcff").__enter__(),
    ],
    ids=["no text", "too long", "no path", "no source"],
)
def test_words_that_cannot_be_sent_are_not(deaf, ask):
    client, listening = deaf

    with pytest.raises(BadName, match="cannot send"):
        ask(client)
    with pytest.raises(BlockingIOError):
        listening.accept()


@pytest.fixture
def deaf(tmp_path):
    """A client of a socket that takes connections, and the socket: it tells whether anybody came."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "deaf"))
        listening.listen()
        listening.setblocking(False)
        with Client(Address.of_socket(tmp_path / "deaf")) as client:
            yield client, listening


_OF_ONE = {
    "get": lambda client, name: client.get(JOB, "default", name),
    "table": lambda client, name: client.table(JOB, "default", name),
    "patch": lambda client, name: client.merge_patch(JOB, "default", name, {}),
    "change": lambda client, name: client.change(JOB, "default", name, lambda _: {}),
    "apply": lambda client, name: client.apply(JOB, "default", {"metadata": {"name": name}}),
    "delete": lambda client, name: client.delete(JOB, "default", name),
    "delete of no namespace": lambda client, name: client.delete(RUNTIME, "", name),
    "delete in a namespace": lambda client, name: client.delete(JOB, name, "a"),
    "explain": lambda client, name: client.explain(JOB, "default", name),
    "logs": lambda client, name: client.logs("default", name, None).__enter__(),
    "execute": lambda client, name: client.execute("default", name, ["true"]),
    "attach": lambda client, name: client.attach("default", name),
    "copy_out": lambda client, name: client.copy_out("default", name, "/x").__enter__(),
    "copy_in": lambda client, name: client.copy_in("default", name, "/x", []),
    "artifacts": lambda client, name: client.artifacts("default", name),
    "artifact": lambda client, name: client.artifact("default", name, "x", "y", 0).__enter__(),
    "upload": lambda client, name: client.begin_upload("default", name, 1),
    "build_logs": lambda client, name: client.build_logs(name).__enter__(),
    "catalogue": lambda client, name: client.catalogue(name),
    "wait_for": lambda client, name: wait_for(client, JOB, "default", name, until=bool, timeout_seconds=1),
}


@pytest.mark.invariant("A7")
@pytest.mark.parametrize("ask", _OF_ONE.values(), ids=_OF_ONE)
def test_who_means_one_object_and_does_not_name_it_sends_nothing(deaf, ask):
    client, listening = deaf

    for name in NO_NAMES:
        with pytest.raises(BadName):
            ask(client, name)

    with pytest.raises(BlockingIOError):
        listening.accept()


@pytest.mark.invariant("A7")
@settings(max_examples=60)
@given(name=st.text(min_size=1, max_size=40), kind=st.sampled_from([JOB, VOLUME, RUNTIME, NAMESPACE, NODE]))
def test_a_path_of_one_object_is_read_as_of_that_object(kind, name):
    try:
        path = path_of_one(kind, "default", name)
    except BadName:
        return
    assert "?" not in path
    assert "#" not in path
    read = paths.parse(unquote(path))
    assert read is not None
    assert (read.plural, read.name, read.subresource) == (kind.plural, name, "")
    assert read.namespace == ("default" if kind.namespaced else "")


def test_a_namespace_is_one_part_of_a_path():
    for ask in (lambda: path_of_all(JOB, "../x"), lambda: path_of_usages("../x"), lambda: path_of_one(JOB, "", "a")):
        with pytest.raises(BadName, match="namespace"):
            ask()


def test_a_selector_of_one_object_selects_no_other():
    with pytest.raises(BadName):
        field_selector(JOB, "a,status.phase!=Failed")
    with pytest.raises(BadName):
        field_selector(JOB, "")


@pytest.mark.invariant("A7")
@pytest.mark.parametrize("name", ["etl?x=1", "etl#x", "etl&x", "etl;x", "etl x", "etl+", "etl:x"])
def test_a_name_with_signs_of_urls_is_sent_as_it_is(live, name):
    for attempt in (live.client.get, live.client.delete):
        with pytest.raises(Exception, match="not found") as raised:
            attempt(JOB, "default", name)
        assert raised.value.about.name == name
    assert live.get(JOB, "etl")


@pytest.fixture(scope="module")
def live_server(tmp_path_factory):
    with a_live_api(tmp_path_factory.mktemp("live")) as server:
        server.create(JOB, a_job("etl"))
        yield server


@pytest.fixture
def live(live_server):
    return live_server


def _ask(live, request):
    """Send bytes as they are, as no client of ours would."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(live.socket))
        connection.sendall(f"{request} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
    return int(answer.split()[1]), answer.partition(b"\r\n\r\n")[2]


_JOBS = "/apis/runwright.dev/v1alpha1/namespaces/default/jobs"


@pytest.mark.invariant("A7")
@pytest.mark.parametrize(
    "path",
    [
        f"{_JOBS}/", f"{_JOBS}//", f"{_JOBS}%2fetl", f"{_JOBS}%2F", f"{_JOBS}/x%2F..%2Fetl", f"{_JOBS}/../jobs/etl",
        f"{_JOBS}/.", f"{_JOBS}/..", f"{_JOBS}/%2e%2e", f"{_JOBS}/etl%2fstatus", f"{_JOBS}/etl%00", f"{_JOBS}/%2565tl",
        f"{_JOBS}/etl%0a", f"{_JOBS}/etl/", f"/{_JOBS}/etl", f"{_JOBS}/etl%20", f"{_JOBS}/%c0%ae%c0%ae",
    ],
)  # fmt: skip
def test_the_server_takes_no_path_for_another(live, path):
    code, body = _ask(live, f"DELETE {path}")

    harmless = path == f"{_JOBS}/etl/"  # With a slash behind it is that path still.
    assert (code == 200) is harmless, body
    if harmless:
        live.create(JOB, a_job("etl"))
    assert live.get(JOB, "etl")


def test_who_deletes_an_object_of_an_empty_name_is_told_why_not(live):
    code, body = _ask(live, f"DELETE {_JOBS}/")

    assert code == 400
    assert 'the path ends in "/"' in json.loads(body)["message"]
    assert live.client.list(JOB, "default", Selection())["items"]
