"""Many small contents as one body: for each a line `sha256:HEX SIZE`, and then its bytes. Both ends of it; pure.

Invariant: what is unpacked is what its lines say, to the byte; whether a content has its digest is for who keeps it.
"""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

MEDIA_TYPE = "application/vnd.runwright.contents"
MOST_BYTES = 1 << 20
"""Of contents together, that a pack is to have: less than a request may."""
MOST_CONTENTS = 1000
MOST_ASKED = 5000
"""Digests that may be asked about at once."""

_LINE = re.compile(rb"(sha256:[0-9a-f]{64}) (0|[1-9][0-9]{0,8})\n")
_LONGEST_LINE = 100


class Content(NamedTuple):
    """A content, and the digest that it is to have."""

    digest: str
    body: bytes | memoryview


class BadPack(ValueError):
    """A body is no pack; the message says where it stops being one."""


def pack(contents: Iterable[Content]) -> bytes:
    """Return contents as one body.

    >>> digest = "sha256:" + "0" * 64
    >>> unpack(pack([Content(digest, b"one"), Content(digest, b"")]))[0].body.tobytes()
    b'one'
    """
    pieces: list[bytes | memoryview] = []
    for content in contents:
        pieces += [f"{content.digest} {len(content.body)}\n".encode(), content.body]
    return b"".join(pieces)


def unpack(body: bytes) -> Sequence[Content]:
    """Return what is in a body. Raises BadPack."""
    contents, at, view = [], 0, memoryview(body)
    while at < len(body):
        line = _LINE.match(body, at, at + _LONGEST_LINE)
        if line is None:
            raise BadPack(f'byte {at} does not begin a line "sha256:HEX SIZE"')
        at = line.end() + int(line[2])
        if at > len(body):
            raise BadPack(f"its last content lacks {at - len(body)} bytes")
        contents.append(Content(line[1].decode(), view[line.end() : at]))
        if len(contents) > MOST_CONTENTS:
            raise BadPack(f"it has more than {MOST_CONTENTS} contents")
    return contents
