"""Writes a package's archive in any format: whole and durable or not at all, and the same bytes for the same files.

The bytes are those of this machine's zlib, liblzma and libzstd: another release of one may pack tighter, never the same
release twice differently. Never here: what belongs in a package (`packing.py`), and a tar's headers (`pack.py`).
"""

import hashlib
import lzma
import os
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, Protocol

from api.packages import pack
from api.packages.archives import Format
from api.packages.pack import Changed, Content, Contents, Directory, Link

MOST_IN_A_ZIP = 65_535
"""Entries that installs take of a zip: more were no part of the format at first."""

_GZIP_LEVEL, _XZ_PRESET, _ZSTD_LEVEL, _ZIP_LEVEL = 6, 6, 10, 6
_GZIP_WINDOW = 31
_ZIP_TIME = (2000, 1, 1, 0, 0, 0)
_UNIX = 3
_COPY_BYTES = 1 << 20


class Unfit(ValueError):
    """The format cannot hold the entries; nothing was written."""


class TooMany(Unfit):
    """There are more entries than the format may have."""


class NotUtf8(Unfit):
    """A name is of bytes that the format cannot say."""


class Compressor(Protocol):
    """What makes bytes fewer, piece by piece."""

    def compress(self, data: bytes, /) -> bytes:
        """Take `data`, and return what is ready of all that was taken."""
        ...

    def flush(self) -> bytes:
        """Return the rest."""
        ...


def write(contents: Contents, path: Path, wanted: Format = Format.GZIP) -> tuple[str, int]:
    """Write the archive `path` of `contents`. Return checksum and size.

    Raises:
        Changed: a file grew or shrank meanwhile.
        Unfit: there are entries, or too many, that the format cannot hold.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        with aside.open("w+b") as file:
            _WRITERS[wanted](contents, file)
            file.flush()
            os.fsync(file.fileno())
            size = file.tell()
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)
    return digest, size


def _write_tar(contents: Contents, file: IO[bytes], packer: Compressor) -> None:
    for plain in pack.tar_pieces(contents, is_last=True):
        file.write(packer.compress(plain))
    file.write(packer.flush())


def _write_gzip(contents: Contents, file: IO[bytes]) -> None:
    _write_tar(contents, file, zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP_WINDOW))


def _write_xz(contents: Contents, file: IO[bytes]) -> None:
    _write_tar(contents, file, lzma.LZMACompressor(preset=_XZ_PRESET))


def _write_zstd(contents: Contents, file: IO[bytes]) -> None:
    from api.packages.zstandard import zstd

    checked: dict[int, int] = {
        zstd.CompressionParameter.compression_level: _ZSTD_LEVEL,
        zstd.CompressionParameter.checksum_flag: 1,
    }
    _write_tar(contents, file, zstd.ZstdCompressor(options=checked))


def _write_zip(contents: Contents, file: IO[bytes]) -> None:
    """A zip knows no hard links: a file of several names is there as often; installs store it once all the same."""
    wanted = {path: content for path, (content, _) in contents.entries.items()}
    modes = {path: mode for path, (_, mode) in contents.entries.items()}
    for path in contents.entries:
        wanted |= {directory: Directory() for directory in pack.parents(path)}
    if len(wanted) > MOST_IN_A_ZIP:
        raise TooMany(f"it has {len(wanted)} entries, and a zip may have {MOST_IN_A_ZIP}: pack it as a tar.zst")
    _refuse_other_than_utf8(wanted)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=_ZIP_LEVEL) as archive:
        for path in sorted(wanted):
            _add(archive, path, wanted[path], modes.get(path, 0o755))


def _refuse_other_than_utf8(paths: Iterable[str]) -> None:
    """Refuse a name that is other bytes than UTF-8: they stand for it in a zip."""
    for path in paths:
        try:
            path.encode()
        except UnicodeEncodeError:
            shown = path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
            raise NotUtf8(f"the name {shown} is no UTF-8, as all in a zip is: pack it as a tar.zst") from None


def _add(archive: zipfile.ZipFile, path: str, content: Content, mode: int) -> None:
    if isinstance(content, Directory):
        archive.writestr(_info(f"{path}/", stat.S_IFDIR | 0o755), b"")
    elif isinstance(content, Link):
        archive.writestr(_info(path, stat.S_IFLNK | 0o777), content.target.encode("utf-8", "surrogateescape"))
    elif isinstance(content, bytes):
        archive.writestr(_info(path, stat.S_IFREG | mode), content)
    else:
        info = _info(path, stat.S_IFREG | mode)
        info.file_size = content.stat().st_size
        with content.open("rb") as source, archive.open(info, "w") as target:
            left = info.file_size
            while piece := source.read(_COPY_BYTES):
                left -= len(piece)
                target.write(piece)
        if left:
            raise Changed(f"cannot pack {content}: it changed while it was read: try again")


def _info(path: str, mode: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(path, _ZIP_TIME)
    info.create_system, info.external_attr, info.compress_type = _UNIX, mode << 16, zipfile.ZIP_DEFLATED
    return info


_WRITERS: dict[Format, Callable[[Contents, IO[bytes]], None]] = {
    Format.GZIP: _write_gzip, Format.XZ: _write_xz, Format.ZSTD: _write_zstd, Format.ZIP: _write_zip,
}  # fmt: skip
