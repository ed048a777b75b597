"""Writes runtime packages: the same input gives the same bytes, and a registry.json beside them.

STDLIB ONLY, as the builder runs before anything is installed. Never here: what belongs in a runtime.
Invariant: owners, times and order in an archive do not depend on the machine; a registry.json always
names archives that are complete.
"""

import hashlib
import json
import os
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

# The zip format, for one, knows no earlier year than 1980.
_MTIME = 946684800
_BLOCK = tarfile.BLOCKSIZE
_COPY_BYTES = 1 << 20
_GZIP_WINDOW = 31
_LEVEL = 1


@dataclass(frozen=True, slots=True)
class Link:
    """A symbolic link to `target`."""

    target: str


@dataclass(frozen=True, slots=True)
class Directory:
    """A directory, as one that holds nothing is not made by what it holds."""


Content = Path | bytes | Link | Directory
"""A file of this machine to copy, a text to write, a link, or a directory."""


class Changed(ValueError):
    """A file changed while it was packed; nothing was written."""


@dataclass
class Contents:
    """What goes into an archive, by path. A file given under several paths becomes hard links."""

    entries: dict[str, tuple[Content, int]] = field(default_factory=dict)

    def add(self, path: str, content: Content, mode: int = 0o644) -> None:
        """Put `content` at `path`, unless something is there."""
        self.entries.setdefault(path, (content, mode))

    def tops(self, below: str) -> tuple[str, ...]:
        """Return what lies directly below the directory `below`."""
        prefix = below + "/"
        return tuple(sorted({p[len(prefix) :].partition("/")[0] for p in self.entries if p.startswith(prefix)}))


@dataclass(frozen=True, slots=True)
class Body:
    """Entries that several archives share, compressed once."""

    path: Path


def write_body(contents: Contents, path: Path) -> Body:
    """Compress `contents` to the file `path`, for `write_archive`."""
    with path.open("wb") as file:
        packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP_WINDOW)
        for piece in tar_pieces(contents, is_last=True):
            file.write(packer.compress(piece))
        file.write(packer.flush())
    return Body(path)


def write_archive(head: Contents, body: Body, path: Path) -> tuple[str, int]:
    """Write the .tar.gz `path`: `head`, then `body`; a gzip file may have several members. Return checksum and size."""
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP_WINDOW)
    pieces = b"".join(tar_pieces(head, is_last=False))
    digest = hashlib.sha256()
    aside = path.with_suffix(".new")
    with aside.open("wb") as file, body.path.open("rb") as rest:
        first = packer.compress(pieces) + packer.flush()
        for piece in (first, *iter(lambda: rest.read(_COPY_BYTES), b"")):
            digest.update(piece)
            file.write(piece)
    os.replace(aside, path)
    return digest.hexdigest(), path.stat().st_size


def write_registry(directory: Path, entries: Mapping[str, Mapping[str, Mapping[str, object]]]) -> Path:
    """Add `entries` (fields by name and version) to the registry.json in `directory`; return its path."""
    path = directory / "registry.json"
    runtimes: dict[str, dict[str, object]] = {}
    if path.exists():
        runtimes = json.loads(path.read_bytes())["runtimes"]
    for name, versions in entries.items():
        runtimes[name] = {**runtimes.get(name, {}), **versions}
    document = {"version": "1", "updated_at": "2000-01-01T00:00:00Z", "runtimes": runtimes}
    aside = path.with_suffix(".new")
    aside.write_text(json.dumps(document, indent=2, sort_keys=True) + "\n")
    os.replace(aside, path)
    return path


def tar_pieces(contents: Contents, *, is_last: bool) -> Iterator[bytes]:
    """Yield the bytes of a tar of `contents`, ended only if it `is_last`: else another may follow it.

    Raises:
        Changed: a file grew or shrank meanwhile.
    """
    made: set[str] = set()
    first_of: dict[tuple[int, int], str] = {}
    for path in sorted(contents.entries):
        content, mode = contents.entries[path]
        for directory in parents(path):
            if directory not in made:
                made.add(directory)
                yield _header(directory, tarfile.DIRTYPE, 0o755)
        if isinstance(content, Directory):
            if path not in made:
                made.add(path)
                yield _header(path, tarfile.DIRTYPE, 0o755)
        elif isinstance(content, Link):
            yield _header(path, tarfile.SYMTYPE, 0o777, link=content.target)
        elif isinstance(content, bytes):
            yield _header(path, tarfile.REGTYPE, mode, size=len(content)) + _padded(content)
        else:
            stat = content.stat()
            first = first_of.setdefault((stat.st_dev, stat.st_ino), path)
            if first == path:
                yield _header(path, tarfile.REGTYPE, mode, size=stat.st_size)
                yield from _copied(content, stat.st_size)
            else:
                yield _header(path, tarfile.LNKTYPE, mode, link=first)
    if is_last:
        yield bytes(2 * _BLOCK)


def _copied(source: Path, size: int) -> Iterator[bytes]:
    """Yield the `size` bytes of a file, padded."""
    left = size
    with source.open("rb") as file:
        while piece := file.read(_COPY_BYTES):
            left -= len(piece)
            if left < 0:
                break
            yield piece
    if left:
        raise Changed(f"cannot pack {source}: it changed while it was read: try again")
    yield bytes(-size % _BLOCK)


def parents(path: str) -> list[str]:
    """Return the directories above `path`, the topmost first."""
    parts = path.split("/")[:-1]
    return ["/".join(parts[: n + 1]) for n in range(len(parts))]


def _header(path: str, kind: bytes, mode: int, *, size: int = 0, link: str = "") -> bytes:
    info = tarfile.TarInfo(path)
    info.type, info.mode, info.size, info.linkname, info.mtime = kind, mode, size, link, _MTIME
    return info.tobuf(tarfile.GNU_FORMAT)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % _BLOCK)
