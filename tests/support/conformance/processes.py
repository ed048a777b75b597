"""What the process was born with, and what it can do to others."""

import ctypes
import errno
import os
import resource
import signal
import stat
import struct
from pathlib import Path

from harness import (
    FACTS,
    LIBC,
    NUMBERS,
    add,
    call_refused,
    errno_of,
    holds,
    in_child,
    is_,
    refused,
    status,
    syscall,
    text_of,
)

BIRTH, OTHERS, LIMITS = "what it starts with", "processes", "limits"
INFINITE = resource.RLIM_INFINITY
_DESCRIPTORS = tuple(
    sorted(int(name) for name in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{name}"))
)

add(BIRTH, "it has three descriptors", lambda: is_(_DESCRIPTORS, (0, 1, 2)))
add(
    BIRTH,
    "its standard input is the sandbox's /dev/null",
    lambda: is_((os.readlink("/proc/self/fd/0"), os.fstat(0).st_rdev), ("/dev/null", os.makedev(1, 3))),
)
for _number in (1, 2):
    add(BIRTH, f"descriptor {_number} is a pipe", lambda n=_number: is_(stat.S_ISFIFO(os.fstat(n).st_mode), True))
    add(BIRTH, f"descriptor {_number} cannot be read", lambda n=_number: refused(errno_of(os.read, n, 1), errno.EBADF))
add(
    BIRTH,
    "its environment is the given one",
    lambda: is_(set(os.environ) - set(FACTS["environment"]) - {"LC_CTYPE"}, set()),
)
add(
    BIRTH,
    "no variable of the daemon is in it",
    lambda: is_([name for name in os.environ if name in FACTS["host_environment"]], []),
)
add(
    BIRTH,
    "the kernel shows the same environment",
    lambda: is_(
        {word.split("=")[0] for word in text_of("/proc/self/environ").split("\0") if word} - set(FACTS["environment"]),
        set(),
    ),
)
for _name in ("SigBlk", "SigIgn", "SigPnd", "ShdPnd"):
    add(BIRTH, f"{_name} is empty", lambda name=_name: is_(int(status()[name], 16) & ~_OF_PYTHON.get(name, 0), 0))
_OF_PYTHON = {"SigIgn": (1 << 12) | (1 << 24)}  # SIGPIPE and SIGXFSZ, which Python itself ignores.
add(BIRTH, "its umask is 022", lambda: is_(status()["Umask"].strip(), "0022"))
add(BIRTH, "its niceness is 0", lambda: is_(os.getpriority(os.PRIO_PROCESS, 0), 0))
add(
    BIRTH,
    "its scheduling is ordinary",
    lambda: is_((os.sched_getscheduler(0), os.sched_getparam(0).sched_priority), (0, 0)),
)
add(
    BIRTH,
    "its priority of input and output is ordinary",
    lambda: is_(LIBC.syscall(NUMBERS["ioprio_get"], 1, 0), 0),
)
add(BIRTH, "it may have huge pages as anybody", lambda: is_(LIBC.prctl(42, 0, 0, 0, 0), 0))
add(
    BIRTH,
    "its memory is not looked through for what is alike",
    lambda: is_(LIBC.prctl(68, 0, 0, 0, 0) in (0, -1), True),
)
add(BIRTH, "errors of memory are the host's to judge", lambda: is_(LIBC.prctl(34, 0, 0, 0, 0) in (2, -1), True))
add(BIRTH, "its crashes leave what anybody's do", lambda: is_(int(text_of("/proc/self/coredump_filter"), 16), 0x33))
add(BIRTH, "its timers are as exact as anybody's", lambda: is_(LIBC.prctl(30, 0, 0, 0, 0), 50_000))
add(BIRTH, "its personality is plain", lambda: is_(LIBC.personality(ctypes.c_ulong(0xFFFFFFFF)), 0))
add(
    BIRTH,
    "its out-of-memory score is not lowered",
    lambda: None if int(text_of("/proc/self/oom_score_adj")) >= 0 else text_of("/proc/self/oom_score_adj"),
)
add(BIRTH, "it may run on every processor", lambda: is_(len(os.sched_getaffinity(0)), FACTS["processors"]))
add(
    BIRTH,
    "it has no parent death signal",
    lambda: (lambda value: is_((LIBC.prctl(2, ctypes.byref(value), 0, 0, 0), value.value), (0, 0)))(ctypes.c_int(9)),
)
add(
    BIRTH,
    "it is a session's leader",
    lambda: is_((os.getsid(0), os.getpgid(0)), (os.getpid(), os.getpid())) if os.getppid() == 1 else None,
)
add(
    BIRTH,
    "it has no login of anybody's",
    lambda: is_(text_of("/proc/self/loginuid").strip() in ("4294967295", "ENOENT", "EACCES"), True),
)
add(
    BIRTH,
    "its capabilities, if it had any, would end with an exec (no keepcaps)",
    lambda: is_(LIBC.prctl(7, 0, 0, 0, 0), 0),
)
add(BIRTH, "it is traced by nobody", lambda: is_(status()["TracerPid"].strip(), "0"))
add(
    BIRTH,
    "nothing was used before it",
    lambda: None if resource.getrusage(resource.RUSAGE_SELF).ru_utime < 10 else "its clock has run",
)
add(
    BIRTH,
    "its command line is the given one",
    lambda: is_(text_of("/proc/self/cmdline").split("\0")[:-1], FACTS["command"]),
)

_LIMITS = {
    "AS": (INFINITE, INFINITE), "CORE": (1, 1), "CPU": (INFINITE, INFINITE), "DATA": (INFINITE, INFINITE), "FSIZE": (INFINITE, INFINITE), "MEMLOCK": (8 << 20, 8 << 20), "MSGQUEUE": (819200, 819200),
    "NICE": (0, 0), "NOFILE": (1024, FACTS["open_files"]), "RTPRIO": (0, 0), "RTTIME": (INFINITE, INFINITE), "STACK": (8 << 20, INFINITE), "RSS": (INFINITE, INFINITE), "SIGPENDING": (FACTS["signals"], FACTS["signals"]),
}  # fmt: skip
for _name, _wanted in _LIMITS.items():
    add(
        LIMITS,
        f"RLIMIT_{_name} is runwright's, not the daemon's",
        lambda name=_name, wanted=_wanted: (
            is_(resource.getrlimit(getattr(resource, f"RLIMIT_{name}")), wanted)
            if hasattr(resource, f"RLIMIT_{name}")
            else None
        ),
    )


@holds(LIMITS, "processes are limited")
def _fork():
    children, seen = [], 0
    try:
        for _ in range(FACTS["pids"] + 8):
            pid = os.fork()
            if pid == 0:
                signal.pause()
                os._exit(0)
            children.append(pid)
    except OSError as error:
        seen = error.errno
    for pid in children:
        os.kill(pid, signal.SIGKILL)
    for pid in children:
        os.waitpid(pid, 0)
    return refused(seen, errno.EAGAIN)


@holds(LIMITS, "open files are limited")
def _open():
    fds, seen = [], 0
    try:
        for _ in range(2000):
            fds.append(os.dup(0))
    except OSError as error:
        seen = error.errno
    for fd in fds:
        os.close(fd)
    return refused(seen, errno.EMFILE)


@holds(LIMITS, "the limit of core files cannot be set to 0, at which programs of the host are told of crashes")
def _core_limit():
    none, kept = ctypes.c_char_p(struct.pack("QQ", 0, 0)), ctypes.create_string_buffer(16)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for old in (0, kept):
        syscall(NUMBERS["prlimit64"], 0, resource.RLIMIT_CORE, none, old)
    syscall(NUMBERS["setrlimit"], resource.RLIMIT_CORE, none)
    return is_(resource.getrlimit(resource.RLIMIT_CORE), (1, 1))


@holds(LIMITS, "no core file is written")
def _core():
    os.chdir("/tmp")
    in_child(lambda: os.abort())
    seen = [name for name in os.listdir("/tmp") if name.startswith("core")]
    os.chdir("/work")
    return is_(seen, [])


add(OTHERS, "it is not process 1", lambda: is_(os.getpid() == 1, False))
add(OTHERS, "its parent is process 1", lambda: is_(os.getppid(), 1))
for _number in (0, signal.SIGTERM, signal.SIGKILL, signal.SIGSTOP, signal.SIGINT, signal.SIGHUP):
    add(
        OTHERS,
        f"process 1 cannot be signalled ({int(_number)})",
        lambda n=_number: refused(errno_of(os.kill, 1, n), errno.EPERM),
    )
add(OTHERS, "process 1 cannot be traced", call_refused("ptrace", 16, 1, 0, 0))
add(OTHERS, "process 1 cannot be seized", call_refused("ptrace", 0x4206, 1, 0, 0))
add(OTHERS, "the memory of process 1 cannot be read", call_refused("process_vm_readv", 1, 0, 0, 0, 0, 0))
add(
    OTHERS,
    "process 1 gets no other priority",
    lambda: refused(errno_of(os.setpriority, os.PRIO_PROCESS, 1, 19), errno.EPERM, errno.ESRCH),
)
add(
    OTHERS,
    "process 1 gets no other processors",
    lambda: refused(errno_of(os.sched_setaffinity, 1, {0}), errno.EPERM, errno.ESRCH),
)
add(
    OTHERS,
    "process 1 gets no other limits",
    call_refused("prlimit64", 1, 7, ctypes.c_char_p(struct.pack("QQ", 1, 1)), 0, wanted=(errno.EPERM, errno.ESRCH)),
)
add(
    OTHERS,
    "process 1 gets no other scheduling",
    lambda: refused(errno_of(os.sched_setscheduler, 1, 3, os.sched_param(0)), errno.EPERM, errno.ESRCH),
)
add(
    OTHERS,
    "process 1 gets no other priority of input and output",
    call_refused("ioprio_set", 1, 1, (3 << 13), wanted=(errno.EPERM, errno.ESRCH)),
)
add(OTHERS, "a pid of the host is nobody here", lambda: refused(errno_of(os.kill, FACTS["pid"], 0), errno.ESRCH))
add(OTHERS, "a process of the host is not in /proc", lambda: is_(os.path.exists(f"/proc/{FACTS['pid']}"), False))
add(
    OTHERS,
    "threads of the host cannot be joined",
    lambda: refused(syscall(NUMBERS["tgkill"], FACTS["pid"], FACTS["pid"], 0), errno.ESRCH),
)


@holds(OTHERS, "descriptors of process 1 cannot be taken")
def _pidfd():
    fd = os.pidfd_open(1)
    try:
        return refused(syscall(NUMBERS["pidfd_getfd"], fd, 0, 0), errno.EPERM)
    finally:
        os.close(fd)


@holds(OTHERS, "process 1 cannot be signalled by its pidfd")
def _pidfd_signal():
    fd = os.pidfd_open(1)
    try:
        return refused(errno_of(signal.pidfd_send_signal, fd, signal.SIGKILL), errno.EPERM)
    finally:
        os.close(fd)


@holds(OTHERS, "an orphan is taken in by process 1 and reaped")
def _orphan():
    read, write = os.pipe()

    def parent():
        if os.fork() == 0:
            os.close(read)
            while os.getppid() != 1:
                os.sched_yield()
            os.write(write, str(os.getpid()).encode())
            os._exit(0)

    in_child(parent)
    os.close(write)
    pid = os.read(read, 32)
    os.close(read)
    return None if pid else "it was not"


@holds(OTHERS, "its own memory is its own to read, and of a child that it has not executed")
def _own_memory():
    return None if text_of("/proc/self/maps") else "it is not"


add(OTHERS, "its own processes can be signalled", lambda: is_(_kill_child(), -signal.SIGTERM))


def _kill_child():
    pid = os.fork()
    if pid == 0:
        signal.pause()
    os.kill(pid, signal.SIGTERM)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


add(
    OTHERS,
    "no process of the launcher's is among those it sees",
    lambda: is_([n for n in os.listdir("/proc") if n.isdigit() and "rnx" in text_of(f"/proc/{n}/comm")], []),
)
add(
    OTHERS,
    "the timer slack of another cannot be set",
    lambda: refused(errno_of(Path("/proc/1/timerslack_ns").write_text, "1"), errno.ENOENT, errno.EPERM, errno.EACCES),
)
