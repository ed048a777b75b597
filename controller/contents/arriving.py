"""Contents on their way in: received piece by piece, gone on with after a break, verified, and then kept.

Each has a name that its sender chose, or the digest that it is to have. What came of it lies at
`ROOT/arriving/BOOT/NAMESPACE/SENDER/NAME`, SENDER being of that user alone; once it is whole, `NAME.done` says for
a while what its digest was, for who was cut off before the answer.
Who is killed while he keeps it leaves a second name of what is kept: that is never written to, but goes.
Invariants: one request at a time writes to it, and only to a file that has no other name. No byte of it is of another
boot: what was not on the disk when power was lost is not taken for what was sent.
"""

import contextlib
import hashlib
import os
import shutil
import threading
import uuid
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Self

from api.errors import Conflict, Forbidden, Invalid, ServiceUnavailable, TooLarge, TooManyRequests
from api.file_ports import UploadState
from api.upload_packs import Content
from controller.contents.store import PREFIX, Contents, Whole
from controller.contents.taking_in import Buffer, TakingIn
from controller.engine.clock import Clock

_DONE = ".done"
_PACKED = "packed"
_MOST_AT_ONCE_OF_ONE = 32  # Begun and not finished, of one user in one namespace.


class Arriving:
    """What is on its way into `contents`."""

    def __init__(self, contents: Contents, clock: Clock, boot_id: str) -> None:
        """Receive below the directory of `contents`, in this boot of the host."""
        self._contents = contents
        self._clock = clock
        self._top = contents.root / "arriving"
        self._root = self._top / boot_id
        self._lock = threading.Lock()
        self._held: dict[Path, int] = {}  # What requests write to now, and how large each is to be.

    def present(self, namespace: str, digest: str) -> int | None:
        """Return how large a content is that the namespace has handed in; None if it has not."""
        return self._contents.size(namespace, digest)

    def state(self, namespace: str, sender: str, name: str) -> UploadState | None:
        """Return how far an upload is; None if nothing of it came, or all that came was forgotten since."""
        path = self._path(namespace, sender, name)
        with contextlib.suppress(FileNotFoundError):
            if (found := path.stat()).st_nlink == 1 or path in self._held:
                return UploadState(found.st_size, "")
        with contextlib.suppress(FileNotFoundError):
            digest = path.with_name(name + _DONE).read_text()
            size = self._contents.size(namespace, digest)
            return None if size is None else UploadState(size, digest)
        return None

    def begin(self, namespace: str, sender: str, name: str, offset: int | None, total: int) -> "Receiving":
        """Go on with an upload of `total` bytes at `offset`, or where it is; or begin it at 0. Leave what is returned.

        Raises:
            Conflict: it is not so far, or is written to by another request.
            TooLarge, Forbidden, ServiceUnavailable, TooManyRequests: there is no room for it.
        """
        path = self._path(namespace, sender, name)
        with self._lock:
            if path in self._held:
                raise Conflict(f'cannot go on with upload "{name}": another request writes to it: wait for that')
            self._check_size(total)
            self._check_count(path)
            self._check_room(namespace, path, total)
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            fd = _opened(path)
            try:
                receiving = Receiving(self, namespace, name, path, fd, self._start_of(fd, offset, total), total)
            except BaseException:
                os.close(fd)
                raise
            self._held[path] = total
        return receiving

    def take(self, namespace: str, contents: Sequence[Content]) -> None:
        """Keep contents that came whole, all or none of them.

        They are written, all of them begin to go to the disk, and then each is waited for: one commit of a journal
        makes many of them durable, where it was one or more for each.

        Raises:
            Invalid: one of them has another digest than it is said to have.
            TooLarge, Forbidden, ServiceUnavailable: there is no room for them.
        """
        for number, content in enumerate(contents):
            digest = PREFIX + hashlib.sha256(content.body).hexdigest()
            if digest != content.digest:
                raise Invalid(f"cannot keep content {number} of the pack: it is {digest}, not {content.digest}")
        sizes = {self._root / namespace / _PACKED / str(uuid.uuid4()): len(each.body) for each in contents}
        with self._lock:
            self._check_size(max(sizes.values(), default=0))
            self._check_room(namespace, Path(), sum(sizes.values()))
            self._held |= sizes
        try:
            (self._root / namespace / _PACKED).mkdir(mode=0o700, parents=True, exist_ok=True)
            for path, content in zip(sizes, contents, strict=True):
                _write(path, content.body)
            named = (content.digest.removeprefix(PREFIX) for content in contents)
            self._contents.keep(namespace, [*map(Whole, sizes, named)])
        except OSError as error:
            raise ServiceUnavailable(f"cannot keep the upload: {error.strerror}") from error
        finally:
            for path in sizes:
                path.unlink(missing_ok=True)
            with self._lock:
                for path in sizes:
                    del self._held[path]

    def sweep(self) -> None:
        """Remove what nobody went on with for the grace, and what came before the host was started."""
        self.tidy()
        oldest = (self._clock.now() - timedelta(seconds=self._contents.limits.grace_seconds)).timestamp()
        for boot in self._top.iterdir() if self._top.exists() else ():
            if boot != self._root:
                shutil.rmtree(boot)
        for path in self._root.glob("*/*/*"):
            with self._lock, contextlib.suppress(OSError):  # Gone, or a directory that has something else in it.
                if path not in self._held and path.stat().st_mtime < oldest:
                    path.unlink()
                    if path.parent.name != _PACKED:  # Which stays: a pack may be about to be written there.
                        path.parent.rmdir()
                        path.parent.parent.rmdir()

    def tidy(self) -> None:
        """Remove what has more names than this, as of what was being kept when somebody was killed."""
        for namespace in self._root.glob("*"):
            with contextlib.suppress(OSError):  # What cannot be done now is done the next time.
                left = [path for path in namespace.glob("*/*") if self._is_left(path)]
                if left:
                    self._contents.settle(namespace.name)
                for path in left:
                    with self._lock:
                        if self._is_left(path):
                            path.unlink()

    def keep(self, receiving: "Receiving", hexadecimal: str) -> None:
        """Keep what has come whole. What it is is said first: killed from there on, it is not sent again."""
        done = receiving.path.with_name(receiving.path.name + _DONE)
        aside = receiving.path.with_name(f"{receiving.path.name}.new{_DONE}")
        aside.write_text(PREFIX + hexadecimal)
        aside.rename(done)
        self._contents.keep(receiving.namespace, [Whole(receiving.path, hexadecimal)])

    def release(self, receiving: "Receiving") -> None:
        """Let others write to it."""
        with self._lock:
            self._held.pop(receiving.path, None)

    def _is_left(self, path: Path) -> bool:
        return path not in self._held and path.stat().st_nlink > 1

    def _start_of(self, fd: int, offset: int | None, total: int) -> int:
        """Return where to go on in the file, or begin it again. Raises Conflict if that is not where it ends."""
        have = os.fstat(fd).st_size
        if offset is None and have <= total:
            return have
        if not offset:
            os.ftruncate(fd, 0)
            return 0
        if offset != have:
            raise Conflict(f"cannot go on with the upload at byte {offset}: {have} bytes of it are here: go on there")
        return offset

    def _check_size(self, size: int) -> None:
        if size > self._contents.limits.one:
            allowed = self._contents.limits.one
            raise TooLarge(f"cannot upload {size} bytes: the setting files.upload_size allows {allowed}")

    def _check_room(self, namespace: str, path: Path, total: int) -> None:
        limits = self._contents.limits
        coming = self._coming_beside(path)
        of_namespace = sum(size for each, size in coming.items() if each.is_relative_to(self._root / namespace))
        if self._contents.used_by(namespace) + of_namespace + total > limits.of_namespace:
            fix = "delete jobs that have uploads, or ask for a larger files.namespace_size"
            raise Forbidden(
                f"cannot upload {total} bytes: namespace {namespace} may have {limits.of_namespace} together: {fix}"
            )
        if self._contents.used() + sum(coming.values()) + total > limits.of_all:
            raise ServiceUnavailable(
                f"cannot upload {total} bytes: the setting files.total_size allows {limits.of_all} together: try later"
            )
        self._contents.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        free = shutil.disk_usage(self._contents.root).free
        if free - total < limits.minimum_free:
            raise ServiceUnavailable(f"cannot upload {total} bytes: the host's disk has {free} bytes left: try later")

    def _check_count(self, path: Path) -> None:
        begun = [each for each in path.parent.glob("*") if each != path and each.suffix != _DONE]
        if len(begun) >= _MOST_AT_ONCE_OF_ONE:
            raise TooManyRequests(f"cannot begin another upload: {len(begun)} are not finished: finish one")

    def _coming_beside(self, path: Path) -> dict[Path, int]:
        """Return what else is on its way, and how large each is or will be."""
        sizes: dict[Path, int] = {}
        for each in self._root.glob("*/*/*"):
            with contextlib.suppress(FileNotFoundError):
                sizes[each] = each.stat().st_size
        sizes |= self._held
        sizes.pop(path, None)
        return sizes

    def _path(self, namespace: str, sender: str, name: str) -> Path:
        return self._root / namespace / hashlib.sha256(sender.encode()).hexdigest()[:32] / name


