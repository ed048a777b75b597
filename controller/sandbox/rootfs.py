"""Finding and making places inside a root whose content somebody else wrote.

What is made in a mount that shows its files as a run's own, as a volume's, belongs to whom the directory belongs to
that it is made in, and is made with that one's rights: the host's root owns nothing there.
Invariant: every path is walked by the kernel as if the root were `/`, so that no symbolic link and no `..` leads out.
"""

import errno
import os
import stat
from collections.abc import Callable

from controller.linux import file_owner, openat2
from controller.linux.libc import SyscallError

_OURS = ("/proc/", "/dev/")
_SCRATCH = ("/tmp", "/work")


def open_place(root_fd: int, path: str) -> int:
    """Open whatever is at `path`, to mount on it or to look at it. The caller closes it.

    Raises:
        SyscallError: ENOENT and open(2)'s other errors.
    """
    return openat2.open_in_root(root_fd, path, os.O_PATH)


def open_directory(root_fd: int, path: str, mode: int = 0o755) -> int:
    """Open the directory at `path`, made with those above it where it is missing. The caller closes it.

    Raises:
        OSError: it cannot be made: EROFS in a read-only mount without it, ENOTDIR, ELOOP, EEXIST for a dangling link.
    """
    try:
        return openat2.open_in_root(root_fd, path, os.O_PATH | os.O_DIRECTORY)
    except SyscallError as error:
        if error.errno != errno.ENOENT:
            raise
    parent, name = _split(path)
    parent_fd = open_directory(root_fd, parent)
    try:
        with _explained(path):
            _as_owner_if_need_be(parent_fd, lambda: os.mkdir(name, mode, dir_fd=parent_fd))
        return os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent_fd)
    finally:
        os.close(parent_fd)


def make_mount_point(parent_fd: int, name: str, path: str, *, directory: bool) -> bool:
    """Make an empty directory or file to mount on; False if there is something of that name.

    Args:
        path: all of where it is, to name in errors.

    Raises:
        OSError: EROFS in a read-only mount without it.
    """
    try:
        with _explained(path):
            if directory:
                _as_owner_if_need_be(parent_fd, lambda: os.mkdir(name, 0o755, dir_fd=parent_fd))
            else:
                _as_owner_if_need_be(parent_fd, lambda: os.mknod(name, stat.S_IFREG | 0o644, dir_fd=parent_fd))
    except FileExistsError:
        return False
    return True


def refuse_what_is_ours(place_fd: int, path: str, *, is_parent: bool = False) -> None:
    """See that what `path` led to is not in /proc or /dev, nor /tmp or /work themselves, unless `path` says so.

    Links of a tree lead there: then what somebody else wrote would cover what each run has of its own.

    Raises:
        PermissionError: it is.
    """
    if f"{path}/".startswith(_OURS):
        return
    where = os.readlink(f"/proc/self/fd/{place_fd}")
    if f"{where}/".startswith(_OURS) or (not is_parent and where != path and where in _SCRATCH):
        raise PermissionError(errno.EPERM, f"a link on the way to {path} leads to {where}, which is each run's own")


def is_directory(fd: int) -> bool:
    """Say whether `fd` is open on a directory."""
    return stat.S_ISDIR(os.fstat(fd).st_mode)


def _as_owner_if_need_be(parent_fd: int, make: Callable[[], None]) -> None:
    """Make something in a directory: as the host's root, or, where that is nobody, as the directory's owner.

    Source: fsuidgid_has_mapping() in include/linux/fs.h: EOVERFLOW is said before anything is looked at or made.
    """
    try:
        make()
    except OSError as error:
        if error.errno != errno.EOVERFLOW:
            raise
        owner = os.fstat(parent_fd)
        with file_owner.acting_as(owner.st_uid, owner.st_gid):
            make()


class _explained:  # noqa: N801 - reads as a word where it is used
    """Say in words what an error means here, which the kernel's do not."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError) and error.errno == errno.EROFS:
            cause = f"cannot make {self._path}: it lies in a read-only mount that lacks it: add it to what is mounted"
            raise OSError(errno.EROFS, cause) from error
        if isinstance(error, OSError) and error.errno != errno.EEXIST:
            raise OSError(error.errno, f"cannot make {self._path}: {error.strerror}") from error


def _split(path: str) -> tuple[str, str]:
    parent, _, name = path.rpartition("/")
    return parent or "/", name
