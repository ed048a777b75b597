"""Running a piece of a test in a forked child, where it may change namespaces, rights and filters for good."""

import os
import pickle
import traceback
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def in_child(body: Callable[[], T]) -> T:
    """Return what `body` returned in a child of its own, or fail with its traceback."""
    answer_read, answer_write = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        _answer(answer_write, body)
    os.close(answer_write)
    with os.fdopen(answer_read, "rb") as stream:
        answer = stream.read()
    _, status = os.waitpid(pid, 0)
    assert answer, f"the child ended without an answer, wait status {status}"
    worked, result = pickle.loads(answer)
    assert worked, f"in the child:\n{result}"
    return result


def _answer(fd: int, body: Callable[[], object]) -> None:
    try:
        try:
            answer = (True, body())
        except BaseException:  # noqa: BLE001 - the parent raises it
            answer = (False, traceback.format_exc())
        with os.fdopen(fd, "wb") as stream:
            stream.write(pickle.dumps(answer))
    finally:
        os._exit(0)


def wait_status_of(body: Callable[[], object]) -> int:
    """Return the exit code of a child that runs `body`, negative for the signal that ended it; 70 if `body` raised."""
    pid = os.fork()
    if pid == 0:
        try:
            body()
            os._exit(0)
        finally:
            os._exit(70)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def in_own_mounts(body: Callable[[], T]) -> T:
    """Return what `body` returned in a child with a private mount namespace."""

    def isolated() -> T:
        from controller.linux import mount_api, namespaces

        namespaces.unshare(namespaces.LinuxNamespace.MOUNT)
        mount_api.make_private()
        return body()

    return in_child(isolated)
