"""What /proc tells of the host, and what of it can be set."""

import errno
import os
import re
import socket
import time
from pathlib import Path

from harness import FACTS, add, errno_of, holds, is_, refused, text_of

GROUP = "proc"
HIDDEN = (errno.ENOENT, errno.EACCES, errno.EPERM)


def _silent(name):
    """Not there, not readable, or empty."""

    def question():
        path = Path("/proc", name)
        try:
            if path.is_dir():
                return is_(os.listdir(path), [])
            with path.open("rb") as file:
                return is_(file.read(64), b"")
        except OSError as error:
            return refused(error.errno, *HIDDEN, errno.EIO)

    return question


for _name in (
    "acpi", "asound", "bootconfig", "cmdline", "config.gz", "interrupts", "iomem", "ioports", "kallsyms", "kcore", "key-users", "keys", "kmsg", "kpagecgroup", "kpagecount",
    "kpageflags", "latency_stats", "modules", "mtrr", "pagetypeinfo", "sched_debug", "schedstat", "scsi", "slabinfo", "sysrq-trigger", "timer_list", "timer_stats", "vmallocinfo",
    "bus", "driver", "diskstats", "fs", "irq", "partitions", "swaps", "locks", "dynamic_debug",
    "buddyinfo", "consoles", "crypto", "drbd", "fb", "lock_stat", "lockdep", "mdstat", "misc", "pressure", "profile", "softirqs", "spl", "vmcore", "xen", "zoneinfo",
):  # fmt: skip
    add(GROUP, f"/proc/{_name} says nothing", _silent(_name))


def _not_written(path, text="1"):
    def question():
        try:
            fd = os.open(path, os.O_WRONLY)
        except OSError as error:
            return refused(error.errno, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOENT)
        try:
            return refused(errno_of(os.write, fd, text.encode()), errno.EROFS, errno.EACCES, errno.EPERM)
        finally:
            os.close(fd)

    return question


for _name in (
    "sysrq-trigger", "sys/kernel/core_pattern", "sys/kernel/hostname", "sys/kernel/modprobe", "sys/kernel/sysrq", "sys/kernel/panic", "sys/kernel/ns_last_pid", "sys/kernel/randomize_va_space",
    "sys/kernel/yama/ptrace_scope", "sys/kernel/unprivileged_bpf_disabled", "sys/kernel/kptr_restrict", "sys/kernel/dmesg_restrict", "sys/kernel/shmmax", "sys/kernel/msgmax", "sys/kernel/sem",
    "sys/kernel/domainname", "sys/kernel/core_uses_pid", "sys/kernel/printk", "sys/vm/drop_caches", "sys/vm/overcommit_memory", "sys/vm/mmap_min_addr", "sys/vm/swappiness",
    "sys/net/ipv4/ip_forward", "sys/net/ipv4/ip_unprivileged_port_start", "sys/net/ipv4/ping_group_range", "sys/net/core/somaxconn", "sys/fs/file-max", "sys/fs/protected_symlinks",
    "sys/fs/suid_dumpable", "sys/fs/mqueue/msg_max", "sys/user/max_user_namespaces", "sys/dev/tty/legacy_tiocsti", "irq/default_smp_affinity", "pressure/cpu", "pressure/io", "pressure/memory", "self/uid_map", "self/setgroups",
    "self/gid_map",
):  # fmt: skip
    add(
        GROUP,
        f"/proc/{_name} cannot be written",
        _not_written(
            f"/proc/{_name}", "1 1 1" if _name.endswith("id_map") else "deny" if "setgroups" in _name else "1"
        ),
    )
for _name in ("bus", "fs", "irq", "sys"):
    add(
        GROUP,
        f"/proc/{_name} is read-only",
        lambda name=_name: (
            None
            if not os.path.exists(f"/proc/{name}") or os.statvfs(f"/proc/{name}").f_flag & os.ST_RDONLY
            else "it is writable"
        ),
    )
for _name in (
    "environ",
    "root",
    "cwd",
    "exe",
    "fd",
    "maps",
    "mem",
    "cmdline",
    "status",
    "ns",
    "mountinfo",
    "stat",
    "auxv",
    "task",
    "net",
):
    add(
        GROUP,
        f"/proc/1/{_name} is not there",
        lambda name=_name: None if not os.path.lexists(f"/proc/1/{name}") else "it is there",
    )
add(
    GROUP,
    "no process is seen but the job's",
    lambda: is_([n for n in os.listdir("/proc") if n.isdigit() and not os.path.exists(f"/proc/{n}/environ")], []),
)
add(
    GROUP,
    "the loader's addresses of the kernel are hidden",
    lambda: (
        None if not re.search(r"^0*[1-9a-f][0-9a-f]* ", text_of("/proc/kallsyms")[:2000], re.M) else "they are shown"
    ),
)
add(GROUP, "there is no /sys", lambda: is_(os.path.lexists("/sys"), False))
for _path in (
    "/sys/kernel/uevent_helper",
    "/sys/power/state",
    "/sys/fs/cgroup/memory.max",
    "/sys/kernel/debug",
    "/sys/firmware/efi/efivars",
    "/sys/module",
    "/sys/class/net",
    "/sys/block",
):
    add(GROUP, f"{_path} cannot be reached", lambda path=_path: refused(errno_of(os.stat, path), errno.ENOENT))
add(
    GROUP,
    "every cgroup it sees is a root",
    lambda: is_({line.split(":")[2] for line in text_of("/proc/self/cgroup").splitlines()}, {"/"}),
)
add(GROUP, "its host name is the job's", lambda: is_(socket.gethostname(), FACTS["name"]))
add(
    GROUP,
    "the host's name is in none of /etc's files",
    lambda: (
        is_([p.name for p in Path("/etc").glob("host*") if FACTS["host_name"] in p.read_text().split()], [])
        if len(FACTS["host_name"]) > 2
        else None
    ),
)
add(
    GROUP,
    "there is no NIS domain name",
    lambda: is_(text_of("/proc/sys/kernel/domainname").strip() in ("", "(none)"), True),
)


@holds(GROUP, "the host's uptime is not told")
def _uptime():
    told = min(float(text_of("/proc/uptime").split()[0]), time.clock_gettime(time.CLOCK_BOOTTIME), time.monotonic())
    return (
        None
        if max(float(text_of("/proc/uptime").split()[0]), time.clock_gettime(time.CLOCK_BOOTTIME)) < FACTS["uptime"] / 2
        else f"{told} seconds"
    )


@holds(GROUP, "nothing of the job can be protected from memory's end")
def _oom():
    path = Path("/proc/self/oom_score_adj")
    if int(path.read_text()) < 0:
        return path.read_text()
    return refused(errno_of(path.write_text, "-500"), errno.EACCES, errno.EPERM)


@holds(GROUP, "the process can ask to be ended first")
def _oom_up():
    path = Path("/proc/self/oom_score_adj")
    now = path.read_text()
    seen = errno_of(path.write_text, "10")
    path.write_text(now)
    return refused(seen, 0)
