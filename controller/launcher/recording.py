"""Writing what a run leaves in its directory: its claim, once and for good, and the record of its exit.

What these say, and reading them, is in `records`.
Invariant: what has its name is whole, and a full disk is in the way of no record: its room is taken before the run is.
"""

import errno
import json
import os
from collections.abc import Iterable, Mapping
from itertools import accumulate
from pathlib import Path

from controller.launcher import blank
from controller.launcher.records import CLAIM, EXIT, EXIT_TO_BE, Claim, ExitRecord, Plain
from controller.linux import disk, process

_RESERVED_BYTES = 8192  # An exit record fits, with its receipt.
_MESSAGE_BYTES = 600  # Of a message there is always so much.
_NEW = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC


def claim_content(claim: Claim) -> bytes:
    """Return a claim as it is written; `records.parse_claim` reads it."""
    fields = _fields_of(claim)
    if not claim.not_before:
        del fields["not_before"]  # As versions before it read it.
    if claim.outcome is not None:
        fields["outcome"] = _fields_of(claim.outcome)
    return json.dumps(fields).encode()


def place_claim(directory_fd: int, claim: Claim, blank_fd: int | None = None) -> int | None:
    """Claim the run in this directory for good, in the file `blank_fd` if there is one; None if it was claimed before.

    The descriptor returned is the claim's, for whoever wants it durable.

    Raises:
        OSError: it cannot be written: then it is not claimed.
    """
    content = claim_content(claim)
    if blank_fd is not None:
        try:
            disk.write_whole(blank_fd, content)
            if blank.give_name(blank_fd, CLAIM, directory_fd):
                return blank_fd
        except FileExistsError:
            os.close(blank_fd)
            return None
        except OSError:  # Its disk is full, which need not be the run's.
            os.close(blank_fd)
    aside = f"{CLAIM}.{claim.pid}"
    fd = os.open(aside, _NEW, 0o600, dir_fd=directory_fd)
    try:
        disk.write_whole(fd, content)
        os.link(aside, CLAIM, src_dir_fd=directory_fd, dst_dir_fd=directory_fd)
    except FileExistsError:
        os.close(fd)
        return None
    except BaseException:
        os.close(fd)
        raise
    finally:
        os.unlink(aside, dir_fd=directory_fd)
    return fd


def make_durable(fds: Iterable[int]) -> None:
    """Have what was written to these files and directories survive a loss of power.

    Raises:
        OSError: the disk refused.
    """
    for fd in fds:
        os.fsync(fd)


def cancel(run_dir: Path, record: ExitRecord) -> bool:
    """Make sure that a run which nobody has begun never is, with `record` as its outcome; False if it was begun.

    Raises:
        OSError: it cannot be written: then it is not cancelled.
    """
    directory_fd = os.open(run_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        claim = Claim(record.run_id, process.boot_id(), 0, 0, record.started_at, "", outcome=record)
        fd = place_claim(directory_fd, claim)
        if fd is None:
            return False
        try:
            make_durable((fd, directory_fd))
        finally:
            os.close(fd)
        return True
    finally:
        os.close(directory_fd)


def reserve(fd: int) -> None:
    """Take up the room of an exit record in this file.

    Raises:
        OSError: there is none.
    """
    disk.write_whole(fd, b" " * _RESERVED_BYTES)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)  # Begins to write it, and waits for nothing.


class ExitFile:
    """The exit record to be, its place on disk taken at the start, so that a full disk is not in its way.

    Of `blank_fd`, if it is given, the room was reserved before.

    `write` is for whoever waits; `flush`, after it, for the disk. Until then a loss of power may take the record, which
    costs nothing that anybody built on: whoever acts on an end stores it durably first. A flush brings the content
    to the disk, and with it the file's first name or its last: `records.observe` knows a whole record of a dead run by
    either.
    """

    def __init__(self, directory_fd: int, blank_fd: int | None = None) -> None:
        self._directory_fd = directory_fd
        if blank_fd is not None and blank.give_name(blank_fd, EXIT_TO_BE, directory_fd):
            self.fd = blank_fd
        else:
            self.fd = os.open(EXIT_TO_BE, _NEW, 0o600, dir_fd=directory_fd)
            reserve(self.fd)

    def tell(self, receipt: Mapping[str, Plain], started_at: str = "") -> None:
        """Write what the run is held to, for who looks while it runs, and when it began, if its claim does not say.

        `records` reads both.

        Raises:
            OSError: the disk refused.
        """
        began = {"started_at": started_at} if started_at else {}
        told = (json.dumps({**began, "receipt": each}).encode() for each in _shorter_and_shorter(receipt))
        fits = next(each for each in told if len(each) <= _RESERVED_BYTES)
        os.pwrite(self.fd, fits.ljust(_RESERVED_BYTES), 0)  # Over what was told before.

    def write(self, record: ExitRecord) -> None:
        """Write the record, of its message and receipt what there is room for; when it has its name, it is whole.

        Raises:
            OSError: the disk refused.
        """
        content = _in_reserved_room(record)
        if os.pwrite(self.fd, content.ljust(_RESERVED_BYTES), 0) < len(content):
            raise OSError(errno.ENOSPC, f"cannot write {EXIT}: no space left on device")
        os.rename(EXIT_TO_BE, EXIT, src_dir_fd=self._directory_fd, dst_dir_fd=self._directory_fd)

    def flush(self) -> None:
        """Have the record, which was written, survive a loss of power, and let go of it.

        Raises:
            OSError: the disk refused.
        """
        os.fsync(self.fd)  # Not fdatasync: with the content, it is the name that counts.
        os.close(self.fd)


def _in_reserved_room(record: ExitRecord) -> bytes:
    """Return the record as it is written: what is longest of its receipt is left out, and its message is cut."""
    fields = _fields_of(record)
    content = json.dumps(fields).encode()
    if len(content) <= _RESERVED_BYTES:
        return content
    for receipt in _shorter_and_shorter(record.receipt):
        fields["receipt"] = receipt
        room = _RESERVED_BYTES - len(json.dumps({**fields, "message": ""}))
        if room >= _MESSAGE_BYTES:
            break
    ends = accumulate(len(json.dumps(character)) - len('""') for character in record.message)
    kept = sum(end <= room for end in ends)
    return json.dumps({**fields, "message": record.message[:kept]}).encode()


def _shorter_and_shorter(receipt: Mapping[str, Plain]) -> Iterable[Mapping[str, Plain]]:
    """Yield the receipt whole, and then with less and less of what may be long; it says what it lacks."""
    yield receipt
    for lacking in (["mounts"], ["mounts", "devices"]):
        yield {name: value for name, value in receipt.items() if name not in lacking} | {"leftOut": [*lacking]}
    yield {"leftOut": ["everything"]}


def _fields_of(one: Claim | ExitRecord) -> dict[str, object]:
    # As dataclasses.asdict, less its deep copy, which took ten times as long.
    return {name: getattr(one, name) for name in one.__slots__}
