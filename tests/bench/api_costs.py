"""What a daemon costs while it is there: memory and processor time of all its processes, and how long its start takes."""

import os
import re
import select
import subprocess
import time
from pathlib import Path

from launch_costs import with_all_below

from controller.daemon.paths import Paths
from controller.daemon.settings import Settings
from controller.launcher.client import LauncherClient
from support.daemon import Daemon

_TICKS = os.sysconf("SC_CLK_TCK")
_QUIET_SECONDS, _QUIET_SHARE = 2.0, 0.02
_MOST_SECONDS = 600


def processes(daemon: Daemon) -> list[int]:
    """Return the daemon's processes: itself, its launcher, and all that is below them."""
    paths = Paths.of(daemon.root, Settings())
    launcher = LauncherClient(paths.launcher_socket, paths.launcher_dir, paths.launcher_log)
    try:
        roots = [daemon.pid, launcher.ping()]
    finally:
        launcher.close()
    return list(dict.fromkeys(pid for root in roots for pid in with_all_below(root)))


def memory(pids: list[int]) -> dict[str, float]:
    """Return resident and proportional memory of processes, in MB; `Pss` counts a page that several have once."""
    total = {"Rss": 0, "Pss": 0}
    for pid in pids:
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        for name in total:
            found = re.search(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE)
            total[name] += int(found[1]) if found else 0
    return {name: kib * 1024 / 1e6 for name, kib in total.items()}


def peak(pid: int) -> float:
    """Return the most resident memory that a process ever had, in MB."""
    found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) * 1024 / 1e6


def cpu_seconds(pids: list[int]) -> float:
    """Return the processor time that processes, and those of theirs that ended, have used."""
    total = 0
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        total += sum(int(fields[at]) for at in (11, 12, 13, 14))
    return total / _TICKS


def busy(daemon: Daemon, seconds: float) -> float:
    """Return the share of one processor that the daemon uses over so long, when nobody asks it anything."""
    pids = processes(daemon)
    before, began = cpu_seconds(pids), time.perf_counter()
    wait(seconds)
    return (cpu_seconds(pids) - before) / (time.perf_counter() - began)


def settle(daemon: Daemon) -> float:
    """Wait until the daemon has done all that is to do; return how long that took."""
    began = time.perf_counter()
    while busy(daemon, _QUIET_SECONDS) > _QUIET_SHARE:
        if time.perf_counter() - began > _MOST_SECONDS:
            raise SystemExit(f"the daemon did not come to rest within {_MOST_SECONDS} s")
    return time.perf_counter() - began


def flushes(pid: int, directory: Path, do: object) -> int:
    """Return how often a process has its files flushed to the disk while `do` is done; -1 where strace cannot tell."""
    told = directory / "strace.out"
    command = ["strace", "-f", "-q", "-e", "trace=fdatasync,fsync", "-o", str(told), "-p", str(pid)]
    tracing = subprocess.Popen(command, stderr=subprocess.PIPE)
    try:
        if not _is_attached(pid, tracing):
            return -1
        assert callable(do)
        do()
    finally:
        tracing.terminate()
        tracing.wait()
    return sum("sync(" in line for line in told.read_text().splitlines())


def _is_attached(pid: int, tracing: subprocess.Popen[bytes]) -> bool:
    tasks = Path(f"/proc/{pid}/task")
    while tracing.poll() is None:
        states = [(task / "status").read_text() for task in tasks.iterdir()]
        if all(f"TracerPid:\t{tracing.pid}\n" in state for state in states):
            return True
        wait(0.01)
    return False


def wait(seconds: float) -> None:
    """Do nothing for so long: what is measured is that nothing happens."""
    select.select([], [], [], seconds)
