r"""What a tree holds, in one line per entry, and the digest of all of it.

The list of a tree has a line for every entry below its root, directories before what is in them, the names of one
directory in the order of their bytes:

    d PATH                 a directory
    f SHA256 PATH          a file; the sha256 of its bytes in 64 hexadecimal digits
    x SHA256 PATH          a file that is executable (by anyone)
    l PATH TARGET          a symbolic link

PATH is relative to the root. In PATH and TARGET every byte but ASCII letters, digits and `_.-~/+:,=@` is written as
%XX, so neither has a space. A line ends with `\n`. **The digest of the tree is the sha256 of this list.**

No part of it: the times, owners and exact permissions of entries, and hard links between files; ours are the same in
every tree. Equal digests therefore mean: jobs see the same.
"""

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from stat import S_ISREG
from typing import Literal
from urllib.parse import quote_from_bytes, unquote_to_bytes

Kind = Literal["d", "f", "x", "l"]
_SAFE = "_.-~/+:,=@"
_PIECE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Line:
    """One entry of a tree. `content` is the digest of a file in hexadecimal digits, the target of a link, or empty."""

    kind: Kind
    path: bytes
    content: str = ""

    @property
    def order(self) -> tuple[bytes, ...]:
        """The place in the list: names are compared one by one, from the root."""
        return tuple(self.path.split(b"/"))


def render(line: Line) -> bytes:
    """Return the line as it is in lists."""
    path = quote_from_bytes(line.path, safe=_SAFE)
    match line.kind:
        case "d":
            return f"d {path}\n".encode()
        case "l":
            return f"l {path} {line.content}\n".encode()
        case _:
            return f"{line.kind} {line.content} {path}\n".encode()


def link_target(target: bytes) -> str:
    """Return the target of a link as lists have it."""
    return quote_from_bytes(target, safe=_SAFE)


def parse(text: bytes) -> Line:
    """Return what a line of a list says.

    Raises:
        ValueError: it is none.
    """
    kind, _, rest = text.decode("ascii").rstrip("\n").partition(" ")
    first, _, second = rest.partition(" ")
    match kind:
        case "d":
            return Line("d", unquote_to_bytes(first))
        case "l":
            return Line("l", unquote_to_bytes(first), second)
        case "f" | "x":
            return Line("x" if kind == "x" else "f", unquote_to_bytes(second), first)
    raise ValueError(f"no line of a list: {text[:80]!r}")


def walk(root: bytes) -> Iterator[tuple[bytes, os.DirEntry[bytes]]]:
    """Yield every entry below `root` with its path from there, in the order of lists. Links are not followed.

    Its caller may replace a file or a link while it has it.
    """
    # A stack, not recursion: a tree may be deeper than Python's stack.
    stack = [(b"", _sorted_entries(root))]
    while stack:
        prefix, entries = stack[-1]
        entry = next(entries, None)
        if entry is None:
            stack.pop()
            continue
        path = prefix + entry.name
        yield path, entry
        if entry.is_dir(follow_symlinks=False):
            stack.append((path + b"/", _sorted_entries(entry.path)))


def _sorted_entries(directory: bytes) -> Iterator[os.DirEntry[bytes]]:
    with os.scandir(directory) as found:
        return iter(sorted(found, key=lambda entry: entry.name))


def hash_file(path: bytes | str, spend: Callable[[int], None] | None = None) -> str:
    """Return the sha256 of a regular file, in hexadecimal digits; `spend` is told of each piece before it is read.

    Raises:
        OSError: it cannot be read, or is no regular file.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        if not S_ISREG(status.st_mode):
            raise OSError("it is no regular file")
        found = hashlib.sha256()
        # One byte more than there should be: a file that is read whole needs no second look for its end.
        size = min(status.st_size + 1, _PIECE_BYTES)
        while True:
            if spend is not None:
                spend(size)
            piece = os.read(descriptor, size)
            found.update(piece)
            if len(piece) < size:
                return found.hexdigest()
    finally:
        os.close(descriptor)
