"""The entries of a tar, read from a stream by Python's tarfile; what they may do is decided in `extraction.py`.

Invariant: what the format keeps beside the files, such as long names and extended headers, takes little memory.
"""

import tarfile

from controller.registry.fetch import Readable
from controller.runtime.archives.compression import Torn
from controller.runtime.archives.extraction import Extraction, Growth, Item, refused
from controller.runtime.archives.seen import Kind

_BLOCK_BYTES = 1 << 15
"""How much `tarfile` keeps of the stream; it copies that at each read, and many are of a header's 512 bytes."""

# What tarfile reads between two entries it keeps in memory: long names and pax headers, and one block ahead.
_MAX_HEADER_BYTES = 2 << 20
_MAX_GLOBAL_BYTES = 1 << 20
OVERHEAD_BYTES = 4096
"""What an entry may take beside its content: 2 blocks of 512 and room for long names."""

_KINDS = {
    tarfile.DIRTYPE: Kind.DIRECTORY, tarfile.SYMTYPE: Kind.SYMLINK, tarfile.LNKTYPE: Kind.HARDLINK,
    tarfile.REGTYPE: Kind.FILE, tarfile.AREGTYPE: Kind.FILE, tarfile.CONTTYPE: Kind.FILE,
}  # fmt: skip
_NAMED = {tarfile.CHRTYPE: "a device", tarfile.BLKTYPE: "a device", tarfile.FIFOTYPE: "a pipe"}


def extract(plain: Readable, extraction: Extraction, growth: Growth) -> None:
    """Give all entries of the tar `plain` to `extraction`; `growth` counts the tar itself.

    Raises:
        TerminalError: InvalidArchive, an entry that may not be.
        Torn: it is no whole tar.
    """
    try:
        _extract(_Gauge(plain, growth), extraction)
    except (tarfile.TarError, EOFError, ValueError, OverflowError, RecursionError) as error:
        raise Torn(str(error)) from error


def _extract(gauge: "_Gauge", extraction: Extraction) -> None:
    with tarfile.open(fileobj=gauge, mode="r|", bufsize=_BLOCK_BYTES) as tar:  # type: ignore[call-overload]
        while True:
            gauge.begin_headers()
            member = tar.next()
            gauge.end_headers()
            if member is None:
                break
            if sum(map(len, tar.pax_headers.values())) > _MAX_GLOBAL_BYTES or len(tar.pax_headers) > 1000:
                raise refused(f"its headers for all entries have more than {_MAX_GLOBAL_BYTES} bytes")
            extraction.take(_item(tar, member))
            # tarfile remembers every entry; a stream has no use for that.
            tar.members.clear()
        _expect_zeros(tar.fileobj)


def _item(tar: tarfile.TarFile, member: tarfile.TarInfo) -> Item:
    is_sparse = member.issparse()
    kind = None if is_sparse else _KINDS.get(member.type)
    what = "a sparse file" if is_sparse else _NAMED.get(member.type, "of an unknown type")
    content = _Content(tar, member) if kind is Kind.FILE else None
    return Item(member.name, kind, what, member.linkname, bool(member.mode & 0o111), member.mtime, content)


class _Content:
    """What a file holds, read from the stream as it is; `tarfile` has a reader for files that can be sought in."""

    def __init__(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        assert tar.fileobj is not None
        tar.fileobj.seek(member.offset_data)
        self._stream = tar.fileobj
        self._left = member.size

    def read(self, size: int = -1, /) -> bytes:
        """Read on, to the end of the file and not beyond."""
        wanted = self._left if size < 0 else min(size, self._left)
        piece = self._stream.read(wanted)
        if len(piece) < wanted:
            raise tarfile.ReadError("unexpected end of data")
        self._left -= wanted
        return piece


class _Gauge:
    """The plain tar, cut off when an entry's headers or the whole grow beyond their limits."""

    def __init__(self, plain: Readable, growth: Growth) -> None:
        self._plain = plain
        self._growth = growth
        self._header_start: int | None = 0

    def begin_headers(self) -> None:
        """From here on it is headers that are read."""
        self._header_start = self._growth.count

    def end_headers(self) -> None:
        """From here on it is content that is read."""
        self._header_start = None

    def read(self, size: int = -1, /) -> bytes:
        """Read on, within the limits."""
        piece = self._plain.read(size)
        self._growth.grow(len(piece))
        if self._header_start is not None and self._growth.count - self._header_start > _MAX_HEADER_BYTES:
            raise refused(f"the header of an entry has more than {_MAX_HEADER_BYTES} bytes")
        return piece


def _expect_zeros(rest: Readable | None) -> None:
    """Read to the end of the tar, which is padding: tarfile also stops, silently, at a header it cannot read."""
    while rest is not None and (piece := rest.read(_BLOCK_BYTES)):
        if piece.count(0) != len(piece):
            raise tarfile.ReadError("something that is no entry lies between its entries")
