"""A run's output as log files, in the CRI log format that kubelet and containerd write.

A line is `2016-10-06T00:17:09.669794202Z stdout F text`; `P` instead of `F` says that the line goes
on in the stream's next entry: after 16 KiB, and at the end of a stream that does not end in a newline,
so that joining the entries gives back the run's very bytes.

The newest file is `0.log`. At its size limit it becomes `0.log.000001`, the next `0.log.000002`, and
so on: a finished file keeps its name, names sort by age, and a reader that holds one open
reads it to its end and goes on with the next. The oldest go when there are too many; but what somebody is reading,
which a lock on it tells, and what comes after it, stays until it was read, up to 1 GiB.

Invariant: the run is never held up nor hurt by a log that cannot be written: what did not fit is
counted, and noted where the log goes on.
"""

import contextlib
import os
from collections.abc import Callable

from controller.launcher import blank
from controller.launcher.instants import utc_text
from controller.linux import ofd_lock

CURRENT = "0.log"
STDOUT = b"stdout"
STDERR = b"stderr"
PARTIAL_AFTER_BYTES = 16384
READING = 0
"""The byte that whoever reads a file has a shared lock on."""
_HELD_BYTES = 1 << 30
_NEXT = f"{CURRENT}.next"
_MODE = 0o640
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC


class LogWriter:
    """The log of one run, in the directory `directory_fd`, which stays the caller's to close.

    Args:
        max_bytes: a file is closed once it is larger; one batch of output is never split over two.
        max_files: with the newest; older ones are removed.
        blank_fd: opened for appending, to be the first file; see `blank`.
        now_ns: nanoseconds since 1970, for the stamps.
    """

    def __init__(
        self,
        directory_fd: int,
        max_bytes: int,
        max_files: int,
        now_ns: Callable[[], int],
        blank_fd: int | None = None,
    ) -> None:
        self._directory_fd = directory_fd
        self._max_bytes = max_bytes
        self._max_files = max(1, max_files)
        self._now_ns = now_ns
        self.fd = _open_current(directory_fd, blank_fd)
        self._size = os.fstat(self.fd).st_size
        self._rotations = 0
        self._oldest = 1
        self._unfinished: dict[bytes, bytes] = {}
        self._gap_bytes = 0
        self._gap_cause = ""
        self.dropped_bytes = 0

    def write(self, stream: bytes, chunk: bytes) -> None:
        """Log what was read from `stream`; a line that is not complete waits for its rest."""
        text = self._unfinished.pop(stream, b"") + chunk
        lines = text.split(b"\n")
        last = lines.pop()
        if len(last) > PARTIAL_AFTER_BYTES:
            whole = len(last) - len(last) % PARTIAL_AFTER_BYTES
            self._append(_entries(self._stamp(), stream, lines) + self._partials(stream, last[:whole]), len(text))
            last = last[whole:]
        elif lines:
            self._append(_entries(self._stamp(), stream, lines), len(text) - len(last))
        if last:
            self._unfinished[stream] = last

    def finish(self) -> None:
        """Log what came without a newline at the end, as partial lines, and close the file."""
        for stream, rest in self._unfinished.items():
            self._append(self._partials(stream, rest), len(rest))
        self._unfinished.clear()
        if self._gap_bytes:
            self._append(b"", 0)
        with contextlib.suppress(OSError):
            self._remove_old()
        os.close(self.fd)

    def _stamp(self) -> bytes:
        return utc_text(self._now_ns()).encode()

    def _partials(self, stream: bytes, text: bytes) -> bytes:
        head = b"%b %b P " % (self._stamp(), stream)
        return b"".join(head + part + b"\n" for part in _parts(text))

    def _append(self, entries: bytes, content_bytes: int) -> None:
        """Write `entries`, which hold `content_bytes` of output, whole or not at all."""
        try:
            if self._size > 0 and self._size + len(entries) > self._max_bytes:
                self._rotate()
            self._write_all(self._gap_note() + entries)
        except OSError as error:  # ENOSPC, EDQUOT, EIO: whatever it is, the run goes on.
            self._gap_bytes += content_bytes
            self._gap_cause = error.strerror or str(error)
            self.dropped_bytes += content_bytes
        else:
            self._gap_bytes = 0

    def _gap_note(self) -> bytes:
        if not self._gap_bytes:
            return b""
        note = f"runwright: cannot log {self._gap_bytes} bytes of output here: {self._gap_cause}"
        return b"%b stderr F %b\n" % (self._stamp(), note.encode())

    def _write_all(self, entries: bytes) -> None:
        left = memoryview(entries)
        try:
            while left:
                left = left[os.write(self.fd, left) :]
        except OSError:
            os.ftruncate(self.fd, self._size)  # No torn line stays.
            raise
        self._size += len(entries)

    def _rotate(self) -> None:
        # First what may fail on a full disk: then the old file goes on being the current one.
        fresh = os.open(_NEXT, _FLAGS | os.O_TRUNC, _MODE, dir_fd=self._directory_fd)
        self._rotations += 1
        directory = {"src_dir_fd": self._directory_fd, "dst_dir_fd": self._directory_fd}
        os.rename(CURRENT, rotated_name(self._rotations), **directory)
        os.rename(_NEXT, CURRENT, **directory)
        os.close(self.fd)
        self.fd, self._size = fresh, 0
        self._remove_old()

    def _remove_old(self) -> None:
        """Remove files that are too many, from the oldest on to the first that is being read."""
        first_kept = self._rotations - self._max_files + 2
        while self._oldest < first_kept:
            is_too_long_ago = (first_kept - self._oldest) * self._max_bytes > _HELD_BYTES
            if not is_too_long_ago and self._is_read(rotated_name(self._oldest)):
                return
            os.unlink(rotated_name(self._oldest), dir_fd=self._directory_fd)
            self._oldest += 1

    def _is_read(self, name: str) -> bool:
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._directory_fd)
        try:
            return ofd_lock.is_taken(fd, READING)
        finally:
            os.close(fd)


