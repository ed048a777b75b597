"""Limits on requests, bodies, heads and streams, on the real server; and that the others are served meanwhile."""

import contextlib
import json
import socket
import threading

import anyio
import pytest

from api.http import patience, protection
from api.http.app import build_app
from api.http.protection import Bounds, Protection, Scarce, Share
from api.http.server import ApiServer
from api.http.turnstile import Room
from support.api_server import LiveApi
from support.http import client_of
from support.objects import a_job

JOBS = "/apis/runwright.dev/v1alpha1/namespaces/default/jobs"
TIGHT = Bounds(
    Room(at_once=2, at_once_of_others=1, waiting_of_one=2, waiting=3), wait_seconds=5, body_seconds=0.3,
    body_bytes=4 << 20, requests_of_one=6, streams_of_one=3, streams=3,
)  # fmt: skip
FEW = Bounds(sessions=Share(2, 3), followers=Share(5, 6))


class Tight(LiveApi):
    """The API with little room."""

    def start(self):
        self._server = ApiServer(build_app(self._surroundings(), bounds=TIGHT), self.socket)
        self._server.start()


@pytest.fixture
def live(tmp_path):
    live = Tight(tmp_path)
    yield live
    live.close()


@pytest.fixture
def client(live):
    with client_of(live.socket) as client:
        yield client


def connect(live):
    raw = socket.socket(socket.AF_UNIX)
    raw.settimeout(10)
    raw.connect(str(live.socket))
    return raw


def read_all(raw):
    received = b""
    while part := raw.recv(1 << 16):
        received += part
    return received


def post(size, sent=b""):
    head = f"POST {JOBS} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {size}\r\n\r\n"
    return head.encode() + sent


@pytest.mark.invariant("P2")
def test_one_watch_too_many_is_told_to_come_later_and_has_its_place_when_another_ends(live, client):
    streams = [client.stream("GET", JOBS, params={"watch": "true"}) for _ in range(3)]
    for stream in streams:
        assert stream.__enter__().status_code == 200
    refused = client.get(JOBS, params={"watch": "1"})
    assert (refused.status_code, refused.json()["reason"], refused.headers["retry-after"]) == (
        429,
        "TooManyRequests",
        "1",
    )
    assert refused.json()["details"]["retryAfterSeconds"] == 1
    assert client.get(JOBS).status_code == 200
    streams.pop().__exit__(None, None, None)
    for _ in range(1000):
        with client.stream("GET", JOBS, params={"watch": "true"}) as again:
            if again.status_code == 200:
                break
    assert again.status_code == 200
    for stream in streams:
        stream.__exit__(None, None, None)


@pytest.mark.invariant("P2")
def test_bodies_that_do_not_come_hold_nobody_up_and_are_told_so(live, client):
    slow = [connect(live) for _ in range(5)]
    for raw in slow:
        raw.sendall(post(1000, b'{"kind"'))
    assert client.post(JOBS, json=a_job()).status_code == 201
    assert client.get("/readyz").status_code == 200
    for raw in slow:
        answer = b""
        while not answer.rstrip().endswith(b"}"):
            received = raw.recv(1 << 16)
            assert received, answer
            answer += received
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == 408
        raw.close()


@pytest.mark.invariant("P2")
def test_a_client_with_too_many_requests_under_way_is_told_to_come_later(live, client):
    slow = [connect(live) for _ in range(6)]
    for raw in slow:
        raw.sendall(post(1000, b"{"))
    codes = set()
    for _ in range(100):
        codes.add(client.get(JOBS).status_code)
    assert 429 in codes
    assert client.get("/livez").status_code == 200
    for raw in slow:
        raw.close()


