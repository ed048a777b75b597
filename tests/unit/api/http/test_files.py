"""Copies that wait for the run: their client may go meanwhile, and there may be so many; copies themselves are e2e."""

import json
import os
import socket
import threading

import anyio
import httpx
import pytest
from starlette.requests import Request

from api.errors import ServiceUnavailable
from api.http.feed import Threads
from api.http.files import PodFiles
from api.http.sessions import MOST_SESSIONS
from api.http.sessions import Sessions as Places
from api.objects.projections import Pods
from support.objects import a_job

MERGE = {"content-type": "application/merge-patch+json"}
WAIT_SECONDS = 20


class Waiting:
    """A session with a run that does nothing: it gives nothing, and takes as much as a pipe holds."""

    def __init__(self):
        self.closed = threading.Event()
        self._given, self.stdin = os.pipe()
        self.stdout, self._kept = os.pipe()
        self.stderr = None
        self.lost = False
        for fd in (self.stdin, self.stdout):
            os.set_blocking(fd, False)

    def fileno(self):
        return self.stdout

    def end(self):
        if self.lost:
            raise ServiceUnavailable("cannot go on: it was lost")

    def give(self, content):
        os.write(self._kept, content)

    def close_stdin(self):
        """It goes on without."""

    def close(self):
        for fd in (self._given, self.stdin, self.stdout, self._kept):
            os.close(fd)
        self.closed.set()


class Sessions:
    """The sessions that the API opens."""

    def __init__(self):
        self.opened = []
        self.lost = False
        self.first = b""
        self._one_more = threading.Semaphore(0)

    def __call__(self):
        session = Waiting()
        session.lost = self.lost
        session.give(self.first)
        self.opened.append(session)
        self._one_more.release()
        return session

    def next(self):
        assert self._one_more.acquire(timeout=WAIT_SECONDS)
        return self.opened[-1]


@pytest.fixture
def sessions(api):
    api.client.post(api.jobs(), json=a_job())
    body = json.dumps({"status": {"runs": [{"attempt": 1, "state": "Running", "exitCode": 0}]}})
    assert api.client.patch(api.jobs("etl", "status"), content=body, headers=MERGE).status_code == 200
    api.above.session = Sessions()
    yield api.above.session
    api.above.session = None


def asking(api, method, *headers):
    """A connection on which the files of a run were asked for."""
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(str(api.socket))
    lines = [f"{method} {path_of(api)} HTTP/1.1", "Host: x", *headers]
    connection.sendall("\r\n".join([*lines, "", ""]).encode())
    return connection


def path_of(api):
    return f"/api/v1/namespaces/{api.space}/pods/etl-1/files?path=/work"


def test_a_copy_out_of_a_run_that_says_nothing_ends_when_its_client_goes(api, sessions):
    with asking(api, "GET"):
        session = sessions.next()
        assert not session.closed.is_set()

    assert session.closed.wait(WAIT_SECONDS)


def test_a_copy_into_a_run_that_takes_nothing_ends_when_its_client_goes(api, sessions):
    size = 64 << 20
    with asking(api, "PUT", f"Content-Length: {size}") as connection:
        connection.settimeout(1)
        with pytest.raises(TimeoutError):
            connection.sendall(bytes(size))
        session = sessions.next()
        assert not session.closed.is_set()

    assert session.closed.wait(WAIT_SECONDS)


def test_a_copy_into_a_run_that_does_not_end_ends_when_its_client_goes(api, sessions):
    with asking(api, "PUT", "Content-Length: 0"):
        session = sessions.next()

    assert session.closed.wait(WAIT_SECONDS)


def test_a_client_that_goes_in_the_middle_of_what_it_sends_is_no_bug(api, sessions, caplog):
    with asking(api, "PUT", "Content-Length: 1000") as connection:
        connection.sendall(b"part")
        session = sessions.next()

    assert session.closed.wait(WAIT_SECONDS)
    assert api.client.get("/livez").status_code == 200
    assert not [record for record in caplog.records if record.exc_info]


def test_a_session_that_is_lost_is_told_as_it_is(api, sessions):
    sessions.lost = True

    answer = api.client.put(path_of(api), content=b"")

    assert (answer.status_code, answer.json()["message"]) == (503, "cannot go on: it was lost")


def test_so_many_copies_and_no_more_are_in_runs_at_once(api, sessions):
    connections = [asking(api, "GET") for _ in range(MOST_SESSIONS)]
    for _ in connections:
        sessions.next()

    refused = [api.client.request(method, path_of(api)) for method in ("GET", "PUT")]

    for connection in connections:
        connection.close()
    assert all(session.closed.wait(WAIT_SECONDS) for session in sessions.opened)
    assert [(answer.status_code, answer.headers["retry-after"]) for answer in refused] == [(429, "5")] * 2
    with pytest.raises(httpx.ReadTimeout):  # There is room again: so one more waits for the run.
        api.client.get(path_of(api), timeout=0.5)
    assert sessions.next().closed.wait(WAIT_SECONDS)


def test_a_copy_out_of_a_run_whose_answer_never_begins_leaves_no_session_and_no_place_behind(api, sessions):
    sessions.first = b"something"
    scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"path=/work", "headers": [], "state": {}}

    async def receive():
        await anyio.sleep_forever()

    async def ask():
        places, going = Places(Threads(1), most=1), anyio.CancelScope()

        async def send(_message):
            going.cancel()
            await anyio.sleep_forever()

        files = PodFiles(Pods(api.verbs, "host-1"), api.above, Threads(1), places)
        answer = await files.pack(Request(scope), api.space, "etl-1")
        with going:
            await answer(scope, receive, send)
        assert going.cancelled_caught
        with places.one_more():
            return [session.closed.is_set() for session in sessions.opened]

    assert anyio.run(ask) == [True]
