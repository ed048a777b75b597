"""Bytes that no client would send, to the real API: no 500, no hang, nothing that grows, and it serves on.

Seeds are fixed, so a failure comes again; the slow variants go through many more.
"""

import os
import random
import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.api_server import LiveApi, a_live_api, run_status
from support.daemon import a_daemon
from support.nonsense import SECONDS, Mutator, answer_to, is_bad
from support.objects import a_job
from support.secret_objects import a_config_map, a_secret


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveApi]:
    from api.kinds import CONFIG_MAP, JOB, SECRET

    with a_live_api(tmp_path_factory.mktemp("live")) as live:
        live.create(JOB, a_job("etl"), held=True)
        live.set_status(JOB, "etl", runs=[run_status("Running")])
        live.write_log("etl", 1, "stdout hello")
        live.create(SECRET, a_secret())
        live.create(CONFIG_MAP, a_config_map())
        yield live


def fuzz(path: Path, seed: int, count: int) -> bytes:
    """Send so many requests to a socket; return what the health page says after them."""
    mutator = Mutator(seed)
    for number in range(count):
        request = mutator.request()
        try:
            answer = answer_to(path, request)
        except TimeoutError:
            pytest.fail(f"seed {seed}, request {number}: no answer within {SECONDS} s to {request!r}")
        assert not is_bad(answer), f"seed {seed}, request {number}: {answer[:300]!r} to {request!r}"
    return answer_to(path, b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")


@pytest.mark.invariant("P4")
@pytest.mark.parametrize("seed", range(4))
def test_no_request_makes_the_server_fail_or_wait_for_ever(live, seed):
    assert fuzz(live.socket, seed, 250).startswith(b"HTTP/1.1 200 ")


@pytest.mark.slow
@pytest.mark.invariant("P4")
@pytest.mark.parametrize("seed", range(100, 130))
def test_no_request_of_very_many_makes_the_server_fail_or_wait_for_ever(live, seed):
    assert fuzz(live.socket, seed, 2000).startswith(b"HTTP/1.1 200 ")


def handshake(mutator: Mutator, pick: random.Random) -> bytes:
    subresource = pick.choice(("exec", "attach", "portforward"))
    headers = {
        "host": "x", "connection": "Upgrade", "upgrade": "websocket", "sec-websocket-version": "13",
        "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
        "sec-websocket-protocol": pick.choice(
            ("v5.channel.k8s.io", "v4.channel.k8s.io", "SPDY/3.1+portforward.k8s.io", "x", mutator.word())
        ),
    }  # fmt: skip
    if pick.random() < 0.3:
        headers[pick.choice(tuple(headers))] = mutator.word()
    head = f"GET /api/v1/namespaces/default/pods/etl-1/{subresource}?command=true&stdin=true&ports=80 HTTP/1.1\r\n"
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return (head + lines).encode("utf-8", "surrogatepass") + b"\r\n"


@pytest.mark.invariant("P4")
@pytest.mark.parametrize("seed", range(2))
def test_no_bytes_in_place_of_websocket_frames_make_the_server_fail_or_wait_for_ever(live, seed):
    mutator, pick = Mutator(seed), random.Random(seed)
    for number in range(100):
        frames = b"".join(
            bytes((pick.randrange(256), pick.randrange(256))) + pick.randbytes(pick.randrange(40)) for _ in range(5)
        )
        if pick.random() < 0.5:  # Frames that are whole, with nonsense in them that may look like SPDY.
            nonsense = pick.choice((b"\x80\x03\x00" + pick.randbytes(20), pick.randbytes(30)))
            frames = bytes((0x82, 0x80 | len(nonsense))) + bytes(4) + nonsense
        answer = answer_to(live.socket, handshake(mutator, pick) + frames)
        assert not is_bad(answer), f"seed {seed}, number {number}: {answer[:200]!r}"


@pytest.mark.invariant("P4")
@pytest.mark.parametrize("option", ["sinceSeconds", "tailLines", "limitBytes"])
def test_no_number_is_too_large_for_a_log(live, option):
    with socket.socket(socket.AF_UNIX) as raw:
        raw.settimeout(SECONDS)
        raw.connect(str(live.socket))
        path = f"/api/v1/namespaces/default/pods/etl-1/log?{option}={'9' * 18}"
        raw.sendall(f"GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode())
        received = b""
        while part := raw.recv(1 << 16):
            received += part
    assert received.startswith(b"HTTP/1.1 200 ")
    assert b"hello" in received


@pytest.mark.invariant("P4")
@pytest.mark.parametrize("header", ["host", "sec-websocket-protocol", "sec-websocket-key", "user-agent", "x-a"])
def test_a_websocket_with_bytes_that_are_no_text_is_refused_and_leaves_nothing(live, caplog, header):
    """uvicorn fails at them, and would keep the connection's object for ever, whoever sends them."""
    before = len(live.connections())
    headers = {
        "host": b"x", "connection": b"Upgrade", "upgrade": b"websocket", "sec-websocket-version": b"13",
        "sec-websocket-key": b"dGhlIHNhbXBsZSBub25jZQ==", header: b"a\xc4\x80",
    }  # fmt: skip
    head = b"GET /api/v1/namespaces/default/pods/etl-1/exec HTTP/1.1\r\n"
    request = head + b"".join(name.encode() + b": " + value + b"\r\n" for name, value in headers.items()) + b"\r\n"

    assert answer_to(live.socket, request).startswith(b"HTTP/1.1 400 ")
    assert answer_to(live.socket, b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").startswith(
        b"HTTP/1.1 200"
    )
    assert len(live.connections()) <= before + 1
    assert not [record for record in caplog.records if record.exc_info]


@pytest.mark.invariant("P4")
def test_requests_sent_by_the_byte_and_pipelined_are_answered_as_whole_ones_are(live):
    one = b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n"
    with socket.socket(socket.AF_UNIX) as raw:
        raw.settimeout(SECONDS)
        raw.connect(str(live.socket))
        for at in range(len(one)):
            raw.sendall(one[at : at + 1])
        raw.sendall(one * 30 + b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        received = b""
        while part := raw.recv(1 << 16):
            received += part
    assert received.count(b"HTTP/1.1 200 OK") == 32


def resident_kb(pid: int) -> int:
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1])


def threads_of(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


@pytest.mark.invariant("P4")
def test_nothing_grows_however_often_nonsense_is_sent(live):
    fuzz(live.socket, 7, 100)
    before, threads = resident_kb(os.getpid()), threading.active_count()
    fuzz(live.socket, 8, 400)
    assert resident_kb(os.getpid()) - before < 30_000
    assert threading.active_count() - threads < 40


@pytest.mark.needs_root
@pytest.mark.invariant("P4")
def test_nonsense_makes_a_whole_daemon_neither_fail_nor_grow():
    with a_daemon() as daemon:
        fuzz(daemon.socket, 17, 150)
        before, threads = resident_kb(daemon.pid), threads_of(daemon.pid)
        said = fuzz(daemon.socket, 18, 400)
        grown, more_threads = resident_kb(daemon.pid) - before, threads_of(daemon.pid) - threads
        log = daemon.log.read_text()

    assert said.startswith(b"HTTP/1.1 200 ")
    assert (grown < 20_000, more_threads < 40) == (True, True), (grown, more_threads)
    assert "Traceback" not in log, log[-3000:]
