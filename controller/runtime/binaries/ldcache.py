"""Reads ld.so.cache, in which the loader looks libraries up.

Pure: takes the bytes. Source: glibc, sysdeps/generic/dl-cache.h (struct cache_file_new, file_entry_new).
"""

import struct

_MAGIC = b"glibc-ld.so.cache1.1"
_OLD_MAGIC = b"ld.so-1.7.0"
_OLD_HEADER, _OLD_ENTRY = 16, 12
_HEADER = struct.Struct("=20sIIB3xI12x")
_ENTRY = struct.Struct("=iIIIQ")


def parse(data: bytes) -> dict[str, tuple[str, ...]]:
    """Return the paths of each library by its name, best first; those for special processors are left out.

    Bytes that are no such cache give nothing, as for the loader.
    """
    start = _start(data)
    if start is None or len(data) < start + _HEADER.size:
        return {}
    _magic, count, _strings, _flags, _extensions = _HEADER.unpack_from(data, start)
    found: dict[str, list[str]] = {}
    for number in range(count):
        at = start + _HEADER.size + number * _ENTRY.size
        if at + _ENTRY.size > len(data):
            break
        _kind, name, path, _version, capabilities = _ENTRY.unpack_from(data, at)
        if not capabilities:
            found.setdefault(_text(data, start + name), []).append(_text(data, start + path))
    return {name: tuple(paths) for name, paths in found.items() if name}


def _start(data: bytes) -> int | None:
    """Return where the current format starts: at once, or behind entries of the old one."""
    if data.startswith(_MAGIC):
        return 0
    if not data.startswith(_OLD_MAGIC) or len(data) < _OLD_HEADER:
        return None
    (count,) = struct.unpack_from("=I", data, 12)
    at = _OLD_HEADER + count * _OLD_ENTRY
    at = (at + 7) & ~7
    return at if data[at : at + len(_MAGIC)] == _MAGIC else None


def _text(data: bytes, at: int) -> str:
    end = data.find(b"\0", at)
    return data[at : end if end >= 0 else len(data)].decode("utf-8", "surrogateescape") if at < len(data) else ""
