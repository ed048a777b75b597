"""Whose rights this thread has with files, and whose what it makes is: those of a user and group that it is not.

Never here: who that is to be. Invariant: without the capabilities over files that the host's root has.
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from controller.linux import libc


@contextmanager
def acting_as(host_uid: int, host_gid: int) -> Iterator[None]:
    """Have what is done with files be done as that user and group; both are back afterwards.

    Raises:
        PermissionError: this process may not.

    Source: setfsuid(2), setfsgid(2): they answer what was before, and never fail; capabilities(7) on what a change of
        the user from 0 takes from the effective set, and gives back.
    """
    gid_before = _set("setfsgid", host_gid)
    try:
        uid_before = _set("setfsuid", host_uid)
        try:
            yield
        finally:
            libc.syscall("setfsuid", uid_before, purpose="be who it was with files")
    finally:
        libc.syscall("setfsgid", gid_before, purpose="be of the group it was of with files")


def _set(call: str, wanted: int) -> int:
    purpose = f"act as {wanted} with files"
    before = libc.syscall(call, wanted, purpose=purpose)
    if libc.syscall(call, wanted, purpose=purpose) != wanted:
        why = f"cannot {purpose}: {call} was refused: give the daemon CAP_SETUID and CAP_SETGID"
        raise PermissionError(errno.EPERM, why)
    return before
