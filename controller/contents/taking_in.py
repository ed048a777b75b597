"""What comes of a content, to the disk and into its digest, side by side: one is written while another is verified.

It is written past the page cache where the file system can (open(2), O_DIRECT): that takes no copy, leaves the cache to
what is used, and nothing of it has to be brought to the disk in the end. What is no whole blocks, at addresses of whole
blocks, goes through the page cache, as all does on file systems that cannot.
Invariants: what is verified was written before. One thread at a time writes, and none after it was closed.
"""

import contextlib
import errno
import hashlib
import itertools
import os
import queue
import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

Buffer: TypeAlias = bytes | memoryview

_READ_BYTES = 1 << 20
_LEAST_BESIDE_BYTES = 128 << 10
_BEGIN_WRITING_BYTES = 16 << 20
_BLOCK_BYTES = 4096


class TakingIn:
    """A file that is written to from where it ends, and the digest of all of it."""

    def __init__(self, fd: int, at: int) -> None:
        """Go on at byte `at`, where the file ends; who has opened it closes it, after `close`."""
        self.at = at
        self._lock = threading.Lock()  # A request that is cancelled is closed while its thread may still write.
        self._is_closed = False
        self._file = _File(fd)
        self._hashing = _Hashing(fd, at)

    def write(self, pieces: Sequence[Buffer], done: Callable[[], None]) -> None:
        """Write what comes next. By any thread `done` is called when the pieces may be changed.

        Raises:
            OSError: the disk does not take it; `at` says how much it took, and `done` is not called.
        """
        left = list(pieces)
        with self._lock:
            if self._is_closed:
                raise OSError(errno.EBADF, "it was closed")
            while left:
                written = self._file.write(left, self.at)
                self.at += written
                left = _after(left, written)
            self._hashing.add(pieces, done)

    def digest(self) -> str:
        """Return the SHA-256 of all that the file has, in hexadecimal digits; nothing is written after it.

        Raises:
            OSError: what was there before cannot be read.
        """
        return self._hashing.result()

    def close(self) -> None:
        """Stop; nobody looks at any piece after it."""
        with self._lock:
            self._is_closed = True
            self._hashing.stop()
            self._file.close_direct()


class _File:
    """Writes by two descriptors: the one that it is given, and one that goes past the page cache."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._direct: int | None = None
        with contextlib.suppress(OSError):  # The file system has only the one way.
            self._direct = os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_DIRECT | os.O_CLOEXEC)

    def write(self, pieces: Sequence[Buffer], at: int) -> int:
        """Write some of the pieces, in order, at a byte of the file; return how many bytes. Raises OSError."""
        whole = list(itertools.takewhile(lambda piece: len(piece) % _BLOCK_BYTES == 0, pieces))
        if self._direct is not None and whole and at % _BLOCK_BYTES == 0:
            try:
                return os.pwritev(self._direct, whole, at)
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
                self.close_direct()  # Its blocks are larger, or the memory is not at addresses that it takes.
        written = os.pwritev(self._fd, pieces, at)
        if at // _BEGIN_WRITING_BYTES != (at + written) // _BEGIN_WRITING_BYTES:
            # Begins to bring it to the disk, which has to be done in the end, and waits for nothing.
            os.posix_fadvise(self._fd, 0, at + written, os.POSIX_FADV_DONTNEED)
        return written

    def close_direct(self) -> None:
        """Have all that follows go through the page cache."""
        if self._direct is not None:
            os.close(self._direct)
            self._direct = None


class _Hashing:
    """The digest of what was written, computed beside the writing; first of what was there already.

    That is read when something is added or the digest is asked for: who only looks how far it is need not wait for it.
    """

    def __init__(self, fd: int, have: int) -> None:
        self._sum = hashlib.sha256()
        self._fd, self._have = fd, have
        self._queue: queue.SimpleQueue[_Written | None] = queue.SimpleQueue()
        self._failure: BaseException | None = None
        self._is_stopped = False
        self._thread = threading.Thread(target=self._run, name="upload digest", daemon=True)

    def add(self, pieces: Sequence[Buffer], done: Callable[[], None]) -> None:
        """Take what comes next; what is little is done at once."""
        written = _Written(pieces, done)
        if not self._thread.ident:
            if not self._have and sum(map(len, pieces)) < _LEAST_BESIDE_BYTES:
                self._update(written)
                return
            self._thread.start()
        self._queue.put(written)

    def result(self) -> str:
        """Return it. Raises what went wrong."""
        if self._have and not self._thread.ident:
            self._thread.start()
        self._end()
        if self._failure is not None:
            raise self._failure
        return self._sum.hexdigest()

    def stop(self) -> None:
        """Look at nothing more."""
        self._is_stopped = True
        self._end()

    def _end(self) -> None:
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()

    def _run(self) -> None:
        try:
            self._read()
        except BaseException as error:  # noqa: BLE001 - raised by `result`: a digest of less is never given
            self._failure = error
        while (written := self._queue.get()) is not None:
            self._update(written)

    def _read(self) -> None:
        at = 0
        while at < self._have and not self._is_stopped:
            piece = os.pread(self._fd, min(_READ_BYTES, self._have - at), at)
            if not piece:
                raise OSError(errno.EIO, "the file became shorter")
            self._sum.update(piece)
            at += len(piece)

    def _update(self, written: "_Written") -> None:
        try:
            for piece in written.pieces:
                self._sum.update(piece)
        except BaseException as error:  # noqa: BLE001 - as above
            self._failure = error
        written.done()


class _Written(NamedTuple):
    """What is on the disk, and whom to tell when nobody looks at it any more."""

    pieces: Sequence[Buffer]
    done: Callable[[], None]


def _after(pieces: list[Buffer], written: int) -> list[Buffer]:
    """Return what is left of pieces of which so many bytes were written."""
    for index, piece in enumerate(pieces):
        if written < len(piece):
            return [memoryview(piece)[written:], *pieces[index + 1 :]]
        written -= len(piece)
    return []
