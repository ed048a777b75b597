"""Who the job is: users, groups, capabilities, and that nothing makes it more."""

import ctypes
import errno
import fcntl
import os
import resource
import shutil
import socket
import struct
import subprocess
from pathlib import Path

from harness import FACTS, LIBC, NUMBERS, add, call_refused, errno_of, holds, in_child, is_, refused, status, syscall

IDS, CAPS = "identity", "capabilities"
SETS = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
PR_GET_DUMPABLE, PR_GET_KEEPCAPS, PR_GET_SECUREBITS, PR_GET_NO_NEW_PRIVS = 3, 7, 27, 39


def prctl(option, *arguments):
    return LIBC.prctl(option, *map(ctypes.c_ulong, (*arguments, 0, 0, 0, 0)[:4]))


def map_of(name):
    return [tuple(map(int, line.split())) for line in Path(f"/proc/self/{name}_map").read_text().splitlines()]


add(IDS, "all four user ids are 0 here", lambda: is_(status()["Uid"].split(), ["0"] * 4))
add(IDS, "all four group ids are 0 here", lambda: is_(status()["Gid"].split(), ["0"] * 4))
add(IDS, "there is no group beside it", lambda: is_(os.getgroups(), []) and is_(os.getgroups(), [0]))
for _kind in ("uid", "gid"):
    add(IDS, f"the {_kind} map is one range", lambda kind=_kind: is_(len(map_of(kind)), 1))
    add(
        IDS,
        f"the {_kind} map has no id of the host's accounts",
        lambda kind=_kind: None if map_of(kind)[0][1] >= 600_100_000 else str(map_of(kind)),
    )
    add(IDS, f"the {_kind} map has 65536 ids", lambda kind=_kind: is_(map_of(kind)[0][2], 65536))
    add(
        IDS,
        f"the {_kind} map cannot be written",
        lambda kind=_kind: refused(
            errno_of(Path(f"/proc/self/{kind}_map").write_text, "0 0 1"), errno.EPERM, errno.EACCES, errno.EROFS
        ),
    )
add(IDS, "files of the host's root are nobody's", lambda: is_(os.stat("/usr").st_uid, 65534))
add(IDS, "another user cannot be had", lambda: refused(errno_of(os.setuid, 1000), errno.EPERM))
add(IDS, "another group cannot be had", lambda: refused(errno_of(os.setgid, 1000), errno.EPERM))
add(IDS, "no group can be added", lambda: refused(errno_of(os.setgroups, [1]), errno.EPERM))
add(IDS, "no id but 0 can be had by setresuid", lambda: refused(errno_of(os.setresuid, 5, 5, 5), errno.EPERM))
add(IDS, "no_new_privs is set", lambda: is_(prctl(PR_GET_NO_NEW_PRIVS), 1))
add(
    IDS,
    "no_new_privs cannot be unset",
    lambda: None if prctl(38, 0) == -1 and prctl(PR_GET_NO_NEW_PRIVS) == 1 else "unset",
)
add(IDS, "keepcaps is off", lambda: is_(prctl(PR_GET_KEEPCAPS), 0))
add(IDS, "being uid 0 gives nothing, for good (securebits)", lambda: is_(prctl(PR_GET_SECUREBITS) & 0xEF, 0xEF))
add(IDS, "securebits cannot be changed", lambda: refused(0 if prctl(28, 0) == 0 else ctypes.get_errno(), errno.EPERM))


def _set_uid_program(source, directory):
    """Run a set-user-id copy, of this user and of another; the effective user and NoNewPrivs it sees."""
    copy = Path(directory, "copy")
    shutil.copy(source, copy)
    try:
        copy.chmod(0o6755)
    except PermissionError:
        return None
    done = subprocess.run([str(copy), "/proc/self/status"], capture_output=True, text=True, check=False)
    copy.unlink()
    lines = dict(line.split(":", 1) for line in done.stdout.splitlines())
    return is_((lines["CapEff"].strip(), lines["Uid"].split()[1]), ("0" * 16, "0"))


for _directory in ("/tmp", "/work"):
    add(
        IDS,
        f"a set-user-id program in {_directory} gains nothing",
        lambda d=_directory: _set_uid_program(shutil.which("cat"), d),
    )

