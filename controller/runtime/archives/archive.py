"""Unpacks an archive while it arrives: a tar, plain or in gzip, xz or zstd, or a zip, whatever it is called.

Here: telling the formats apart, counting and hashing. What an entry may do is decided in `extraction.py`.
A zip is no stream: it is kept beside what is unpacked, in a file without a name, until it is whole.
"""

import hashlib
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO

from controller.engine.errors import TransientError
from controller.registry.fetch import Readable
from controller.runtime.archives import compression, tar_stream, zip_file
from controller.runtime.archives.compression import Format, Torn
from controller.runtime.archives.extraction import Extraction, Growth, Limits, cannot_write
from controller.runtime.archives.readahead import ReadAhead
from controller.runtime.archives.seen import Below, Digests

__all__ = ["Limits", "Metered", "Unpacked", "drain", "unpack"]

_BLOCK_BYTES = 1 << 18
_AHEAD_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Unpacked:
    """What was written. `wrapper` is the one directory that everything lies in, if there is one.

    `digests` are those of all files.
    """

    entries: int
    expanded_bytes: int
    wrapper: str | None
    digests: Digests

    def digests_in_wrapper(self) -> Digests:
        """Return the digests by path in the wrapper, or as they are if there is none."""
        return self.digests if self.wrapper is None else Below(self.digests, self.wrapper)


class Metered:
    """A source that counts and hashes what is read of it, and tells of it about every `_BLOCK_BYTES`."""

    def __init__(self, source: Readable, progress: Callable[[int], None] | None = None) -> None:
        """Read from `source`; `progress` is called with the bytes read so far."""
        self._source = source
        self._progress = progress
        self._told = 0
        self._hash = hashlib.sha256()
        self.count = 0

    @property
    def sha256(self) -> str:
        """The checksum of what was read so far, in hexadecimal digits."""
        return self._hash.hexdigest()

    def read(self, size: int = -1, /) -> bytes:
        """Read on, and count."""
        piece = self._source.read(size)
        self._hash.update(piece)
        self.count += len(piece)
        if self._progress and (not piece or self.count - self._told >= _BLOCK_BYTES):
            self._told = self.count
            self._progress(self.count)
        return piece


def unpack(
    source: Readable, directory: int, limits: Limits | None = None, verify: Callable[[], None] | None = None
) -> Unpacked:
    """Unpack the archive `source` into the empty directory open as `directory`.

    Checksum and size are the caller's to compare, *before* it uses anything of what was unpacked; a zip
    is read whole before any of it is unpacked, and `verify` called in between.

    Raises:
        TerminalError: InvalidArchive, an entry that may not be.
        TransientError: DamagedArchive, it is torn or no archive: what a broken download looks like.
    """
    limits = limits or Limits()
    counted = _Counted(source)
    growth = Growth(limits, lambda: counted.count)
    extraction = Extraction(directory, limits, growth)
    try:
        packed = compression.sniff(counted.peek(compression.HEAD_BYTES))
        if packed is None:
            raise Torn("it is neither a .tar, plain or in gzip, xz or zstd, nor a .zip")
        if packed is Format.ZIP:
            with _spooled(counted, directory, limits) as file:
                if verify is not None:
                    verify()
                zip_file.extract(file, extraction)
        else:
            tar_growth = Growth(limits, lambda: counted.count, limits.entries * tar_stream.OVERHEAD_BYTES)
            plain = ReadAhead(compression.plain(counted, packed), _AHEAD_BYTES)
            try:
                tar_stream.extract(plain, extraction, tar_growth)
            finally:
                plain.close()
        extraction.finish()
    except Torn as error:
        raise TransientError("DamagedArchive", f"cannot unpack the archive: it is not whole: {error}") from error
    finally:
        extraction.close()
    return Unpacked(extraction.entries, growth.count, extraction.wrapper(), extraction.seen)


def drain(stream: Readable) -> None:
    """Read `stream` to its end."""
    while stream.read(_BLOCK_BYTES):
        pass


class _Counted:
    """A source whose first bytes can be looked at before they are read."""

    def __init__(self, source: Readable) -> None:
        self._source = source
        self._head = b""
        self.count = 0

    def peek(self, size: int) -> bytes:
        """Return the first bytes, fewer than `size` only if there are no more."""
        while len(self._head) < size and (piece := self._source.read(size - len(self._head))):
            self._head += piece
        return self._head

    def read(self, size: int = -1, /) -> bytes:
        """Read on, and count."""
        if self._head:
            cut = len(self._head) if size < 0 else size
            piece, self._head = self._head[:cut], self._head[cut:]
        else:
            piece = self._source.read(size)
        self.count += len(piece)
        return piece


def _spooled(source: Readable, directory: int, limits: Limits) -> IO[bytes]:
    """Return a file with all of `source`, beside what will be unpacked; it has no name, so nothing is left of it."""
    name = f".{secrets.token_hex(16)}"
    try:
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(name, flags, 0o600, dir_fd=directory)
        os.unlink(name, dir_fd=directory)
    except OSError as error:
        raise cannot_write("the whole", error) from error
    file = os.fdopen(descriptor, "w+b")
    try:
        kept = Growth(limits, lambda: kept.count)
        while piece := source.read(_BLOCK_BYTES):
            kept.grow(len(piece))
            file.write(piece)
        file.seek(0)
    except OSError as error:
        file.close()
        raise cannot_write("the whole", error) from error
    except BaseException:
        file.close()
        raise
    return file
