"""The attributes of a netlink message, as the kernel writes them: a number and bytes, one after the other. Pure."""

import struct
from collections.abc import Iterator

_NUMBER = 0x3FFF
"""Without the two bits that say that others are inside, and in which order its bytes are."""


def read(body: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield each attribute; what cannot be one ends it."""
    at = 0
    while at + 4 <= len(body):
        length, kind = struct.unpack_from("=HH", body, at)
        if length < 4:
            return
        yield kind & _NUMBER, body[at + 4 : at + length]
        at += length + (-length % 4)
