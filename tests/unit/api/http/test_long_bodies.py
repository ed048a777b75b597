"""Long bodies past the parser: whole, in order, bounded, and the connection is as good after them as before."""

import asyncio
import gc
import hashlib
import itertools
import json
import select
import socket
import ssl
import tempfile
import threading
from collections.abc import Callable
from contextlib import aclosing, suppress
from pathlib import Path

import anyio
import pytest
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse
from starlette.routing import Route

from api.errors import RequestTimeout
from api.http import long_bodies
from api.http.long_bodies import pieces_of
from api.http.server import ApiServer, Tls
from controller.daemon.authority import HostAuthority
from controller.engine.clock import SystemClock

BODY = hashlib.shake_256(b"a long body").digest(5_000_011)
DIGEST = hashlib.sha256(BODY).hexdigest()
ALL_BUFFERS, MOST_UNREAD = 5 << 20, 6 << 20


class Served:
    """An application that takes bodies, on a unix socket and with TLS."""

    def __init__(self, directory):
        self.path = directory / "api.sock"
        self.went_on, self.broke_off = threading.Event(), threading.Event()
        self.kept = hashlib.sha256()
        self.kept_bytes = 0
        authority = HostAuthority(directory / "pki", SystemClock(), (), ("127.0.0.1", 0))
        self.trusting = ssl.create_default_context(cadata=authority.certificate_pem().decode())
        self.trusting.check_hostname = False
        routes = [
            Route(f"/{each.__name__}", each, methods=["PUT"]) for each in (self.take, self.refuse, self.hold, self.keep)
        ]
        app = Starlette(routes=routes)
        app.state.end_streams = self.went_on.set
        self.server = ApiServer(app, self.path, Tls("127.0.0.1", 0, authority.context()))
        self.server.start()

    async def take(self, request):
        digest, sizes = hashlib.sha256(), []
        try:
            async with aclosing(pieces_of(request, int(request.query_params.get("at", "0")))) as body:
                async for pieces, give_back in body:
                    for piece in pieces:
                        digest.update(piece)
                        sizes.append(len(piece))
                    give_back()
        except ClientDisconnect:
            self.kept, self.kept_bytes = digest, sum(sizes)
            self.broke_off.set()
        except RequestTimeout as error:
            return JSONResponse({"message": error.message}, 408)
        return JSONResponse({"digest": digest.hexdigest(), "pieces": len(sizes), "sizes": sizes})

    async def refuse(self, request):
        async with aclosing(pieces_of(request)) as body:
            async for _ in body:
                break
        return JSONResponse({}, 409)

    async def hold(self, request):
        with suppress(ClientDisconnect):
            async with aclosing(pieces_of(request)) as body:
                async for _, give_back in body:
                    await anyio.to_thread.run_sync(self.went_on.wait)
                    give_back()
        return JSONResponse({})

    async def keep(self, request):
        """Keep all buffers that there are for three times as long as a sender may be silent."""
        size, kept = 0, list[Callable[[], None]]()
        async with aclosing(pieces_of(request)) as body:
            async for pieces, give_back in body:
                size += sum(map(len, pieces))
                kept.append(give_back)
                if size >= ALL_BUFFERS:
                    for each in kept:
                        asyncio.get_running_loop().call_later(3 * long_bodies._SLOWEST_SENDER_SECONDS, each)
                    kept.clear()
        return JSONResponse({"bytes": size})

    def connect(self, how="unix"):
        if how == "unix":
            raw = socket.socket(socket.AF_UNIX)
            raw.settimeout(30)
            raw.connect(str(self.path))
            return raw
        plain = socket.create_connection(("127.0.0.1", self.server.encrypted_port()), 30)
        return self.trusting.wrap_socket(plain)


@pytest.fixture(scope="module")
def served():
    with tempfile.TemporaryDirectory(prefix="rnx-") as short:
        served = Served(Path(short))
        yield served
        served.server.stop()


def head(path, size, *more):
    return "\r\n".join([f"PUT /{path} HTTP/1.1", "host: x", f"content-length: {size}", *more, "", ""]).encode()


def until(holds):
    """Wait for what nothing else tells of."""
    for _ in range(3000):
        if holds():
            return
        select.poll().poll(10)
    raise AssertionError("it has not come after 30 s")


def answer_of(connection):
    """Return the code and the JSON of the next answer on a connection."""
    said = b""
    while b"\r\n\r\n" not in said:
        said += connection.recv(1)
    lines = said.decode().splitlines()
    length = next(int(line.split(":")[1]) for line in lines if line.startswith("content-length"))
    body = b""
    while len(body) < length:
        body += connection.recv(length - len(body))
    return int(lines[0].split()[1]), json.loads(body)


@pytest.mark.parametrize("how", ["unix", "tls"])
def test_bodies_arrive_whole_one_after_another_on_one_connection(served, how):
    with served.connect(how) as connection:
        for _ in range(2):
            connection.sendall(head("take", len(BODY)) + BODY)
            code, said = answer_of(connection)
            assert (code, said["digest"]) == (200, DIGEST)
            assert said["pieces"] < 12


