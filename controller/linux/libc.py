"""System calls by name, and the one error they raise. The only module that touches ctypes.

Here: the numbers of the calls we make, on the machines we run on, and the check of their result.
Never here: flags, structures or meaning (each concept's own module has those), retries, policy.
Invariant: a call that fails raises `SyscallError`; no caller ever looks at -1 or at errno.
"""

import ctypes
import errno as errno_names
import os
from collections.abc import Callable

AT_FDCWD = -100
"""As a directory fd: relative paths start at the working directory."""

# Source: arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h, Linux 6.1.
# Calls younger than Linux 5.1 have one number on every machine.
_COMMON = {
    "open_tree": 428,
    "move_mount": 429,
    "fsopen": 430,
    "fsconfig": 431,
    "fsmount": 432,
    "fspick": 433,
    "close_range": 436,
    "openat2": 437,
    "pidfd_getfd": 438,
    "mount_setattr": 442,
}
_NUMBERS = {
    "x86_64": {
        **_COMMON,
        "capset": 126,
        "clock_nanosleep": 230,
        "clone": 56,
        "inotify_add_watch": 254,
        "inotify_init1": 294,
        "ioprio_set": 251,
        "keyctl": 250,
        "landlock_add_rule": 445,
        "landlock_create_ruleset": 444,
        "landlock_restrict_self": 446,
        "personality": 135,
        "pivot_root": 155,
        "prctl": 157,
        "renameat2": 316,
        "rt_sigaction": 13,
        "seccomp": 317,
        "setdomainname": 171,
        "setfsgid": 123,
        "setfsuid": 122,
        "setns": 308,
        "syncfs": 306,
        "timerfd_create": 283,
        "timerfd_settime": 286,
        "umount2": 166,
        "unshare": 272,
    },
    "aarch64": {
        **_COMMON,
        "capset": 91,
        "clock_nanosleep": 115,
        "clone": 220,
        "inotify_add_watch": 27,
        "inotify_init1": 26,
        "ioprio_set": 30,
        "keyctl": 219,
        "landlock_add_rule": 445,
        "landlock_create_ruleset": 444,
        "landlock_restrict_self": 446,
        "personality": 92,
        "pivot_root": 41,
        "prctl": 167,
        "renameat2": 276,
        "rt_sigaction": 134,
        "seccomp": 277,
        "setdomainname": 162,
        "setfsgid": 152,
        "setfsuid": 151,
        "setns": 268,
        "syncfs": 267,
        "timerfd_create": 85,
        "timerfd_settime": 86,
        "umount2": 39,
        "unshare": 97,
    },
}

MACHINE = os.uname().machine
"""The machine whose call numbers are used, as `uname -m` prints it."""

_numbers = _NUMBERS.get(MACHINE, {})
_libc = ctypes.CDLL(None, use_errno=True)


def _with_arguments(count: int) -> Callable[..., int]:
    function = _libc["syscall"]  # A function of its own each time, so each can declare its types once.
    function.restype = ctypes.c_long
    # c_void_p takes what our callers pass: int (also negative), bytes and None.
    function.argtypes = (ctypes.c_long,) + (ctypes.c_void_p,) * count
    return function


_syscall_of_arity = tuple(_with_arguments(count) for count in range(7))


class SyscallError(OSError):
    """A system call failed: `call` is its name, `purpose` what it was made for, `detail` what else the kernel said."""

    def __init__(self, call: str, purpose: str, errno: int, detail: str = "") -> None:
        super().__init__(errno, os.strerror(errno))
        self.call = call
        self.purpose = purpose
        self.detail = detail

    def __str__(self) -> str:
        number = self.errno or 0
        name = errno_names.errorcode.get(number, str(number))
        told = f": {self.detail}" if self.detail else ""
        return f"cannot {self.purpose}: {name} ({self.strerror}) from {self.call}{told}"

    def __reduce__(self) -> tuple[type["SyscallError"], tuple[str, str, int, str]]:
        return SyscallError, (self.call, self.purpose, self.errno or 0, self.detail)


def syscall(name: str, *args: int | bytes | None, purpose: str) -> int:
    """Make the system call `name` and return its result.

    Args:
        args: integers, `bytes` by address, None as the null pointer; as many as the kernel reads,
            for the registers of missing ones hold anything.
        purpose: finishes the sentence "cannot …" should the call fail.

    Raises:
        SyscallError: it failed, or (ENOSYS) this machine's number for it is not known.
    """
    number = _numbers.get(name)
    if number is None:
        raise SyscallError(name, purpose, errno_names.ENOSYS, f"no call number for {MACHINE}: runs on x86_64, aarch64")
    result = _syscall_of_arity[len(args)](number, *args)
    if result == -1:
        raise SyscallError(name, purpose, ctypes.get_errno())
    return result


def address_of(data: bytes) -> int:
    """Return where `data` lies in memory, for a structure that points to it. The caller keeps `data` alive."""
    return ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p).value or 0
