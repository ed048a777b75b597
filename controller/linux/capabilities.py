"""The kernel's capabilities, and dropping them. Which ones a run keeps is the sandbox's to say."""

from enum import IntEnum
from struct import Struct

from controller.linux import libc
from controller.linux.libc import SyscallError

_PR_CAPBSET_READ = 23
_PR_CAPBSET_DROP = 24
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4
_HEADER = Struct("Ii").pack(0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3, this thread.
_SETS = Struct("IIIIII")  # effective, permitted, inheritable: the low halves, then the high ones.


class Capability(IntEnum):
    """Every capability of Linux 5.9 and later. Source: include/uapi/linux/capability.h."""

    CHOWN = 0
    DAC_OVERRIDE = 1
    DAC_READ_SEARCH = 2
    FOWNER = 3
    FSETID = 4
    KILL = 5
    SETGID = 6
    SETUID = 7
    SETPCAP = 8
    LINUX_IMMUTABLE = 9
    NET_BIND_SERVICE = 10
    NET_BROADCAST = 11
    NET_ADMIN = 12
    NET_RAW = 13
    IPC_LOCK = 14
    IPC_OWNER = 15
    SYS_MODULE = 16
    SYS_RAWIO = 17
    SYS_CHROOT = 18
    SYS_PTRACE = 19
    SYS_PACCT = 20
    SYS_ADMIN = 21
    SYS_BOOT = 22
    SYS_NICE = 23
    SYS_RESOURCE = 24
    SYS_TIME = 25
    SYS_TTY_CONFIG = 26
    MKNOD = 27
    LEASE = 28
    AUDIT_WRITE = 29
    AUDIT_CONTROL = 30
    SETFCAP = 31
    MAC_OVERRIDE = 32
    MAC_ADMIN = 33
    SYSLOG = 34
    WAKE_ALARM = 35
    BLOCK_SUSPEND = 36
    AUDIT_READ = 37
    PERFMON = 38
    BPF = 39
    CHECKPOINT_RESTORE = 40


def drop_all_except(keep: frozenset[Capability], *, bounded: bool = False) -> None:
    """Leave this thread only the capabilities `keep`, in every set, so that no exec brings others back.

    The ambient and the inheritable set end empty, and the others as `keep`. (Inheritable ones would be given to
    programs whose files say so: CVE-2022-24769.)

    Args:
        bounded: `bound(keep)` was called before.

    Raises:
        SyscallError: EPERM without SETPCAP, or if `keep` has one that the thread does not have.
    """
    libc.syscall("prctl", _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0, purpose="drop capabilities")
    if not bounded:
        bound(keep)
    mask = _mask(keep)
    low, high = mask & 0xFFFFFFFF, mask >> 32
    libc.syscall("capset", _HEADER, _SETS.pack(low, low, 0, high, high, 0), purpose="drop capabilities")


def bound(keep: frozenset[Capability]) -> None:
    """Have no exec bring back capabilities but `keep`. Until then, this thread keeps those it has.

    Raises:
        SyscallError: EPERM without SETPCAP.
    """
    mask = _mask(keep)
    for number in range(_LAST + 1):
        if not mask >> number & 1:
            libc.syscall("prctl", _PR_CAPBSET_DROP, number, 0, 0, 0, purpose="bound capabilities")


def _mask(keep: frozenset[Capability]) -> int:
    return sum(1 << capability for capability in keep)


def last_capability() -> int:
    """Return the highest capability this kernel knows, without needing /proc.

    >>> last_capability() >= Capability.CHECKPOINT_RESTORE
    True
    """
    return _LAST


def _find_last() -> int:
    number = Capability.CHECKPOINT_RESTORE.value
    while _known(number + 1):
        number += 1
    return number


def _known(number: int) -> bool:
    try:
        libc.syscall("prctl", _PR_CAPBSET_READ, number, 0, 0, 0, purpose=f"ask for capability {number}")
    except SyscallError:  # EINVAL, the only error it has: beyond the last.
        return False
    return True


# Asked for once, on import: in a freshly forked child each first step costs a page fault, an exception dozens.
_LAST = _find_last()
