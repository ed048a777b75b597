"""The kernel's key retention service, of which we want one thing: that nobody's keys are inherited.

Source: keyctl(2), session-keyring(7).
"""

import errno

from controller.linux import libc
from controller.linux.libc import SyscallError

_JOIN_SESSION_KEYRING = 1


def begin_session() -> bool:
    """Leave the session keyring this process was born with for a new, empty one; False where it cannot use keys.

    That is on a kernel without them, and under a filter that forbids them (in some containers), which holds for all
    that this process starts as well.

    Raises:
        SyscallError: EDQUOT if this user has as many keys as it may.
    """
    try:
        libc.syscall("keyctl", _JOIN_SESSION_KEYRING, None, purpose="begin a session without keys")
    except SyscallError as error:
        if error.errno in (errno.ENOSYS, errno.EPERM):
            return False
        raise
    return True
