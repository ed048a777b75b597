"""What a command is executed by: itself, or what its `#!` line names, and so on. Looked at just before the exec.

Invariant: what leads to a link of /proc is refused, and so is what cannot be told. A run that swaps its files in the
moment between has the host's interpreter executed, with its own rights and no way to change it.
"""

import errno
import os
import stat

from controller.linux import libc, openat2
from controller.linux.openat2 import Resolve

_FIRST_LINE_BYTES = 256  # Source: include/uapi/linux/binfmts.h, BINPRM_BUF_SIZE.
_MOST_INTERPRETERS = 6  # One more than the kernel follows. Source: fs/exec.c, exec_binprm.
_LOOK = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY


def refuse_links_of_proc(path: str) -> None:
    """Have nothing executed by way of /proc/self/exe, until the exec the host's interpreter, or a link of that kind.

    Raises:
        OSError: it would be, by the script's #! line perhaps, or that cannot be told; or there is no such file.
    """
    interpreter = _interpreter_of(path)
    for _ in range(_MOST_INTERPRETERS):
        if interpreter is None:
            return
        try:
            interpreter = _interpreter_of(interpreter)
        except OSError as error:
            if error.errno not in (errno.ELOOP, errno.EPERM):
                return  # The kernel will say so of it.
            cause = f"its interpreter {interpreter} is a link of /proc, a circle, or cannot be read: name a program"
            raise OSError(errno.EPERM, cause) from error


def _interpreter_of(path: str) -> str | None:
    """Return what the file's #! line names, as the kernel reads it; None if there is none."""
    try:
        fd = openat2.open_in_root(libc.AT_FDCWD, path, _LOOK, resolve=Resolve.NO_MAGICLINKS)
    except OSError as error:
        if error.errno == errno.EACCES and _may_be_written_by_the_run(path):
            raise OSError(errno.EPERM, "it can be executed, but not read: chmod +r it") from error
        if error.errno in (errno.EACCES, errno.ENXIO):
            return None  # Nobody in the sandbox wrote it, or the kernel refuses to execute it.
        raise
    try:
        head = os.read(fd, _FIRST_LINE_BYTES) if stat.S_ISREG(os.fstat(fd).st_mode) else b""
    finally:
        os.close(fd)
    line = head.removeprefix(b"#!").partition(b"\n")[0].replace(b"\t", b" ").strip(b" ")
    name = line.partition(b" ")[0].partition(b"\0")[0]
    return os.fsdecode(name) if name and head.startswith(b"#!") else None


def _may_be_written_by_the_run(path: str) -> bool:
    """Whether it could be a script of its own: it can be executed, and is in no mount that is only read."""
    fd = openat2.open_in_root(libc.AT_FDCWD, path, os.O_PATH, resolve=Resolve.NO_MAGICLINKS)
    try:
        return os.access(path, os.X_OK) and not os.fstatvfs(fd).f_flag & os.ST_RDONLY
    finally:
        os.close(fd)
