"""The formats that packages are packed in, and reading any of them entry by entry, as tar would tell of it.

Never here: what may be in an archive (`safety.py`), writing one (`writing.py`), installing one, which trusts nothing.
"""

import gzip
import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import IO, cast

from api.packages.findings import Refused

_ZSTD, _ZIP = b"\x28\xb5\x2f\xfd", (b"PK\x03\x04", b"PK\x05\x06")
_COPY_BYTES = 1 << 20
_MOST_TARGET_BYTES = 4097
_TORN = (
    tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, lzma.LZMAError, ValueError, NotImplementedError,
    RuntimeError, gzip.BadGzipFile,
)  # fmt: skip

Member = tuple[tarfile.TarInfo, bytes]
Wanted = Callable[[tarfile.TarInfo], int]
"""How many of the first bytes of a file are wanted."""


class Format(StrEnum):
    """What a package may be packed in; the value is how the archive's name ends."""

    GZIP = "tar.gz"
    XZ = "tar.xz"
    ZSTD = "tar.zst"
    ZIP = "zip"

    @property
    def suffix(self) -> str:
        """The end of the name, with its dot."""
        return f".{self}"


SUFFIXES = (*(each.suffix for each in Format), ".tgz", ".tar")


def format_of(name: str) -> Format | None:
    """Return the format that the name of an archive promises.

    >>> format_of("a-1.0.0.tar.zst"), format_of("a.tgz"), format_of("a.deb")
    (<Format.ZSTD: 'tar.zst'>, <Format.GZIP: 'tar.gz'>, None)
    """
    found = next((each for each in Format if name.endswith(each.suffix)), None)
    return Format.GZIP if found is None and name.endswith(".tgz") else found


def members(path: Path, wanted: Wanted) -> Iterator[Member]:
    """Yield the entries of the archive `path`, each with the first bytes of a file, as many as are `wanted` of it.

    What it is packed with, its first bytes say. It is read to its end, checksums and all.

    Raises:
        Refused: it cannot be read, is no such archive, or it is torn.
    """
    try:
        with path.open("rb") as file:
            head = file.read(4)
        yield from _zip_members(path, wanted) if head in _ZIP else _tar_members(path, wanted, is_zstd=head == _ZSTD)
    except _TORN as error:
        what = "zip" if path.suffix == ".zip" else format_of(path.name)
        why = "" if "\n" in str(error) else f": {error}"  # tarfile has a line for each form that it tried.
        of_what = f"whole .{what}" if what else "archive: give a .zip or a .tar, packed or not"
        raise Refused(f"cannot read {path}: it is no {of_what}{why}") from None
    except OSError as error:
        raise Refused(f"cannot read {path}: {error.strerror or error}") from None


def _tar_members(path: Path, wanted: Wanted, *, is_zstd: bool) -> Iterator[Member]:
    with ExitStack() as opened:
        if is_zstd:
            file = opened.enter_context(_open_zstd(path))
            tar = opened.enter_context(tarfile.open(fileobj=file, mode="r:"))
        else:
            tar = opened.enter_context(tarfile.open(path, "r:*"))
        for member in tar:
            content = tar.extractfile(member) if member.isfile() else None
            yield member, content.read(wanted(member)) if content is not None else b""
        while tar.fileobj is not None and tar.fileobj.read(_COPY_BYTES):
            pass  # To the end, where the checksum of the whole is.


@contextmanager
def _open_zstd(path: Path) -> Iterator[IO[bytes]]:
    from api.packages.zstandard import zstd

    try:
        with zstd.open(path, "rb") as file:
            yield cast("IO[bytes]", file)
    except zstd.ZstdError as error:
        raise ValueError(str(error)) from error


def _zip_members(path: Path, wanted: Wanted) -> Iterator[Member]:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            member = tarfile.TarInfo(info.filename)
            mode = info.external_attr >> 16
            member.mode, member.size = stat.S_IMODE(mode), info.file_size
            member.type = _type_of(info, mode)
            with archive.open(info) as content:
                if member.issym():
                    member.linkname = content.read(_MOST_TARGET_BYTES).decode("utf-8", "surrogateescape")
                yield member, content.read(wanted(member)) if member.isfile() else b""
                while content.read(_COPY_BYTES):
                    pass  # To the end, where its checksum is compared.


def _type_of(info: zipfile.ZipInfo, mode: int) -> bytes:
    if info.is_dir():
        return tarfile.DIRTYPE
    types = {0: tarfile.REGTYPE, stat.S_IFREG: tarfile.REGTYPE, stat.S_IFLNK: tarfile.SYMTYPE}
    return types.get(stat.S_IFMT(mode), tarfile.CHRTYPE)
