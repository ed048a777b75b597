"""What an archive is packed with, told by its first bytes, and the plain bytes in it, a piece at a time.

gzip, xz and zstd, of several members too, and no compression at all. Never here: what the plain bytes are.
Invariants: no call makes more than it was asked for, however little it was made of; a stream that
ends in the middle is an error; a window of more than 128 MiB is refused.
"""

import lzma
import zlib
from collections.abc import Callable
from enum import Enum
from typing import Protocol

from api.packages.zstandard import zstd
from controller.registry.fetch import Readable

HEAD_BYTES = 512
"""How much of an archive `sniff` wants to see."""

_FEED_BYTES = 1 << 18
_MOST_MEMORY_BYTES = 128 << 20
_WINDOW_LOG = 27
_USTAR = slice(257, 262)
_SKIPPABLE = range(0x50, 0x60)  # zstd's skippable frames: 0x184D2A5?, RFC 8878 section 3.1.2.


class Format(Enum):
    """What an archive may be."""

    TAR = ".tar"
    GZIP = ".tar.gz"
    XZ = ".tar.xz"
    ZSTD = ".tar.zst"
    ZIP = ".zip"


class Torn(Exception):
    """The bytes are not what they began as: they end early, or are broken."""


def sniff(head: bytes) -> Format | None:
    """Return what begins with `head`, or None for nothing that is known; names say nothing.

    >>> sniff(b"PK\\x03\\x04"), sniff(b"<html>")
    (<Format.ZIP: '.zip'>, None)
    """
    if head.startswith(b"\x1f\x8b"):
        return Format.GZIP
    if head.startswith(b"\xfd7zXZ\0"):
        return Format.XZ
    if head.startswith(b"\x28\xb5\x2f\xfd") or (head[1:4] == b"\x2a\x4d\x18" and head[0] in _SKIPPABLE):
        return Format.ZSTD
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return Format.ZIP
    return Format.TAR if head[_USTAR] == b"ustar" or _is_old_tar(head) else None


def _is_old_tar(head: bytes) -> bool:
    """Whether it is a tar from before POSIX, which has no magic, or one of nothing: by the sum of its header."""
    if len(head) < HEAD_BYTES:
        return False
    if not head.strip(b"\0"):
        return True
    try:
        said = int(head[148:156].strip(b" \0") or b"x", 8)
    except ValueError:
        return False
    return said == sum(head[:148]) + 8 * ord(" ") + sum(head[156:])


class _Codec(Protocol):
    """One member of a stream, as in lzma, bz2 and compression.zstd of the standard library."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class _Inflater:
    """A member of a gzip, with the manners of the others."""

    def __init__(self) -> None:
        self._inflater = zlib.decompressobj(wbits=31)

    @property
    def eof(self) -> bool:
        return self._inflater.eof

    @property
    def needs_input(self) -> bool:
        return not self._inflater.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._inflater.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._inflater.decompress(self._inflater.unconsumed_tail + data, max_length)


def _xz() -> _Codec:
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MOST_MEMORY_BYTES)


def _zstd() -> _Codec:
    return zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: _WINDOW_LOG})


_CODECS: dict[Format, Callable[[], _Codec]] = {Format.GZIP: _Inflater, Format.XZ: _xz, Format.ZSTD: _zstd}


def plain(source: Readable, packed: Format) -> Readable:
    """Return the plain bytes of `source`, which is `packed` so; not for a .zip, which is no stream."""
    codec = _CODECS.get(packed)
    return source if codec is None else _Plain(source, codec)


class _Plain:
    """The plain bytes of one or more compressed members."""

    def __init__(self, source: Readable, new: Callable[[], _Codec]) -> None:
        self._source = source
        self._new = new
        self._codec: _Codec | None = None
        self._left = b""
        self._has_member = False

    def read(self, size: int = -1, /) -> bytes:
        """Return at most `size` bytes, or nothing at the end of the last member."""
        if size < 0:
            raise ValueError("say how much: a stream may be of any length")
        while True:
            codec = self._codec or self._next_member()
            if codec is None:
                return b""
            piece = self._from(codec, size)
            if codec.eof:
                self._left, self._codec = codec.unused_data, None
            if piece or not size:
                return piece

    def _from(self, codec: _Codec, size: int) -> bytes:
        data = b""
        if codec.needs_input:
            data = self._left or self._source.read(_FEED_BYTES)
            self._left = b""
            if not data:
                raise Torn("it ends in the middle")
        try:
            return codec.decompress(data, size)
        except (zlib.error, lzma.LZMAError, zstd.ZstdError, MemoryError) as error:
            raise Torn(str(error) or "it needs too much memory") from error

    def _next_member(self) -> _Codec | None:
        """Begin with the next member; zeros between and after them are padding."""
        while not (data := self._left.lstrip(b"\0") if self._has_member else self._left):
            data = self._source.read(_FEED_BYTES)
            if not data:
                return None
            self._left = data
        self._left, self._codec, self._has_member = data, self._new(), True
        return self._codec
