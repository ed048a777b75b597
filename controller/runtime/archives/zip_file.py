"""The entries of a .zip, read by Python's zipfile from a file; what they may do is decided in `extraction.py`.

A zip has its list of entries at its end, so it is no stream, and says everything twice. Refused: entries that
share bytes, so that a small file holds many large ones; names that are not what they seem; what is encrypted, or
packed in another way than deflate; more entries than the format had room for at first, as all are kept in memory.
"""

import calendar
import stat
import struct
import zipfile
import zlib
from typing import IO

from controller.runtime.archives.compression import Torn
from controller.runtime.archives.extraction import Extraction, Item, refused, shown
from controller.runtime.archives.seen import Kind

MOST_ENTRIES = 65_535
_MOST_LIST_BYTES = 32 << 20
_LISTED = b"PK\x01\x02"
_LOCAL_HEADER_BYTES = 30
_UNIX = 3
_ENCRYPTED = 0x1
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_BROKEN = (
    zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, struct.error, EOFError, ValueError, OverflowError,
    NotImplementedError, RuntimeError, IndexError, KeyError,
)  # fmt: skip


def extract(file: IO[bytes], extraction: Extraction) -> None:
    """Give all entries of the zip `file` to `extraction`.

    Raises:
        TerminalError: InvalidArchive, an entry that may not be.
        Torn: it is no whole zip.
    """
    try:
        with zipfile.ZipFile(_Lister(file)) as archive:
            _refuse_overlaps(archive.infolist())
            for info in archive.infolist():
                _take(archive, info, extraction)
    except _BROKEN as error:
        raise Torn(str(error) or type(error).__name__) from error


class _Lister:
    """The file of a zip; refuses to read a list of entries that would take much memory."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int = -1, /) -> bytes:
        """Read on; `zipfile` reads the list of entries in one piece, and all else in small ones."""
        if size > _MOST_LIST_BYTES:
            raise refused(f"its list of entries has more than {_MOST_LIST_BYTES} bytes")
        piece = self._file.read(size)
        if len(piece) > MOST_ENTRIES and piece.count(_LISTED) > MOST_ENTRIES:
            raise refused(f"it has more than {MOST_ENTRIES} entries: pack so many as a .tar")
        return piece

    def seekable(self) -> bool:
        """Whether it is a file."""
        return True


def _refuse_overlaps(entries: list[zipfile.ZipInfo]) -> None:
    end, before = 0, ""
    for entry in sorted(entries, key=lambda entry: entry.header_offset):
        if entry.header_offset < end:
            raise refused(f"{shown(before)} and {shown(entry.filename)} lie over each other in it")
        name_bytes = len(entry.orig_filename)
        end = entry.header_offset + _LOCAL_HEADER_BYTES + name_bytes + entry.compress_size
        before = entry.filename


def _take(archive: zipfile.ZipFile, info: zipfile.ZipInfo, extraction: Extraction) -> None:
    if info.orig_filename != info.filename or "\\" in info.filename:
        raise refused(f'the name "{shown(info.orig_filename)}" has a NUL or a backslash in it')
    if info.flag_bits & _ENCRYPTED:
        raise refused(f"{shown(info.filename)} is encrypted")
    if info.compress_type not in _METHODS:
        raise refused(f"{shown(info.filename)} is packed by method {info.compress_type}: use deflate, or a .tar")
    mode = info.external_attr >> 16 if info.create_system == _UNIX else 0
    kind = _kind(info, mode)
    item = Item(
        info.filename, kind, "a device or a pipe", is_executable=bool(mode & 0o111), mtime=_seconds(info.date_time)
    )
    if kind is Kind.SYMLINK:
        extraction.take(_with(item, target=_target(archive, info)))
    elif kind is Kind.FILE:
        with archive.open(info) as content:
            extraction.take(_with(item, content=content))
    else:
        extraction.take(item)


def _with(item: Item, *, target: str = "", content: IO[bytes] | None = None) -> Item:
    return Item(item.name, item.kind, item.what, target, item.is_executable, item.mtime, content)


def _kind(info: zipfile.ZipInfo, mode: int) -> Kind | None:
    if info.is_dir():
        return Kind.DIRECTORY
    kinds = {0: Kind.FILE, stat.S_IFREG: Kind.FILE, stat.S_IFLNK: Kind.SYMLINK}
    return kinds.get(stat.S_IFMT(mode))


def _target(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> str:
    with archive.open(info) as content:
        return content.read(4097).decode("utf-8", "surrogateescape")


def _seconds(date_time: tuple[int, ...]) -> int:
    try:
        return calendar.timegm((*date_time, 0, 0, 0))
    except (ValueError, OverflowError):
        return 0