def _open_current(directory_fd: int, blank_fd: int | None) -> int:
    if blank_fd is not None:
        try:
            if blank.give_name(blank_fd, CURRENT, directory_fd):
                os.fchmod(blank_fd, _MODE)
                return blank_fd
        except FileExistsError:
            os.close(blank_fd)
    return os.open(CURRENT, _FLAGS, _MODE, dir_fd=directory_fd)


def rotated_name(number: int) -> str:
    """Return what the `number`th finished log file is called.

    >>> rotated_name(7)
    '0.log.000007'
    """
    return f"{CURRENT}.{number:06d}"


def in_order(names: list[str]) -> list[str]:
    """Return those of `names` that are log files, oldest first.

    >>> in_order(["0.log", "x", "0.log.000010", "0.log.000009"])
    ['0.log.000009', '0.log.000010', '0.log']
    """
    finished = [name for name in names if name.startswith(f"{CURRENT}.") and name[len(CURRENT) + 1 :].isdigit()]
    finished.sort(key=lambda name: int(name[len(CURRENT) + 1 :]))
    return finished + ([CURRENT] if CURRENT in names else [])


def _entries(stamp: bytes, stream: bytes, lines: list[bytes]) -> bytes:
    if not lines:
        return b""
    head = b"%b %b F " % (stamp, stream)
    if max(map(len, lines)) <= PARTIAL_AFTER_BYTES:
        return head + (b"\n" + head).join(lines) + b"\n"
    partial = b"%b %b P " % (stamp, stream)
    entries = []
    for line in lines:
        *before, last = _parts(line) or [b""]
        entries += [partial + part + b"\n" for part in before]
        entries.append(head + last + b"\n")
    return b"".join(entries)


def _parts(text: bytes) -> list[bytes]:
    return [text[start : start + PARTIAL_AFTER_BYTES] for start in range(0, len(text), PARTIAL_AFTER_BYTES)]
