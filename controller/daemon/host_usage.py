"""What this host as a whole uses, as its kernel counts it; read each time that somebody asks.

Source: proc(5): stat, meminfo, uptime, diskstats; proc_net(5): dev. Never here: what that means.
"""

import os
import re
from pathlib import Path

from api.ports import HostUsage

_SECTOR = 512
_PART = re.compile(r"^(loop|ram|zram|dm-|md)|^(sd|vd|xvd|hd)[a-z]+\d+$|^(nvme\d+n\d+|mmcblk\d+)p\d+$")
"""Devices whose reads and writes are counted at another device too."""


def look(disk: Path, proc: Path = Path("/proc")) -> HostUsage:
    """Return what is used now; `disk` is a directory on the disk that runs have."""
    ticks = os.sysconf("SC_CLK_TCK")
    stat, memory = (proc / "stat").read_text(), (proc / "meminfo").read_text()
    space = os.statvfs(disk)
    read, written = disk_bytes((proc / "diskstats").read_text())
    received, sent = network_bytes((proc / "net" / "dev").read_text())
    return HostUsage(
        running_seconds=float((proc / "uptime").read_text().split()[0]),
        cpu_seconds=busy_ticks(stat) / ticks,
        memory_bytes=_kib(memory, "MemTotal") - _kib(memory, "MemAvailable"),
        memory_total_bytes=_kib(memory, "MemTotal"),
        disk_bytes=(space.f_blocks - space.f_bfree) * space.f_frsize,
        disk_total_bytes=space.f_blocks * space.f_frsize,
        processes=sum(1 for each in os.listdir(proc) if each.isdecimal()),
        read_bytes=read,
        written_bytes=written,
        received_bytes=received,
        sent_bytes=sent,
    )


def busy_ticks(stat: str) -> int:
    """Return the ticks that processors were not idle, from /proc/stat.

    >>> busy_ticks("cpu  10 1 5 900 50 0 2 3 4 0\\ncpu0 1 2 3\\n")
    21
    """
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, stat.split(None, 9)[1:9])
    return user + nice + system + irq + softirq + steal


def disk_bytes(diskstats: str) -> tuple[int, int]:
    """Return the bytes read from and written to whole disks, from /proc/diskstats.

    >>> disk_bytes("254 0 vda 9 0 100 1 5 0 10 1\\n254 1 vda1 9 0 100 1 5 0 10 1\\n7 0 loop0 1 0 8 0 0 0 0 0\\n")
    (51200, 5120)
    """
    read = written = 0
    for fields in map(str.split, diskstats.splitlines()):
        if len(fields) > 9 and not _PART.match(fields[2]):
            read, written = read + int(fields[5]) * _SECTOR, written + int(fields[9]) * _SECTOR
    return read, written


def network_bytes(dev: str) -> tuple[int, int]:
    """Return the bytes received and sent by all links but the loopback, from /proc/net/dev.

    >>> network_bytes("head |\\n face |\\n lo: 5 0 0 0 0 0 0 0 5 0\\neth0:7 0 0 0 0 0 0 0 9 0\\n")
    (7, 9)
    """
    received = sent = 0
    for line in dev.splitlines()[2:]:
        name, _, counted = line.partition(":")
        fields = counted.split()
        if name.strip() != "lo" and len(fields) > 8:
            received, sent = received + int(fields[0]), sent + int(fields[8])
    return received, sent


def _kib(meminfo: str, name: str) -> int:
    match = re.search(rf"^{name}:\s+(\d+) kB", meminfo, re.MULTILINE)
    return int(match[1]) << 10 if match else 0