@pytest.mark.parametrize("at", [0, 1, 4096, 1_234_567])
def test_pieces_go_to_whole_blocks_wherever_the_body_begins(served, at):
    """Else a disk could not take them past the page cache."""
    with served.connect() as connection:
        connection.sendall(head(f"take?at={at}", len(BODY)) + BODY)
        said = answer_of(connection)[1]

    begins = list(itertools.accumulate(said["sizes"], initial=at))
    assert (said["digest"], begins[-1]) == (DIGEST, at + len(BODY))
    assert [begin % 4096 for begin in begins[1:-1]] == [0] * (len(begins) - 2)
    assert len(begins) > 4


@pytest.mark.parametrize("how", ["unix", "tls"])
def test_what_follows_a_body_at_once_is_the_next_request(served, how):
    with served.connect(how) as connection:
        both = head("take", len(BODY)) + BODY + head("take", 5) + b"short"
        connection.sendall(both)
        said = [answer_of(connection)[1]["digest"] for _ in range(2)]

    assert said == [DIGEST, hashlib.sha256(b"short").hexdigest()]


def test_a_client_that_asks_whether_to_go_on_is_told_to(served):
    with served.connect() as connection:
        connection.sendall(head("take", len(BODY), "expect: 100-continue"))
        assert connection.recv(1 << 10) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(BODY)

        assert answer_of(connection)[1]["digest"] == DIGEST


@pytest.mark.parametrize("how", ["unix", "tls"])
def test_the_rest_of_a_body_that_is_refused_passes_by(served, how):
    with served.connect(how) as connection:
        whole = head("refuse", len(BODY)) + BODY + head("take", len(BODY)) + BODY
        connection.sendall(whole)
        refused, taken = answer_of(connection), answer_of(connection)

    assert (refused[0], taken[1]["digest"]) == (409, DIGEST)


def test_of_a_body_that_breaks_off_all_that_came_is_yielded(served):
    with served.connect() as connection:
        connection.sendall(head("take", len(BODY)) + BODY[:3_000_001])

    assert served.broke_off.wait(30)
    assert (served.kept_bytes, served.kept.digest()) == (3_000_001, hashlib.sha256(BODY[:3_000_001]).digest())


@pytest.mark.parametrize("chunk", [b"1" * 4096, BODY[:1_000_000]])
def test_a_body_of_unknown_length_comes_too(served, chunk):
    with served.connect() as connection:
        connection.sendall(b"PUT /take HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
        connection.sendall(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n0\r\n\r\n")

        assert answer_of(connection)[1]["digest"] == hashlib.sha256(chunk).hexdigest()


@pytest.mark.invariant("P6")
def test_of_a_body_that_nobody_works_on_little_is_in_memory(served):
    """Who sends faster than the disk writes has to wait."""
    taken = 0
    with served.connect() as connection:
        connection.sendall(head("hold", 1 << 30))
        connection.settimeout(None)
        connection.setblocking(False)
        while select.select([], [connection], [], 0.5)[1]:  # Until no more was taken for half a second.
            taken += connection.send(BODY[: 1 << 20])
            assert taken < MOST_UNREAD
    served.went_on.set()
    assert taken > 1 << 20


def test_a_sender_who_falls_silent_is_told_so(served, monkeypatch):
    monkeypatch.setattr(long_bodies, "_SLOWEST_SENDER_SECONDS", 0.2)

    with served.connect() as connection:
        connection.sendall(head("take", len(BODY)) + BODY[:2_000_000])
        code, said = answer_of(connection)

    assert (code, "nothing more of it came within 0.2 s" in said["message"]) == (408, True)


def test_a_sender_who_waits_for_us_is_not_told_that_he_is_slow(served, monkeypatch):
    monkeypatch.setattr(long_bodies, "_SLOWEST_SENDER_SECONDS", 0.1)
    with served.connect() as connection:
        connection.sendall(head("keep", 2 * len(BODY)) + 2 * BODY)

        assert answer_of(connection) == (200, {"bytes": 2 * len(BODY)})


@pytest.mark.parametrize("sent", [b"", BODY[:100]])
def test_a_head_with_nothing_behind_it_is_told_so(served, monkeypatch, sent):
    monkeypatch.setattr(long_bodies, "_SLOWEST_SENDER_SECONDS", 0.2)

    with served.connect() as connection:
        connection.sendall(head("take", len(BODY)) + sent)

        assert answer_of(connection)[0] == 408


def test_what_breaks_off_leaves_no_buffer_behind(served):
    gc.collect()
    gc.disable()  # It is not to be this that frees them.
    try:
        for _ in range(3):
            served.broke_off.clear()
            with served.connect() as connection:
                connection.sendall(head("take", len(BODY)) + BODY[:3_000_001])
            assert served.broke_off.wait(30)
        until(lambda: not any(isinstance(each, long_bodies.LongBody) for each in gc.get_objects()))
    finally:
        gc.enable()
