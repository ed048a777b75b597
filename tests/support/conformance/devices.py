"""What is in /dev."""

import errno
import os
import stat
from pathlib import Path

from harness import FACTS, add, errno_of, holds, is_, refused

GROUP = "devices"
NODES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9), "tty": (5, 0)}
OTHERS = {"fd", "ptmx", "pts", "shm", "stderr", "stdin", "stdout"}

add(
    GROUP,
    "/dev has what every program needs and no more",
    lambda: is_(set(os.listdir("/dev")) - set(NODES) - OTHERS, set()),
)
for _name, _number in NODES.items():

    def _is_node(name=_name, number=_number):
        found = os.stat(f"/dev/{name}")
        seen = (stat.S_ISCHR(found.st_mode), os.major(found.st_rdev), os.minor(found.st_rdev))
        return is_(seen, (True, *number))

    add(GROUP, f"/dev/{_name} is the device of that name", _is_node)
for _name in (
    "mem", "kmem", "port", "kmsg", "core", "console", "tty0", "tty1", "ttyS0", "vcs", "fuse", "kvm", "net/tun", "vhost-net", "vhost-vsock", "vsock", "loop0", "loop-control",
    "sda", "vda", "nvme0n1", "dm-0", "mapper", "disk", "block", "input", "uinput", "dri", "snd", "hpet", "rtc0", "cpu", "cpu_dma_latency", "userfaultfd", "udmabuf", "hwrng",
    "watchdog", "ppp", "rfkill", "uhid", "btrfs-control", "autofs", "bus", "log", "initctl", "hugepages", "mqueue", "nvidia0", "kfd", "sev", "sgx_enclave", "tpm0",
):  # fmt: skip
    add(
        GROUP,
        f"there is no /dev/{_name}",
        lambda name=_name: None if not os.path.lexists(f"/dev/{name}") else "it is there",
    )
add(
    GROUP,
    "no block device is anywhere in it",
    lambda: is_([p.name for p in Path("/dev").rglob("*") if p.is_block_device()], []),
)
add(GROUP, "no terminal of another's is there", lambda: is_(set(os.listdir("/dev/pts")) - {"ptmx"}, set()))
add(GROUP, "there is no controlling terminal", lambda: refused(errno_of(os.open, "/dev/tty", os.O_RDWR), errno.ENXIO))
add(
    GROUP,
    "no node can be removed",
    lambda: refused(errno_of(os.unlink, "/dev/null"), errno.EROFS, errno.EACCES, errno.EPERM),
)
add(
    GROUP,
    "no node's mode can be changed",
    lambda: refused(errno_of(os.chmod, "/dev/null", 0), errno.EROFS, errno.EPERM),
)


@holds(GROUP, "a terminal of its own can be had")
def _pty():
    master, slave = os.openpty()
    seen = os.ttyname(slave).startswith("/dev/pts/") and os.isatty(slave)
    os.close(master)
    os.close(slave)
    return None if seen else "none"


@holds(GROUP, "a run cannot take all terminals of the host")
def _terminals():
    fds = []
    try:
        while len(fds) < 1000:
            fds.append(os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError as error:
        return refused(error.errno, errno.ENOSPC) or (None if len(fds) >= 100 else f"{len(fds)} are too few")
    finally:
        for fd in fds:
            os.close(fd)
    return f"{len(fds)} were had"


@holds(GROUP, "the devices work")
def _work():
    with open("/dev/null", "wb") as null, open("/dev/zero", "rb") as zero, open("/dev/urandom", "rb") as random:
        null.write(zero.read(4))
        return is_((zero.read(2), len(random.read(8))), (b"\0\0", 8))


add(GROUP, "the host's terminals are not these", lambda: is_(os.stat("/dev/pts").st_dev == FACTS["pts_device"], False))
