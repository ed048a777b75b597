"""A job's output that somebody else has open too: it holds nothing up, and nothing of theirs comes into the log."""

import os
import socket

import pytest

from controller.launcher.records import Reason
from controller.sandbox.spec import Bind
from support.launching import host_sandbox

pytestmark = pytest.mark.needs_root

GIVE = """
import os, signal, socket
print("mine", flush=True)
with socket.socket(socket.AF_UNIX) as to:
    to.connect("/data/place/socket")
    socket.send_fds(to, [b"x"], [1])
    to.recv(1)
if {stays}:
    signal.pause()
os.write(1, b"last" * 10000)
"""
READ_ITSELF = """
import os, signal, threading
def steal():
    with open("/proc/self/fd/1", "rb", buffering=0) as mine:
        while True:
            mine.read(1)
for _ in range(3):
    threading.Thread(target=steal, daemon=True).start()
for _ in range(3000):
    os.write(1, b"x")
signal.pause()
"""


@pytest.fixture
def server(launching):
    """Somebody outside of the run, whom its sandbox leaves a way to."""
    place = launching.root / "place"
    place.mkdir()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(place / "socket"))
        os.chmod(place / "socket", 0o666)
        server.listen()
        yield server


def sandbox_with_a_way_out(launching):
    bind = Bind(str(launching.root / "place"), "/data/place")
    return host_sandbox(binds=(*host_sandbox().binds, bind))


def take_output(server):
    """Take the output that a run gives away, say something in it, and let the run go on."""
    server.settimeout(60)
    connection, _ = server.accept()
    with connection:
        _, (output,), _, _ = socket.recv_fds(connection, 1, 1)
        connection.sendall(b"x")
    return output


@pytest.mark.parametrize("stays", [False, True])
def test_a_run_ends_though_somebody_else_has_its_output_open(launching, server, stays):
    spec = launching.spec(
        "python3", "-c", GIVE.format(stays=stays), sandbox=sandbox_with_a_way_out(launching), deadline_seconds=2.0
    )
    launching.client.start(spec)
    output = take_output(server)
    try:
        record = launching.record_of(spec)
        os.write(output, b"theirs")  # Its log is closed; and nobody reads the pipe.
    except BrokenPipeError:
        pass
    finally:
        os.close(output)

    assert record.reason == (Reason.DEADLINE_EXCEEDED if stays else Reason.COMPLETED)
    assert launching.output_of(spec) == "mine\n" + ("" if stays else "last" * 10000)


def test_a_job_that_reads_its_own_output_does_not_outlive_its_deadline(launching):
    record, _ = launching.run("python3", "-c", READ_ITSELF, deadline_seconds=2.0, grace_seconds=0.1)

    assert record.reason == Reason.DEADLINE_EXCEEDED
