"""A user namespace as a file descriptor, with its ids mapped. Who gets which ids is not decided here."""

import os
from dataclasses import dataclass

from controller.linux import libc, namespaces, process
from controller.linux.libc import SyscallError
from controller.linux.namespaces import LinuxNamespace

_READY = b"\0\0"
_ANSWER_BYTES = 64
_PR_SET_SECUREBITS = 28
_NO_SETUID_FIXUP = 4  # Source: include/uapi/linux/securebits.h.


@dataclass(frozen=True, slots=True)
class IdMap:
    """Users and groups `inside_base` and up inside, `count` of them, are `host_base` and up outside.

    Groups begin at `inside_groups` inside, where that is given.
    """

    host_base: int
    count: int = 65536
    inside_base: int = 0
    inside_groups: int | None = None
    host_owner: int | None = None
    """Whose the namespace is outside: what is counted by user there, for all in it together, counts as that one's."""


def create(id_map: IdMap) -> int:
    """Return a new user namespace with `id_map` as its users and groups. The caller closes it.

    A namespace is born with a process, so one is forked for it, which is gone when this returns.

    Raises:
        SyscallError: there may be no more user namespaces here (ENOSPC, EPERM).
        OSError: the map was refused: EPERM without CAP_SETUID and CAP_SETGID, EINVAL for ids that do not exist.
    """
    ready_read, ready_write = os.pipe2(os.O_CLOEXEC)
    stay_read, stay_write = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        _be_the_first_process(id_map.host_owner, ready_write, stay_read, (ready_read, stay_write))
    try:
        os.close(ready_write)
        os.close(stay_read)
        proc = f"/proc/{_pid_of_the_ready(os.read(ready_read, _ANSWER_BYTES))}"
        groups = id_map.inside_base if id_map.inside_groups is None else id_map.inside_groups
        rest = f"{id_map.host_base} {id_map.count}\n"
        _write(f"{proc}/gid_map", f"{groups} {rest}".encode())
        _write(f"{proc}/uid_map", f"{id_map.inside_base} {rest}".encode())
        return os.open(f"{proc}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(ready_read)
        os.close(stay_write)  # Its end of file is what the child waits for.
        os.waitpid(pid, 0)


def _be_the_first_process(owner: int | None, ready: int, stay: int, others: tuple[int, int]) -> None:
    """Hold the new namespace until the parent has opened it. Never returns."""
    try:
        for fd in others:
            os.close(fd)
        answer = _READY + str(process.host_pid()).encode()  # Which is not what fork said in a pid namespace.
        try:
            if owner is not None:
                _become(owner)
            namespaces.unshare(LinuxNamespace.USER)
        except SyscallError as error:
            answer = (error.errno or 0).to_bytes(2, "little")
        os.write(ready, answer)
        os.read(stay, 1)
    finally:
        os._exit(0)


def _become(owner: int) -> None:
    """Be `owner`, with the capabilities that there were: making a namespace may take one."""
    libc.syscall("prctl", _PR_SET_SECUREBITS, _NO_SETUID_FIXUP, 0, 0, 0, purpose="keep capabilities over setuid")
    os.seteuid(owner)
    process.set_dumpable(True)  # For the parent, which is to open what is in /proc of this process.


def _pid_of_the_ready(answer: bytes) -> int:
    """Return its pid as /proc counts."""
    if not answer.startswith(_READY) or answer == _READY:
        raise SyscallError("unshare", "make a user namespace", int.from_bytes(answer[: len(_READY)], "little"))
    return int(answer[len(_READY) :])


def _write(path: str, text: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text)
    finally:
        os.close(fd)
