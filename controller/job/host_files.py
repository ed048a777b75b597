"""Files and directories of the host that a run gets copies of: `spec.files[].hostPath`, where the policy allows it.

They are copied when a run is started, once and whole, into its own directory, from where the supervisor takes them as
it takes uploads. Nobody looks at the host's files later, so who changes them changes no run. All of them are looked at
before the first is copied: what cannot be given costs the disk nothing, however often it is tried.
What is below a directory that the policy names may be anybody's. So the kernel walks every path from that directory's
descriptor: no link leads out of it, no magic link is followed, no mount entered. What is found is looked at before it
is opened: a device, a socket or a fifo never is. File systems that are the kernel's own words have no files here.
Invariants: nothing is read that is not below a directory that the policy gives the namespace. What is copied is bounded
by the room that there is for it, whatever grows meanwhile.
"""

import errno
import json
import os
import shutil
import stat
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from api.types.job_file import JobFile
from controller.job.policy import host_directory
from controller.linux import mountinfo, openat2
from controller.linux.openat2 import Resolve
from controller.sandbox.spec import GivenFile

MOST_ENTRIES = 10_000
_MOST_LEVELS = 100
_INDEX = "host-files.json"
_FIX = "have it put there, or name another"
_BELOW = Resolve.BENEATH | Resolve.NO_MAGICLINKS | Resolve.NO_XDEV
_PIECE_BYTES = 1 << 20
_MOST_TRIES = 3
_MOST_COPIES = 2  # Large ones at the same time: they take what the disk gives, and whoever reconciles other jobs.
_LARGE_BYTES = 16 << 20
_LARGE_ENTRIES = 1000
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_TYPES = {
    stat.S_IFIFO: "a fifo", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device",
    stat.S_IFLNK: "a link",
}  # fmt: skip
_NO_FILES = frozenset((
    "proc", "sysfs", "devtmpfs", "devpts", "cgroup", "cgroup2", "debugfs", "tracefs", "securityfs", "configfs",
    "bpf", "efivarfs", "pstore", "mqueue", "fusectl", "binfmt_misc", "autofs", "selinuxfs", "nsfs", "rpc_pipefs",
))  # fmt: skip


class CannotCopy(Exception):
    """A file of the host cannot be given to the run; the message says why and what to do."""


class CannotCopyNow(Exception):
    """It could be given, and may be soon, without anybody changing the file: the message says what it waits for."""


@dataclass(frozen=True, slots=True)
class Copied:
    """What of the host a run is given: directories and links to be staged, and the files that were copied."""

    staged: tuple[JobFile, ...] = ()
    given: tuple[GivenFile, ...] = ()