for _set in SETS:
    add(CAPS, f"{_set} is empty", lambda name=_set: is_(status()[name].strip(), "0" * 16))
for _number in range(41):
    add(CAPS, f"capability {_number} cannot come back", lambda number=_number: is_(prctl(23, number), 0))


def _capset(*sets):
    header = struct.pack("Ii", 0x20080522, 0)
    return syscall(NUMBERS["capset"], ctypes.c_char_p(header), ctypes.c_char_p(struct.pack("IIIIII", *sets)))


add(CAPS, "none can be made effective", lambda: refused(_capset(1, 0, 0, 0, 0, 0), errno.EPERM))
add(CAPS, "none can be permitted", lambda: refused(_capset(0, 1, 0, 0, 0, 0), errno.EPERM))
add(CAPS, "none can be inherited", lambda: refused(_capset(0, 0, 1, 0, 0, 0), errno.EPERM))
add(CAPS, "none can be ambient", lambda: refused(0 if prctl(47, 2, 0) == 0 else errno.EPERM, errno.EPERM))
add(CAPS, "the bounding set stays as it is", lambda: refused(0 if prctl(24, 0) == 0 else errno.EPERM, errno.EPERM))


@holds(CAPS, "CHOWN: no file can be given away")
def _chown():
    path = Path("/tmp/owned")
    path.touch()
    return refused(errno_of(os.chown, path, 1, 1), errno.EPERM)


@holds(CAPS, "DAC_OVERRIDE: modes hold for root")
def _dac():
    path = Path("/tmp/closed")
    path.write_text("x")
    path.chmod(0)
    return refused(errno_of(path.read_text), errno.EACCES)


@holds(CAPS, "FOWNER: another's file cannot be changed")
def _fowner():
    return refused(errno_of(os.chmod, "/usr", 0o777), errno.EPERM, errno.EROFS)


def _mknod(mode, device):
    return lambda: refused(errno_of(os.mknod, "/tmp/node", mode | 0o600, device), errno.EPERM, errno.EACCES)


add(CAPS, "MKNOD: no block device", _mknod(0o060000, os.makedev(8, 0)))
add(CAPS, "MKNOD: no character device", _mknod(0o020000, os.makedev(1, 1)))
add(CAPS, "MKNOD: no whiteout, which is one too", _mknod(0o020000, os.makedev(5, 1)))


def _xattr(name, value=b"x"):
    def question():
        path = Path("/tmp/attributes")
        path.touch()
        return refused(errno_of(os.setxattr, path, name, value), errno.EPERM, errno.EOPNOTSUPP, errno.EACCES)

    return question


_FILE_CAPABILITIES = struct.pack("<IIIII", 0x02000001, 0xFFFFFFFF, 0, 0, 0)
add(CAPS, "SETFCAP: no file gets capabilities", _xattr("security.capability", _FILE_CAPABILITIES))
add(CAPS, "SYS_ADMIN: no trusted attribute", _xattr("trusted.x"))
add(CAPS, "SYS_ADMIN: no security attribute", _xattr("security.ima", b"\x01" * 8))


@holds(CAPS, "LINUX_IMMUTABLE: no file becomes immutable")
def _immutable():
    with open("/tmp/flags", "w") as file:
        return refused(
            errno_of(fcntl.ioctl, file, 0x40086602, struct.pack("l", 0x10)), errno.EPERM, errno.ENOTTY, errno.EOPNOTSUPP
        )


def _option(level, option, value=1):
    def question():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
            return refused(
                errno_of(own.setsockopt, level, option, value), errno.EPERM, errno.ENOPROTOOPT, errno.EOPNOTSUPP
            )

    return question