@pytest.mark.invariant("P2")
def test_what_is_sent_at_once_is_bounded(live):
    senders = [connect(live) for _ in range(3)]
    for raw in senders:
        raw.sendall(post(2 << 20))
    answers = []
    chunk = b" " * (2 << 20)

    def send(raw):
        with contextlib.suppress(OSError):
            raw.sendall(chunk[:-1])
        answers.append(raw.recv(1 << 16).partition(b"\r\n")[0])

    threads = [threading.Thread(target=send, args=(raw,)) for raw in senders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert b"HTTP/1.1 429 Too Many Requests" in answers
    for raw in senders:
        raw.close()


@pytest.mark.parametrize("size", [(3 << 20) + 1, 10**12, 10**30])
def test_a_body_that_says_it_is_too_large_is_refused_before_it_comes(live, size):
    raw = connect(live)
    raw.sendall(post(size))
    assert raw.recv(1 << 16).partition(b"\r\n")[0] in (
        b"HTTP/1.1 413 Request Entity Too Large", b"HTTP/1.1 413 Content Too Large", b"HTTP/1.1 400 Bad Request",
    )  # fmt: skip
    raw.close()


@pytest.mark.invariant("P3")
def test_requests_that_wait_for_an_answer_before_them_do_not_heap_up(live):
    """uvicorn reads on with each answer, and so would keep more and more of them, whoever sends them."""
    raw = connect(live)
    sent = b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n" * 20_000
    received = b""
    with contextlib.suppress(OSError):
        raw.sendall(sent)
    with contextlib.suppress(OSError):
        received = read_all(raw)
    assert received.count(b"HTTP/1.1 ") <= 200
    raw.close()


def test_a_few_requests_at_once_on_a_connection_are_answered_in_order(live):
    raw = connect(live)
    paths = ["/livez", "/readyz", "/api", "/livez"] * 4
    last = f"GET {JOBS} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    raw.sendall("".join(f"GET {path} HTTP/1.1\r\nhost: x\r\n\r\n" for path in paths).encode() + last.encode())
    answers = read_all(raw).split(b"HTTP/1.1 200 OK")
    assert len(answers) == len(paths) + 2
    assert b"JobList" in answers[-1]
    raw.close()


@pytest.mark.invariant("P3")
def test_the_body_of_a_request_that_is_answered_is_not_borne_for_ever(live, monkeypatch):
    """Else who is nobody keeps a connection for as long as it sends a byte now and then."""
    monkeypatch.setattr(patience, "UNWANTED_SECONDS", 0.3)
    raw = connect(live)
    raw.sendall(post(1 << 40, b"{"))
    assert read_all(raw).startswith(b"HTTP/1.1 413 ")  # To its end, although more of the body could come.
    raw.close()


def test_a_body_that_came_after_its_answer_leaves_the_connection_as_it_is(live, monkeypatch):
    monkeypatch.setattr(patience, "UNWANTED_SECONDS", 0.3)
    raw = connect(live)
    raw.sendall(b"POST /nowhere HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 3300000\r\n\r\n")
    assert raw.recv(1 << 16).startswith(b"HTTP/1.1 413 ")
    raw.sendall(b"x" * 3_300_000)
    threading.Event().wait(0.5)
    raw.sendall(b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    assert read_all(raw).endswith(b"ok")
    raw.close()


UPGRADE = (
    "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n"
    "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)


def test_nothing_becomes_a_websocket_while_an_answer_is_on_its_way(live):
    raw = connect(live)
    watch = f"GET {JOBS}?watch=true HTTP/1.1\r\nhost: x\r\n\r\n"
    raw.sendall(watch.encode())
    assert raw.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
    raw.sendall(f"GET {JOBS} HTTP/1.1\r\nhost: x\r\n{UPGRADE}\r\n".encode())
    assert b"HTTP/1.1 " not in read_all(raw)
    raw.close()


@pytest.mark.invariant("P3")
def test_a_head_without_end_of_a_websocket_is_refused_too(live, caplog):
    raw = connect(live)
    head = f"GET {JOBS} HTTP/1.1\r\nhost: x\r\n{UPGRADE}" + ("x-a: " + "a" * 1000 + "\r\n") * 90
    with contextlib.suppress(OSError):
        raw.sendall((head + "\r\n").encode())
        assert read_all(raw)[:12] in (b"HTTP/1.1 431", b"")
    raw.close()
    assert not [record for record in caplog.records if record.exc_info]


class Open:
    """An application whose streams last until they are let go, as a scope that somebody holds."""

    def __init__(self):
        self.entered = 0
        self.over = anyio.Event()

    async def __call__(self, scope, receive, send):
        self.entered += 1
        await self.over.wait()


def entering(what, user):
    return {
        "type": "websocket", "path": f"/api/v1/namespaces/default/pods/etl-1/{what}", "query_string": b"", "headers": [],
        "state": {"user": user}, "extensions": {"websocket.http.response": {}},
    }  # fmt: skip


def somebody(name):
    return type("User", (), {"name": name, "groups": ("system:masters",) if name == "root" else ()})()


@pytest.mark.invariant("P2")
@pytest.mark.parametrize(
    ("asked", "let_in"),
    [
        (["exec:alice"] * 3, 2),
        (["exec:alice", "exec:alice", "exec:bob", "exec:carol"], 3),
        (["exec:alice", "exec:alice", "exec:bob", "exec:root", "exec:root", "exec:root"], 6),
        (["attach:alice", "attach:alice", "attach:bob", "attach:carol"], 3),
        (["attach:alice", "attach:alice", "exec:alice"], 2),
    ],
)
def test_nobody_has_all_sessions_and_masters_find_some(asked, let_in):
    refused = []

    async def answered(message):
        if "status" in message:
            refused.append((message["type"], message["status"]))

    async def run():
        app = Open()
        protection = Protection(app, FEW)
        async with anyio.create_task_group() as tasks:
            for what, _, name in (text.partition(":") for text in asked):
                tasks.start_soon(protection, entering(what, somebody(name)), None, answered)
            while app.entered + len(refused) < len(asked):
                await anyio.sleep(0)
            app.over.set()
        assert protection.is_idle()
        return app.entered

    assert anyio.run(run) == let_in
    assert refused == [("websocket.http.response.start", 429)] * (len(asked) - let_in)


def test_what_streams_hold_is_told_from_what_they_ask_for():
    log = scope(query="follow=true")
    assert protection.scarce(log) == (Scarce.FOLLOWER,)
    assert protection.scarce(scope(query="watch=true")) == ()
    assert protection.scarce({**scope("PUT"), "path": FILES}) == (Scarce.SESSION,)


@pytest.mark.invariant("P3")
@pytest.mark.parametrize("begun", [b"", b"GET / HTTP/1.1\r\nhost: x\r\nx-a: "])
def test_a_head_that_does_not_come_is_cut_off(live, monkeypatch, begun):
    monkeypatch.setattr(patience, "HEAD_SECONDS", 0.2)
    raw = connect(live)
    raw.sendall(begun)
    assert read_all(raw).startswith(b"HTTP/1.1 408 ")
    raw.close()


@pytest.mark.invariant("P3")
def test_a_further_head_on_a_connection_has_its_time_too_and_the_answers_before_are_given(live, monkeypatch):
    monkeypatch.setattr(patience, "HEAD_SECONDS", 0.3)
    raw = connect(live)
    raw.sendall(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n")
    assert raw.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
    raw.sendall(b"GET /livez HTTP/1.1\r\nhost")
    assert b"HTTP/1.1 408 " in read_all(raw)
    raw.close()


@pytest.mark.invariant("P3")
@pytest.mark.parametrize("one_by_one", [True, False])
def test_a_head_without_end_is_refused(live, one_by_one):
    raw = connect(live)
    header = b"x-a: " + b"a" * 1000 + b"\r\n"
    head = b"GET /livez HTTP/1.1\r\nhost: x\r\n" + header * 100
    answer = b""
    try:
        raw.sendall(head if one_by_one else head + b"\r\n")
        answer = raw.recv(1 << 16)
    except OSError:
        pass  # Cut off while it was still sending.
    assert answer[:12] in (b"HTTP/1.1 431", b"")
    raw.close()
    again = connect(live)
    again.sendall(b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    assert read_all(again).endswith(b"ok")
    again.close()


@pytest.mark.invariant("P3")
def test_a_client_that_does_not_read_is_cut_off_and_holds_no_turn(live, client, monkeypatch):
    monkeypatch.setattr(patience, "UNREAD_SECONDS", 0.3)
    monkeypatch.setattr(protection, "_PIECE_BYTES", 4096)
    for number in range(8):
        client.post(JOBS, json=a_job(f"large{number}", env=[{"name": "A", "value": "x" * 100_000}]))
    raw = connect(live)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.sendall(f"GET {JOBS} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
    assert client.get(f"{JOBS}/large1").status_code == 200
    assert len(client.get(JOBS).content) > 800_000
    threading.Event().wait(1.0)
    received = b""
    with contextlib.suppress(ConnectionError):
        received = read_all(raw)
    assert len(received) < 800_000
    raw.close()


def test_long_answers_are_whole_whatever_the_pieces(live, client, monkeypatch):
    monkeypatch.setattr(protection, "_PIECE_BYTES", 100)
    client.post(JOBS, json=a_job("etl"))
    assert client.get(f"{JOBS}/etl").json()["metadata"]["name"] == "etl"


def scope(method="GET", query="", accept="", **more):
    headers = [(b"accept", accept.encode())]
    return {"type": "http", "method": method, "path": "/x", "query_string": query.encode(), "headers": headers, **more}


FILES = "/api/v1/namespaces/default/pods/etl-0/files"


class Somebody:
    name = "alice"
    groups = ("developers",)


class Master:
    name = "root"
    groups = ("system:masters",)


def test_clients_are_told_apart_by_user_or_by_address():
    assert protection.client_of(scope(state={"user": Somebody()})) == ("alice", False)
    assert protection.client_of(scope(state={"user": Master()})) == ("root", True)
    assert protection.client_of(scope(client=("10.0.0.1", 5))) == ("10.0.0.1", False)
    assert protection.client_of(scope()) == ("owner", True)


@pytest.mark.parametrize(
    ("request_", "is_stream"),
    [
        (scope(query="watch=true"), True), (scope(query="watch=1&x"), True), (scope(query="follow=true"), True),
        (scope(accept="text/event-stream"), True), (scope(query="watch=false"), False), (scope(), False),
        (scope("POST", query="watch=true"), False),
        ({**scope(), "path": FILES}, True), ({**scope("PUT"), "path": FILES}, True),
        ({**scope("POST"), "path": FILES}, False),
    ],
)  # fmt: skip
def test_watches_and_followed_logs_are_streams(request_, is_stream):
    assert protection.is_stream(request_) is is_stream