class HostFiles:
    """The host's files, as far as the policy gives them to jobs."""

    def __init__(self, allowed: Mapping[str, tuple[str, ...]], boot_id: str, minimum_free: int) -> None:
        """`allowed` names directories by namespace; so many bytes of the disk are left free."""
        self._allowed = allowed
        self._boot_id = boot_id
        self._minimum_free = minimum_free
        self._copies = threading.BoundedSemaphore(_MOST_COPIES)

    def copy(self, namespace: str, files: Iterable[JobFile], run_dir: Path, target: Path, room_bytes: int) -> Copied:
        """Copy what `files` name of the host into the directory `target`, of so many bytes together at most.

        What was copied for this run, in this boot of the host, is not copied again.

        Raises:
            CannotCopy: it is not allowed, not there, no file, or too large.
            CannotCopyNow: the disk is too full, or as many others are being copied as may be.
            OSError: the disk refuses.
        """
        wanted = [(_field(index), file) for index, file in enumerate(files) if file.host_path is not None]
        if not wanted:
            return Copied()
        index = run_dir / _INDEX
        if (before := _read(index, self._boot_id)) is not None:
            return before
        target.mkdir(mode=0o700, exist_ok=True)
        _clear(target)
        looking = _Looking(room_bytes)
        self._take(looking, namespace, wanted)
        with self._allowed_to_copy(looking, target) as free_bytes:
            copying = _Copying(room_bytes, target, free_bytes)
            try:
                self._take(copying, namespace, wanted)
            except BaseException:
                _clear(target)
                raise
        _write(index, self._boot_id, copying)
        return Copied(tuple(copying.staged), tuple(copying.given))

    def problem(self, namespace: str, files: Iterable[JobFile]) -> str:
        """Return why what `files` name of the host cannot be copied, as far as a look at it tells; empty if it can."""
        for index, path in ((index, file.host_path) for index, file in enumerate(files) if file.host_path is not None):
            try:
                with self._opened(namespace, path) as fd:
                    _refuse_what_is_no_file(fd, path)
            except (CannotCopy, OSError) as error:
                return f"{_field(index)}: cannot copy {error}"
        return ""

    def _take(self, looking: "_Looking", namespace: str, wanted: Iterable[tuple[str, JobFile]]) -> None:
        for field, file in wanted:
            path = str(file.host_path)
            try:
                with self._opened(namespace, path) as fd:
                    looking.take(fd, file, path)
            except CannotCopy as error:
                raise CannotCopy(f"{field}: cannot copy {error}") from error

    @contextmanager
    def _allowed_to_copy(self, looked: "_Looking", target: Path) -> Iterator[int]:
        """Let few large copies be made at a time, if the disk has room for it; yield how much it has."""
        disk = shutil.disk_usage(target)
        free = max(0, disk.free - self._minimum_free)
        ever = max(0, disk.total - self._minimum_free)
        if looked.size > ever:
            why = f"{looked.size} bytes of the host's files: its disk has room for {ever}"
            raise CannotCopy(f"{why}: use a volume of the type hostPath")
        _refuse_beyond(looked.size, free)
        if looked.size < _LARGE_BYTES and looked.count < _LARGE_ENTRIES:
            yield free
            return
        if not self._copies.acquire(blocking=False):
            why = f"cannot copy the host's files: {_MOST_COPIES} other runs' are being copied"
            raise CannotCopyNow(f"{why}: it is tried again when that is done")
        try:
            yield free
        finally:
            self._copies.release()

    @contextmanager
    def _opened(self, namespace: str, path: str) -> Iterator[int]:
        """Open what is at a path of the host, which is not to be read through this. Raises CannotCopy."""
        within = host_directory(self._allowed, namespace, path)
        if not within:
            fix = f"upload it (rnx job run --upload), or add its directory to policy.host_files.{namespace}"
            why = f"the setting policy.host_files does not give it to the namespace {namespace}"
            raise CannotCopy(f"{path}: {why}: {fix}")
        try:
            root_fd = os.open(within, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise CannotCopy(f"{path}: {within} of policy.host_files: {error.strerror}: make it") from error
        try:
            _refuse_words_of_the_kernel(root_fd, within)
            below = path[len(within) :].strip("/") or "."
            with _found(root_fd, below, path) as fd:
                yield fd
        finally:
            os.close(root_fd)


class _Looking:
    """A walk through all that one run is to have: what it is, how many, and how large together."""

    def __init__(self, room_bytes: int) -> None:
        self.staged: list[JobFile] = []
        self.given: list[GivenFile] = []
        self.size = 0
        self._room_bytes = room_bytes

    @property
    def count(self) -> int:
        """How many files, directories and links it is so far."""
        return len(self.staged) + len(self.given)

    def take(self, fd: int, file: JobFile, path: str) -> None:
        """Take what a file of the job names, which is open as a path."""
        mode = os.fstat(fd).st_mode
        if stat.S_ISDIR(mode):
            self._directory(fd, file.path, path)
        else:
            wanted = file.mode if "mode" in file.model_fields_set else stat.S_IMODE(mode) & 0o777
            self._file(fd, file.path, path, wanted)

    def _directory(self, fd: int, inside: str, path: str) -> None:
        if inside.count("/") > _MOST_LEVELS:
            raise CannotCopy(f"{_shown(path)}: it is more than {_MOST_LEVELS} levels deep: move it up")
        mode = stat.S_IMODE(os.fstat(fd).st_mode) & 0o777
        self._stage(path, path=inside, directory=True, mode=mode)
        for name in _names_in(fd):
            below, there = f"{inside}/{name}", f"{path}/{name}"
            with _found(fd, name, there, os.O_NOFOLLOW) as each:
                kind = os.fstat(each).st_mode
                if stat.S_ISDIR(kind):
                    self._directory(each, below, there)
                elif stat.S_ISLNK(kind):
                    self._stage(there, path=below, link=os.readlink("", dir_fd=each))
                else:
                    self._stage_nothing(there, below)
                    self._file(each, below, there, stat.S_IMODE(kind) & 0o777)

    def _file(self, path_fd: int, inside: str, path: str, mode: int) -> None:
        _refuse_what_is_no_file(path_fd, path, or_directory=False)
        self._count(path)
        name = f"host-{len(self.given)}"
        self.size += self._taken(path_fd, name, path)
        self._refuse_too_much(self.size, path)
        self.given.append(GivenFile(name, inside, mode))

    def _taken(self, path_fd: int, _name: str, _path: str) -> int:
        """Return how large a file is."""
        return os.fstat(path_fd).st_size

    def _refuse_too_much(self, size: int, path: str) -> None:
        if size > self._room_bytes:
            fix = "set spec.resources.limits.ephemeral-storage higher, or use a volume of the type hostPath"
            raise CannotCopy(f"{_shown(path)}: there is room for {self._room_bytes} bytes of the host's files: {fix}")

    def _stage(self, there: str, **fields: object) -> None:
        self._count(there)
        try:
            self.staged.append(JobFile.model_validate(fields))
        except ValidationError as error:
            raise CannotCopy(
                f"{_shown(there)}: it {error.errors()[0]['msg']}: leave it out of the directory"
            ) from error

    def _stage_nothing(self, there: str, inside: str) -> None:
        """Refuse a path that no file of a job may have."""
        try:
            JobFile(path=inside, text="")
            inside.encode()
        except ValueError as error:
            raise CannotCopy(f"{_shown(there)}: no file of a job can be called so: rename it") from error

    def _count(self, path: str) -> None:
        if self.count >= MOST_ENTRIES:
            raise CannotCopy(
                f"{_shown(path)}: more than {MOST_ENTRIES} files are to be copied: use a volume of type hostPath"
            )


class _Copying(_Looking):
    """One run's copies while they are made."""

    def __init__(self, room_bytes: int, target: Path, free_bytes: int) -> None:
        super().__init__(room_bytes)
        self._target = target
        self._free_bytes = free_bytes

    def _refuse_too_much(self, size: int, path: str) -> None:
        super()._refuse_too_much(size, path)
        _refuse_beyond(size, self._free_bytes)

    def _taken(self, path_fd: int, name: str, path: str) -> int:
        """Copy a file, and return its size."""
        # The same inode, which is a regular file: no name is looked up again.
        source = os.open(f"/proc/self/fd/{path_fd}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            return self._copied(source, self._target / name, path)
        finally:
            os.close(source)

    def _copied(self, source: int, target: Path, path: str) -> int:
        """Copy a file that nobody changes meanwhile, and return its size."""
        for _ in range(_MOST_TRIES):
            before = os.fstat(source)
            target.unlink(missing_ok=True)
            fd = os.open(target, _NEW, 0o400)
            try:
                size = self._content(source, fd, path)
            finally:
                os.close(fd)
            after = os.fstat(source)
            if (before.st_size, before.st_mtime_ns, before.st_ctime_ns) == (
                size,
                after.st_mtime_ns,
                after.st_ctime_ns,
            ):
                return size
        raise CannotCopy(f"{_shown(path)}: it changes while it is read: copy it aside, and rename it when it is whole")

    def _content(self, source: int, target: int, path: str) -> int:
        at = 0
        while piece := os.pread(source, _PIECE_BYTES, at):
            at += len(piece)
            self._refuse_too_much(self.size + at, path)
            _write_all(target, piece)
        return at


@contextmanager
def _found(fd: int, below: str, path: str, flags: int = 0) -> Iterator[int]:
    """Open what is at `below`, which is not to be read through this. Raises CannotCopy if it is not there."""
    try:
        found = openat2.open_in_root(fd, below, os.O_PATH | flags, resolve=_BELOW)
    except (OSError, ValueError) as error:
        raise CannotCopy(f"{_shown(path)}: {_told(error)}") from error
    try:
        yield found
    finally:
        os.close(found)


def _refuse_what_is_no_file(fd: int, path: str, *, or_directory: bool = True) -> None:
    kind = stat.S_IFMT(os.fstat(fd).st_mode)
    if kind != stat.S_IFREG and not (or_directory and kind == stat.S_IFDIR):
        raise CannotCopy(f"{_shown(path)}: it is {_TYPES.get(kind, 'no file')}: name a file or a directory")


def _shown(path: str) -> str:
    return path if path.isprintable() else ascii(path)


def _told(error: OSError | ValueError) -> str:
    if not isinstance(error, OSError):
        return "it has no name that can be written: rename it"
    led_out = "a link or a mount leads out of the directory that policy.host_files names: name another there"
    said = f"{error.strerror or error}: {_FIX}"
    return {errno.EXDEV: led_out, errno.ELOOP: led_out}.get(error.errno or 0, said)


def _field(index: int) -> str:
    return f"spec.files[{index}].hostPath"


def _refuse_beyond(size: int, free: int) -> None:
    if size > free:
        why = f"they are {size} bytes, and the host's disk has {free} left for them"
        raise CannotCopyNow(f"cannot copy the host's files: {why}: make room on it")


def _clear(target: Path) -> None:
    """Remove what was copied, of which not all was."""
    for left in target.glob("host-*"):
        left.unlink()


def _names_in(path_fd: int) -> list[str]:
    fd = os.open(f"/proc/self/fd/{path_fd}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        names = []
        with os.scandir(fd) as entries:
            for entry in entries:
                names.append(entry.name)
                if len(names) > MOST_ENTRIES:
                    break
        return sorted(names)
    finally:
        os.close(fd)


def _refuse_words_of_the_kernel(fd: int, within: str) -> None:
    """Refuse a directory of a file system that is no place for files: no mount below is entered."""
    device = os.fstat(fd).st_dev
    name = f"{os.major(device)}:{os.minor(device)}"
    with open("/proc/self/mountinfo", "rb") as file:
        mounts = mountinfo.parse(mountinfo.decode(file.read()))
    kinds = {mount.filesystem for mount in mounts if mount.device == name}
    if kinds & _NO_FILES:
        raise CannotCopy(f"{within}: it is no place for files, but {min(kinds)}: take it out of policy.host_files")


def _write_all(fd: int, piece: bytes) -> None:
    left = memoryview(piece)
    while left:
        left = left[os.write(fd, left) :]


def _read(index: Path, boot_id: str) -> Copied | None:
    """Return what was copied already; None if nothing was, or another boot's, whose bytes may not be on the disk."""
    try:
        said = json.loads(index.read_text())
    except FileNotFoundError:
        return None
    if said["boot"] != boot_id:
        return None
    staged = tuple(JobFile.model_validate(file) for file in said["staged"])
    return Copied(staged, tuple(GivenFile(*file) for file in said["given"]))


def _write(index: Path, boot_id: str, copying: _Copying) -> None:
    staged = [file.model_dump(mode="json", by_alias=True, exclude_unset=True) for file in copying.staged]
    given = [(file.source, file.path, file.mode) for file in copying.given]
    aside = index.with_name(f"{_INDEX}.new")
    aside.write_text(json.dumps({"boot": boot_id, "staged": staged, "given": given}))
    aside.rename(index)