add(CAPS, "NET_ADMIN: no mark on packets", _option(1, 36))
add(CAPS, "NET_ADMIN: no forced buffers", _option(1, 32, 1 << 24))
add(CAPS, "NET_ADMIN: no transparent proxy", _option(0, 19))
add(CAPS, "NET_ADMIN: no priority above 6", _option(1, 12, 7))
add(CAPS, "NET_RAW: no raw IPv4", lambda: refused(errno_of(socket.socket, 2, 3, 1), errno.EPERM, errno.EPROTONOSUPPORT))
add(
    CAPS,
    "NET_RAW: no raw IPv6",
    lambda: refused(errno_of(socket.socket, 10, 3, 58), errno.EPERM, errno.EPROTONOSUPPORT),
)
add(CAPS, "SYS_CHROOT: no other root", lambda: refused(errno_of(os.chroot, "/tmp"), errno.EPERM))
add(CAPS, "SYS_BOOT: no reboot", call_refused("reboot", 0xFEE1DEAD - (1 << 32), 672274793, 0, 0))
add(
    CAPS, "SYS_TIME: no setting of the clock", call_refused("settimeofday", ctypes.c_char_p(struct.pack("qq", 1, 0)), 0)
)
add(
    CAPS,
    "SYS_NICE: no higher priority",
    lambda: refused(errno_of(os.setpriority, os.PRIO_PROCESS, 0, -5), errno.EPERM, errno.EACCES),
)
for _policy, _name in ((1, "FIFO"), (2, "RR")):
    add(
        CAPS,
        f"SYS_NICE: no {_name} scheduling",
        lambda p=_policy: refused(errno_of(os.sched_setscheduler, 0, p, os.sched_param(1)), errno.EPERM),
    )
add(
    CAPS,
    "SYS_NICE: no deadline scheduling",
    call_refused("sched_setattr", 0, ctypes.c_char_p(struct.pack("IIQiIQQQ", 48, 6, 0, 0, 0, 10**7, 10**8, 10**8)), 0),
)
add(CAPS, "SYS_NICE: no realtime input and output", call_refused("ioprio_set", 1, 0, 1 << 13))
add(CAPS, "SYSLOG: no kernel log", call_refused("syslog", 3, ctypes.create_string_buffer(64), 64))
add(CAPS, "SYSLOG: not even its size", call_refused("syslog", 10, 0, 0))
add(CAPS, "SYS_ADMIN: no host name", lambda: refused(errno_of(socket.sethostname, "other"), errno.EPERM))
add(CAPS, "SYS_ADMIN: no domain name", call_refused("setdomainname", ctypes.c_char_p(b"x"), 1))


@holds(CAPS, "SYS_RESOURCE: hard limits cannot be raised")
def _limits():
    for name in ("RLIMIT_NOFILE", "RLIMIT_CORE", "RLIMIT_NICE", "RLIMIT_RTPRIO", "RLIMIT_MEMLOCK", "RLIMIT_MSGQUEUE"):
        _, hard = resource.getrlimit(getattr(resource, name, 0))
        if hard != resource.RLIM_INFINITY:
            try:
                resource.setrlimit(getattr(resource, name), (hard, hard + 1))
            except (ValueError, OSError):
                continue
            if resource.getrlimit(getattr(resource, name))[1] == hard:  # It was said to be done.
                continue
            return f"{name} was raised"
    return None


@holds(CAPS, "SYS_RESOURCE: no pipe above the limit")
def _pipe():
    read, write = os.pipe()
    try:
        return refused(errno_of(fcntl.fcntl, read, 1031, 1 << 25), errno.EPERM)
    finally:
        os.close(read)
        os.close(write)


@holds(CAPS, "IPC_LOCK: memory cannot be locked without limit")
def _mlock():
    soft, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    return None if 0 <= soft <= 64 << 20 else f"the limit is {soft}"


@holds(CAPS, "LEASE: no lease on another's file")
def _lease():
    with open("/usr/bin/python3", "rb") as file:
        return refused(errno_of(fcntl.fcntl, file, 1024, 0), errno.EACCES, errno.EPERM)


@holds(CAPS, "WAKE_ALARM: no clock that wakes the machine")
def _alarm():
    return refused(syscall(NUMBERS["timerfd_create"], 8, 0), errno.EPERM, errno.EOPNOTSUPP, errno.EINVAL)


@holds(CAPS, "an exec brings none back")
def _exec():
    done = subprocess.run([shutil.which("cat"), "/proc/self/status"], capture_output=True, text=True, check=False)
    seen = dict(line.split(":", 1) for line in done.stdout.splitlines())
    return is_({seen[name].strip() for name in SETS}, {"0" * 16})


@holds(CAPS, "a child has none")
def _child():
    return is_(in_child(lambda: int(any(int(status()[name], 16) for name in SETS))), 0)


add(
    IDS,
    "the user's range is this run's own",
    lambda: None if map_of("uid")[0][1] not in FACTS["other_ids"] else "shared",
)
