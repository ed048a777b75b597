"""A thousand who watch and read nothing: what they are owed is in the journal, and not in the daemon's memory."""

import json
import resource
import socket
from pathlib import Path

import pytest

from api.kinds import CONFIG_MAP
from support.daemon import Daemon

WATCHERS = 1000
CHANGES = 60
BYTES = 100_000
"""Of each change. All watchers together are owed 6 GB; what the kernel keeps for each is a part of a megabyte."""
MOST_MORE = 160 << 20
WATCH = b"GET /api/v1/namespaces/default/configmaps?watch=1 HTTP/1.1\r\nhost: runwright\r\n\r\n"
SECONDS = 60


@pytest.fixture(autouse=True)
def _enough_descriptors():
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(before[0], WATCHERS + 512), max(before[1], WATCHERS + 512)))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.fixture
def daemon():
    with Daemon() as daemon:
        daemon.start()
        yield daemon


@pytest.fixture
def watchers(daemon):
    """Connections that have begun a watch, and had their first look at it."""
    found = []
    for _ in range(WATCHERS):
        watcher = socket.socket(socket.AF_UNIX)
        watcher.settimeout(SECONDS)
        watcher.connect(str(daemon.socket))
        watcher.sendall(WATCH)
        found.append(watcher)
    for watcher in found:
        assert watcher.recv(15).startswith(b"HTTP/1.1 200")
    yield found
    for watcher in found:
        watcher.close()


def memory(pid: int) -> int:
    """Return the bytes of a process's own share of memory."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("Pss:"))


def change(daemon: Daemon, number: int) -> None:
    text = f"{number}:".ljust(BYTES, "x")
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "large"}, "data": {"text": text}}
    daemon.client.apply(CONFIG_MAP, "default", body)


@pytest.mark.invariant("P6")
def test_a_thousand_that_read_nothing_cost_a_bounded_amount_of_memory(daemon, watchers):
    before = memory(daemon.pid)

    for number in range(CHANGES):
        change(daemon, number)

    assert memory(daemon.pid) - before < MOST_MORE
    assert daemon.client.get(CONFIG_MAP, "default", "large")["data"]["text"].startswith(f"{CHANGES - 1}:")
    assert numbers_in(watchers[WATCHERS // 2]) == list(range(CHANGES))


def numbers_in(watcher: socket.socket) -> list[int]:
    """Read a watch to the last change; return the number of each change in it."""
    read = bytearray()
    numbers: list[int] = []
    while numbers[-1:] != [CHANGES - 1]:
        data = watcher.recv(1 << 20)
        assert data, "it was cut off"
        read += data
        *whole, rest = bytes(read).split(b"\n")
        read = bytearray(rest)
        for line in whole:
            if line.startswith(b'{"type"'):
                text = json.loads(line)["object"]["data"]["text"]
                numbers.append(int(text.partition(":")[0]))
    return numbers
