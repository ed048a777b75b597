"""What an upload costs beside `cp` of the same file, interleaved in one run: MB/s, and ours as a share of it.

And what each costs the processors, daemon and all, in seconds a GB: that holds on a machine that others use too.

    python tests/bench/bench_uploads.py [--megabytes N] [--rounds N]

A real daemon on its unix socket, and rnx's own way of sending, in a process of its own. The file is in the page cache
and random; each round sends a content that is not here. An upload that was answered is verified and durable, so it
stands beside `cp` with `fsync`, and beside a plain copy over a unix socket, of two processes that do nothing else, with
`fsync` too. `cp` alone, which leaves all to the page cache, and sha256 alone are shown as well: a content cannot be
verified faster than that.
"""

import argparse
import hashlib
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from support.daemon import Daemon  # noqa: E402

GOAL = 0.6
_PIECE = 1 << 20
_SEND = """
import sys
import time
from pathlib import Path
from api.cli import sending, uploads
from api.client import Client
from api.client_transport import Address
with Client(Address.of_socket(Path(sys.argv[1]))) as client:
    files = [{"path": "a", "upload": uploads.Local(Path(sys.argv[2]))}]
    client.transport.text("/livez")
    begun, busy = time.perf_counter(), time.process_time()
    sending.send(client, "default", {"spec": {"files": files}})
    print(time.perf_counter() - begun, time.process_time() - busy)
"""


class _Cost(NamedTuple):
    seconds: float
    busy_seconds: float


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    # Uploads and copies go to one disk, that of the daemon's directory.
    with (
        Daemon("runtime.default_registry=", "files.minimum_free=0") as daemon,
        tempfile.TemporaryDirectory(dir=daemon.root) as directory,
    ):
        daemon.start()
        source, target = Path(directory) / "source", Path(directory) / "target"
        ways: dict[str, Callable[[], _Cost]] = {
            "cp": lambda: _measured(lambda: _copy(source, target, durable=False)),
            "cp, fsync": lambda: _measured(lambda: _copy(source, target, durable=True)),
            "socket copy, fsync": lambda: _measured(lambda: _copy_over_a_socket(source, target)),
            "sha256": lambda: _measured(lambda: _hash(source)),
            "upload": lambda: _send(daemon, source),
        }
        rates: dict[str, list[float]] = {name: [] for name in ways}
        costs: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(arguments.rounds):
            _fill(source, arguments.megabytes)
            for name in _rotated(list(ways), number):
                os.sync()
                cost = ways[name]()
                costs[name].append(cost.busy_seconds * 1024 / arguments.megabytes)
                rates[name].append(arguments.megabytes / cost.seconds)
                target.unlink(missing_ok=True)
    for name, each in rates.items():
        shown = f"{statistics.median(each):7.0f} MB/s  ({min(each):.0f} to {max(each):.0f})"
        print(f"{name:>18}: {shown:32} {statistics.median(costs[name]):.2f} s of processors a GB")
    for beside in ("cp, fsync", "socket copy, fsync", "cp", "sha256"):
        share = statistics.median(rates["upload"]) / statistics.median(rates[beside])
        print(f"an upload runs at {share:.0%} of the speed of {beside} (goal {GOAL:.0%})")


def _rotated(names: list[str], by: int) -> list[str]:
    """Return them beginning elsewhere each time: what comes first pays for what was before."""
    return names[by % len(names) :] + names[: by % len(names)]


def _measured(do: Callable[[], None]) -> _Cost:
    begun, busy = time.perf_counter(), sum(os.times()[:4])
    do()
    return _Cost(time.perf_counter() - begun, sum(os.times()[:4]) - busy)


def _busy_seconds(pid: int) -> float:
    """Return what a process has had of the processors."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def _fill(path: Path, megabytes: int) -> None:
    with path.open("wb") as file:
        for _ in range(megabytes):
            file.write(os.urandom(_PIECE))


def _copy(source: Path, target: Path, *, durable: bool) -> None:
    subprocess.run(["cp", "--reflink=never", source, target], check=True)
    if durable:
        fd = os.open(target, os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)


def _copy_over_a_socket(source: Path, target: Path) -> None:
    """Have one process send the file and another write what comes, as plainly as can be."""
    sender, receiver = socket.socketpair()
    with sender, receiver:
        child = os.fork()
        if not child:
            receiver.close()
            with source.open("rb", buffering=0) as file:
                while piece := file.read(_PIECE):
                    sender.sendall(piece)
            os._exit(0)
        sender.close()
        memory = memoryview(bytearray(_PIECE))
        with target.open("wb", buffering=0) as file:
            while got := receiver.recv_into(memory):
                file.write(memory[:got])
            os.fsync(file.fileno())
        os.waitpid(child, 0)


def _send(daemon: Daemon, source: Path) -> _Cost:
    """Return what it cost both ends, without what Python took to start."""
    command = [sys.executable, "-c", _SEND, str(daemon.socket), str(source)]
    before = _busy_seconds(daemon.pid)
    said = subprocess.run(command, check=True, cwd=ROOT, capture_output=True, text=True).stdout
    seconds, busy = map(float, said.split())
    return _Cost(seconds, busy + _busy_seconds(daemon.pid) - before)


def _hash(path: Path) -> None:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)


if __name__ == "__main__":
    main()
