"""What a command is executed by: itself, or what its `#!` line names, and so on. Looked at just before the exec.

Invariant: what leads to a link of /proc is refused, and so is what cannot be told. A run that swaps its files in the
moment between has the host's interpreter executed, with its own rights and no way to change it.
"""

import errno
import os
import stat

from controller.linux import libc, openat2
from controller.linux.libc import SyscallError
from controller.linux.openat2 import Resolve

_FIRST_LINE_BYTES = 256  # Source: include/uapi/linux/binfmts.h, BINPRM_BUF_SIZE.
_MOST_INTERPRETERS = 6  # One more than the kernel follows. Source: fs/exec.c, exec_binprm.
_MOST_LINKS = 40  # As the kernel follows. Source: include/linux/namei.h, MAXSYMLINKS.
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
        fd = _open(path, _LOOK)
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
    fd = _open(path, os.O_PATH)
    try:
        return os.access(path, os.X_OK) and not os.fstatvfs(fd).f_flag & os.ST_RDONLY
    finally:
        os.close(fd)


def _open(path: str, flags: int) -> int:
    try:
        return openat2.open_in_root(libc.AT_FDCWD, path, flags, resolve=Resolve.NO_MAGICLINKS)
    except SyscallError as error:
        if error.errno != errno.ENOSYS:
            raise
        return _walk(path, flags)  # The run's filter has none (`seccomp.program_for`, `sets_ids`).


def _walk(path: str, flags: int) -> int:
    """Do as the kernel would by NO_MAGICLINKS: follow all links but those of /proc."""
    links, proc = 0, os.stat("/proc").st_dev
    at = os.open("/" if path.startswith("/") else ".", os.O_PATH | os.O_CLOEXEC)
    try:
        left = [part for part in path.split("/") if part not in ("", ".")]
        while left:
            part = left.pop(0)
            into = os.open(part, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
            found = os.fstat(into)
            if stat.S_ISLNK(found.st_mode):
                os.close(into)
                links += 1
                if found.st_dev == proc or links > _MOST_LINKS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
                target = os.readlink(part, dir_fd=at)
                left[:0] = [each for each in target.split("/") if each not in ("", ".")]
                if not target.startswith("/"):
                    continue
                into = os.open("/", os.O_PATH | os.O_CLOEXEC)
            os.close(at)
            at = into
        return os.open(f"/proc/self/fd/{at}", flags | os.O_CLOEXEC)
    finally:
        os.close(at)
