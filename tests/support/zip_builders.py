"""Zips made by hand, good and bad, and other packings of a tar."""

import gzip
import io
import lzma
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable

from api.packages.zstandard import zstd

Entry = tuple[zipfile.ZipInfo, bytes]


def a_zip_file(name: str, content: bytes = b"content", mode: int = stat.S_IFREG | 0o644, **fields: object) -> Entry:
    info = zipfile.ZipInfo("x", (2023, 11, 14, 22, 13, 20))
    info.filename = info.orig_filename = name
    info.create_system, info.external_attr = 3, mode << 16
    info.compress_type = zipfile.ZIP_DEFLATED
    for key, value in fields.items():
        setattr(info, key, value)
    return info, content


def a_zip_link(name: str, target: str) -> Entry:
    return a_zip_file(name, target.encode(), stat.S_IFLNK | 0o777)


def a_zip(*entries: Entry) -> bytes:
    """Return the .zip of these entries, as they are, good or bad."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for info, content in entries:
            archive.writestr(info, content, compress_type=info.compress_type)
    return file.getvalue()


def a_zip_of_overlaps(count: int, content: bytes) -> bytes:
    """Return a zip whose `count` entries all share the bytes of one: each says that it is the same ones."""
    squeezed = zlib.compress(content, 9)[2:-4]
    crc, name = zlib.crc32(content), b"0000"
    fields = (20, 0, 8, 0, 33, crc, len(squeezed), len(content), len(name))
    local = struct.pack("<4sHHHHHLLLHH", b"PK\x03\x04", *fields, 0) + name
    listed = b"".join(
        struct.pack("<4s4B4HL2L5H2L", b"PK\x01\x02", 20, 3, 20, 0, 0, 8, 0, 33, crc, len(squeezed), len(content), 4,
                    0, 0, 0, 0, 0o100644 << 16, 0) + f"{number:04}".encode()
        for number in range(count)
    )  # fmt: skip
    body = local + squeezed
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, count, count, len(listed), len(body), 0)
    return body + listed + end


def a_zip_of_many(count: int, said: int | None = None) -> bytes:
    """Return a zip whose list has `count` entries of nothing, and says that it has `said`."""
    local = struct.pack("<4sHHHHHLLLHH", b"PK\x03\x04", 20, 0, 0, 0, 33, 0, 0, 0, 1, 0) + b"x"
    one = struct.pack("<4s4B4HL2L5H2L", b"PK\x01\x02", 20, 3, 20, 0, 0, 0, 0, 33, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"x"
    listed = one * count
    number = min(count if said is None else said, 0xFFFF)
    return local + listed + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, number, number, len(listed), len(local), 0)


PACKINGS: dict[str, Callable[[bytes], bytes]] = {
    "tar": bytes,
    "gzip": gzip.compress,
    "xz": lzma.compress,
    "zstd": zstd.compress,
}
"""How a plain tar may be packed."""