class Receiving:
    """One upload while a request writes to it, from one thread at a time. What came stays when it is closed."""

    def __init__(
        self, arriving: Arriving, namespace: str, name: str, path: Path, fd: int, have: int, total: int
    ) -> None:
        self.namespace = namespace
        self.path = path
        self.fd = fd
        self._arriving = arriving
        self._name = name
        self._total = total
        self._file = TakingIn(fd, have)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        os.close(self.fd)
        self._arriving.release(self)

    def write(self, pieces: Sequence[Buffer], done: Callable[[], None]) -> None:
        """Put what comes next on the disk. By any thread `done` is called when the pieces may be changed.

        Raises:
            Invalid: it is more than was announced.
            ServiceUnavailable: the disk refuses it. Then `done` is not called.
        """
        if self._file.at + sum(map(len, pieces)) > self._total:
            raise Invalid(f"cannot take the upload: more than the {self._total} bytes came that it was to have")
        try:
            self._file.write(pieces, done)
        except OSError as error:
            raise ServiceUnavailable(f"cannot keep the upload: {error.strerror}") from error

    def finish(self) -> UploadState:
        """Return how far it is; once all is here, it is verified and kept.

        Raises:
            Invalid: it is another content than its name says.
            ServiceUnavailable: the disk refuses it.
        """
        if self._file.at < self._total:
            return UploadState(self._file.at, "")
        try:
            digest = self._file.digest()
        except OSError as error:
            raise ServiceUnavailable(f"cannot verify the upload: {error.strerror}") from error
        if self._name.startswith(PREFIX) and self._name != PREFIX + digest:
            self.path.unlink()
            raise Invalid(f"cannot keep the upload: it is sha256:{digest}, not {self._name}: send it again")
        try:
            self._arriving.keep(self, digest)
        except OSError as error:
            raise ServiceUnavailable(f"cannot keep the upload: {error.strerror}") from error
        return UploadState(self._file.at, PREFIX + digest)


def _opened(path: Path) -> int:
    """Open what is to be written to, made if need be: never a content that is kept, which has another name then."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(path, flags, 0o600)
    if os.fstat(fd).st_nlink == 1:
        return fd
    os.close(fd)
    path.unlink()
    return os.open(path, flags | os.O_EXCL, 0o600)


def _write(path: Path, body: Buffer) -> None:
    """Write a small file, and have it begin to go to the disk."""
    with path.open("xb", buffering=0) as file:
        left = memoryview(body)
        while left:
            left = left[file.write(left) :]
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
