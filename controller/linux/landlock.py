"""Landlock: a process' promise, kept by the kernel, to write, make and control files only where it said.

Here: rulesets as descriptors, their rules, and taking one on for good. Which places those are is the sandbox's to say.
What this kernel does not know (an older ABI) is left out of what is handled, and `Ruleset.abi` says so.
Source: Documentation/userspace-api/landlock.rst, Linux 6.18; landlock(7).
"""

import errno
import fcntl
import os
from dataclasses import dataclass
from enum import IntFlag
from functools import cache
from struct import Struct

from controller.linux import libc
from controller.linux.libc import SyscallError

_VERSION_FLAG = 1
_PATH_BENEATH = 1
_RULESET = Struct("QQQ")  # struct landlock_ruleset_attr: files, network, scopes.
_BENEATH = Struct("=Qi")  # struct landlock_path_beneath_attr, packed: access, parent.
_FILES_BYTES = 8  # The first field, which is all that every version takes.
_SCOPES_ABI = 6
IOCTL_ABI = 5
"""Since then, control of devices is refused too."""
_TCGETS = 0x5401
_ABSENT = (errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM)  # Not built in; turned off at boot; forbidden to this process.


class Access(IntFlag):
    """What can be allowed below a place, with the kernel's names (LANDLOCK_ACCESS_FS_…). Reading is never handled."""

    WRITE_FILE = 1 << 1
    REMOVE_DIR = 1 << 4
    REMOVE_FILE = 1 << 5
    MAKE_CHAR = 1 << 6
    MAKE_DIR = 1 << 7
    MAKE_REG = 1 << 8
    MAKE_SOCK = 1 << 9
    MAKE_FIFO = 1 << 10
    MAKE_BLOCK = 1 << 11
    MAKE_SYM = 1 << 12
    REFER = 1 << 13
    TRUNCATE = 1 << 14
    IOCTL_DEV = 1 << 15


class Scope(IntFlag):
    """What does not leave those who promised together (LANDLOCK_SCOPE_…)."""

    ABSTRACT_UNIX_SOCKET = 1
    SIGNAL = 2


_SINCE = {Access.REFER: 2, Access.TRUNCATE: 3, Access.IOCTL_DEV: IOCTL_ABI}
_OF_FILES = int(Access.WRITE_FILE | Access.TRUNCATE | Access.IOCTL_DEV)
_OF_ANYTHING = -1


@dataclass(frozen=True, slots=True)
class Ruleset:
    """Rules in the making. Whoever made it closes it."""

    fd: int
    handled: Access
    abi: int

    def allow(self, place_fd: int, access: Access, *, directory: bool = True) -> None:
        """Allow `access` below the directory, or to the file, that `place_fd` (O_PATH will do) is open on.

        Raises:
            SyscallError: the kernel refused.
        """
        # Of integers: of flags it takes ten times as long.
        allowed = int(access) & int(self.handled) & (_OF_ANYTHING if directory else _OF_FILES)
        if allowed:
            rule = _BENEATH.pack(allowed, place_fd)
            libc.syscall("landlock_add_rule", self.fd, _PATH_BENEATH, rule, 0, purpose="allow writing somewhere")

    def close(self) -> None:
        """Let go of it."""
        os.close(self.fd)


def abi() -> int:
    """Return the version of Landlock that this kernel has for this process; 0 for none.

    >>> abi() >= 0
    True
    """
    try:
        return libc.syscall("landlock_create_ruleset", None, 0, _VERSION_FLAG, purpose="ask for Landlock")
    except SyscallError as error:
        if error.errno in _ABSENT:
            return 0
        raise


def create() -> Ruleset | None:
    """Return rules that allow nothing of `Access` anywhere, so far; None if this kernel has no Landlock.

    Raises:
        SyscallError: the kernel refused.
    """
    version = abi()
    if version == 0:
        return None
    handled = _handled(version)
    return Ruleset(_create(_RULESET.pack(handled, 0, 0)[:_FILES_BYTES]), handled, version)


@cache
def _handled(version: int) -> Access:
    return Access(sum(one for one in Access if _SINCE.get(one, 1) <= version))


def keep_to_itself(scopes: Scope) -> bool:
    """Have this process, and all that it starts, reach nobody else by `scopes`, for good; False before Linux 6.12.

    Others may still reach it.

    Raises:
        SyscallError: EPERM without no_new_privs; E2BIG below 16 other rulesets.
    """
    if abi() < _SCOPES_ABI:
        return False
    fd = _create(_RULESET.pack(0, 0, int(scopes)))
    try:
        restrict(fd)
    finally:
        os.close(fd)
    return True


def _create(request: bytes) -> int:
    return libc.syscall("landlock_create_ruleset", request, len(request), 0, purpose="make a Landlock ruleset")


def restrict(ruleset_fd: int) -> None:
    """Hold this process, and all that it starts, to the rules, for good.

    Raises:
        SyscallError: EPERM without no_new_privs; E2BIG below 16 others.
    """
    libc.syscall("landlock_restrict_self", ruleset_fd, 0, purpose="be held to a Landlock ruleset")


def refuses_control_of(device: str) -> bool:
    """Try to control a device that is no terminal: say whether that is forbidden, and not just of no meaning.

    Raises:
        OSError: there is no such device.
    """
    fd = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.ioctl(fd, _TCGETS, bytes(64))
    except OSError as error:
        return error.errno == errno.EACCES
    finally:
        os.close(fd)
    return False
