"""What an ELF file says about how it is loaded: its interpreter, the libraries it needs, where to look for them.

Pure: takes the bytes of a file, or as many as hold the headers and the dynamic section. Never here:
where the libraries are (`closure.py`).
Source: elf(5), and the System V ABI, chapters 4 and 5.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass, replace

_PT_LOAD, _PT_DYNAMIC, _PT_INTERP = 1, 2, 3
_DT_NULL, _DT_NEEDED, _DT_STRTAB, _DT_SONAME, _DT_RPATH, _DT_RUNPATH = 0, 1, 5, 14, 15, 29
_MAX_HEADERS = 4096
_MAX_DYNAMIC = 65536
_MAX_NAME = 4096
_HEAD_BYTES = 64 << 10


class NotElf(ValueError):
    """These bytes are no ELF file that can be loaded, or a broken one; the message says why."""


@dataclass(frozen=True, slots=True)
class Elf:
    """An ELF file's needs. `kind` is its class, byte order and machine: libraries must have the same."""

    kind: tuple[int, int, int]
    interpreter: str = ""
    needed: tuple[str, ...] = ()
    soname: str = ""
    rpath: tuple[str, ...] = ()
    runpath: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Segment:
    type: int
    offset: int
    address: int
    size: int


def is_elf(data: bytes) -> bool:
    """Say whether `data` begins as an ELF file does."""
    return data[:4] == b"\x7fELF"


def parse(data: bytes) -> Elf:
    """Return what the ELF file `data` needs.

    Raises:
        NotElf: it is none, or its headers point outside of it.
    """
    bits, order = _class_and_order(data)
    try:
        return _parse(data, bits, order)
    except (struct.error, OverflowError) as error:  # The latter for an offset of 2^63 and above.
        raise NotElf(f"its headers point outside of it: {error}") from None


def soname(read: Callable[[int, int], bytes]) -> str:
    """Return the name that programs ask for a library by, empty if it has none, reading no more than it takes.

    Args:
        read: gives so many bytes from an offset of the file, or as many as there are.

    Raises:
        NotElf: it is none, or its headers point outside of it.
    """
    head = read(0, _HEAD_BYTES)
    bits, order = _class_and_order(head)
    endian = "<" if order == 1 else ">"
    try:
        segments = _segments(head, bits, endian)
        dynamic = next((s for s in segments if s.type == _PT_DYNAMIC), None)
        if dynamic is None:
            return ""
        size = min(dynamic.size, _MAX_DYNAMIC * 16)
        section = read(dynamic.offset, size)
        if len(section) < size:
            raise NotElf("its dynamic section lies outside of it")
        entries = _dynamic_entries(section, replace(dynamic, offset=0, size=len(section)), bits, endian)
        name = next((value for tag, value in entries if tag == _DT_SONAME), None)
        return "" if name is None else _text(read(_string_table(entries, segments) + name, _MAX_NAME), 0, _MAX_NAME)
    except (struct.error, OverflowError) as error:
        raise NotElf(f"its headers point outside of it: {error}") from None


def _class_and_order(data: bytes) -> tuple[int, int]:
    if not is_elf(data) or len(data) < 52:
        raise NotElf("it does not begin as an ELF file")
    bits, order = data[4], data[5]
    if bits not in (1, 2) or order not in (1, 2):
        raise NotElf(f"its class is {bits} and its byte order {order}")
    return bits, order


def _parse(data: bytes, bits: int, order: int) -> Elf:
    endian = "<" if order == 1 else ">"
    machine = struct.unpack_from(f"{endian}H", data, 18)[0]
    kind = (bits, order, machine)
    segments = _segments(data, bits, endian)
    interpreter = next((_text(data, s.offset, s.size) for s in segments if s.type == _PT_INTERP), "")
    dynamic = next((s for s in segments if s.type == _PT_DYNAMIC), None)
    if dynamic is None:
        return Elf(kind, interpreter)
    entries = _dynamic_entries(data, dynamic, bits, endian)
    strings = _string_table(entries, segments)

    def texts(tag: int) -> tuple[str, ...]:
        return tuple(_text(data, strings + value, 4096) for found, value in entries if found == tag)

    def paths(tag: int) -> tuple[str, ...]:
        return tuple(path for text in texts(tag) for path in text.split(":") if path)

    soname = texts(_DT_SONAME)
    return Elf(kind, interpreter, texts(_DT_NEEDED), soname[0] if soname else "", paths(_DT_RPATH), paths(_DT_RUNPATH))


def _segments(data: bytes, bits: int, endian: str) -> list[_Segment]:
    if bits == 2:
        (start,) = struct.unpack_from(f"{endian}Q", data, 32)
        size, count = struct.unpack_from(f"{endian}HH", data, 54)
    else:
        (start,) = struct.unpack_from(f"{endian}I", data, 28)
        size, count = struct.unpack_from(f"{endian}HH", data, 42)
    if count > _MAX_HEADERS:
        raise NotElf(f"it has {count} program headers")
    segments = []
    for number in range(count):
        at = start + number * size
        if bits == 2:
            kind, _flags, offset, address, _physical, length = struct.unpack_from(f"{endian}IIQQQQ", data, at)
        else:
            kind, offset, address, _physical, length = struct.unpack_from(f"{endian}IIIII", data, at)
        segments.append(_Segment(kind, offset, address, length))
    return segments


def _dynamic_entries(data: bytes, segment: _Segment, bits: int, endian: str) -> list[tuple[int, int]]:
    layout = struct.Struct(f"{endian}qQ" if bits == 2 else f"{endian}iI")
    entries = []
    for number in range(min(segment.size // layout.size, _MAX_DYNAMIC)):
        tag, value = layout.unpack_from(data, segment.offset + number * layout.size)
        if tag == _DT_NULL:
            break
        entries.append((tag, value))
    return entries


def _string_table(entries: list[tuple[int, int]], segments: list[_Segment]) -> int:
    """Return where in the file the names are: the dynamic section gives their address in memory."""
    address = next((value for tag, value in entries if tag == _DT_STRTAB), None)
    if address is None:
        return 0
    for segment in segments:
        if segment.type == _PT_LOAD and segment.address <= address < segment.address + segment.size:
            return address - segment.address + segment.offset
    raise NotElf("its names lie in no segment")


def _text(data: bytes, start: int, max_size: int) -> str:
    if start >= len(data):
        raise NotElf("a name lies outside of it")
    end = data.find(b"\0", start, start + max_size)
    return data[start : end if end >= 0 else start + max_size].decode("utf-8", "surrogateescape")
