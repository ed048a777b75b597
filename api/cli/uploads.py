"""What of this machine goes into a job's /work: `--upload FILE` and `--upload-dir DIR`.

Small files travel in the Job itself if all of them fit there; others are sent before it (`sending.py`). Permission
bits, empty directories and links inside a directory are kept. `.git` is left out. What a directory holds lands in /work
itself; a link /work/DIR leads there too, for scripts that say `cd DIR`.
Invariant: everything is found and checked before anything is sent.
"""

import base64
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from api.meta import Document

INLINE_FILE_BYTES = 64 << 10
INLINE_BYTES = 512 << 10
MOST_ENTRIES = 10_000
_ENTRY_BYTES = 115
_MOST_LISTED_BYTES = 1_500_000
"""Of a Job's 1.5 MiB, for the paths of its files, their digests and what stands around each of them."""
_LEFT_OUT = ".git"
_DIRECTORY_MODE = 0o755


class BadUpload(Exception):
    """A file cannot be uploaded; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Local:
    """A file of this machine, in the place of its digest in `spec.files` until it was sent."""

    path: Path


@dataclass(frozen=True, slots=True)
class _Entry:
    """Something that was found: `link` is where it leads to, if it is one that is kept as such."""

    path: Path
    link: str | None = None


def files_of(uploads: Sequence[str], directories: Sequence[str]) -> list[Document]:
    """Return what `spec.files` is to hold, with `Local` as `upload` of files that are to be sent before.

    Raises:
        BadUpload: a file is missing, of no use, or there twice.
    """
    found: dict[str, _Entry] = {}
    for inside, entry in _found(uploads, directories):
        _check_text(inside, entry)
        if inside in found and not _both_directories(found[inside], entry):
            first = found[inside].path
            raise BadUpload(f"cannot upload {entry.path}: {first} is already /work/{inside}: rename one of them")
        found[inside] = entry
    if len(found) > MOST_ENTRIES:
        raise BadUpload(
            f"cannot upload {len(found)} files: {MOST_ENTRIES} can be: pack them into one, and unpack it in the job"
        )
    is_little = sum(_size_of_small(entry) for entry in found.values()) <= INLINE_BYTES
    files = [_file(inside, entry, INLINE_FILE_BYTES if is_little else 0) for inside, entry in found.items()]
    listed = sum(len(file["path"].encode()) + _ENTRY_BYTES for file in files if "upload" in file)
    if listed > _MOST_LISTED_BYTES:
        most = _MOST_LISTED_BYTES // _ENTRY_BYTES
        raise BadUpload(
            f"cannot upload {len(files)} files: their paths are too long together, or there are more than {most}: "
            "pack them into one, and unpack it in the job"
        )
    return [*files, *_links(directories, found)]


def _both_directories(one: _Entry, other: _Entry) -> bool:
    return one.link is None and other.link is None and one.path.is_dir() and other.path.is_dir()


def unlinked(directories: Sequence[str], files: Sequence[Document]) -> list[str]:
    """Return the directories that /work/DIR does not lead to what they hold, as files have that name: for people.

    Args:
        files: what `files_of` returned for them.
    """
    linked = {file["path"] for file in files if file.get("link") == "."}
    names = dict.fromkeys(Path(text).name for text in directories)
    return [
        f"/work/{name} is what was uploaded under that name, and does not lead to what --upload-dir {name} holds: "
        "that is in /work itself"
        for name in names
        if name not in ("", "..", *linked)
    ]


def _links(directories: Sequence[str], found: Iterable[str]) -> Iterator[Document]:
    """Yield what makes /work/DIR lead to /work, but where something of that name was uploaded: see `unlinked`."""
    taken = {inside.partition("/")[0] for inside in found}
    for name in dict.fromkeys(Path(text).name for text in directories):
        if name not in ("", "..") and name not in taken:
            yield {"path": name, "link": "."}


def _check_text(inside: str, entry: _Entry) -> None:
    """Refuse names that a Job cannot have, which is text. Linux' are any bytes."""
    for name, what in ((inside, "its name"), (entry.link or "", "what it links to")):
        try:
            name.encode()
        except UnicodeEncodeError:
            shown = os.fsencode(entry.path).decode(errors="backslashreplace")
            raise BadUpload(f"cannot upload {shown}: {what} is no UTF-8 text: rename it, or pack it") from None


def _found(uploads: Sequence[str], directories: Sequence[str]) -> Iterator[tuple[str, _Entry]]:
    for text in uploads:
        if not text:  # Which means this directory, where it is a path.
            raise BadUpload('cannot upload "": it names no file: write --upload FILE')
        path = Path(text)
        _check_file(path)
        yield path.resolve().name if path.name in ("", "..") else path.name, _Entry(path)
    for text in directories:
        if not text:
            raise BadUpload('cannot upload "": it names no directory: write --upload-dir DIR, or . for this one')
        path = Path(text)
        if not path.is_dir():
            fix = "use --upload for a file" if path.exists() else "there is no such directory"
            raise BadUpload(f"cannot upload the directory {path}: {fix}")
        yield from _below(path)


def _below(top: Path) -> Iterator[tuple[str, _Entry]]:
    root = Path(os.path.realpath(top))
    for directory, names, files in os.walk(top, onerror=_refuse):
        here = Path(directory)
        names[:] = sorted(name for name in names if name != _LEFT_OUT)
        files = [name for name in files if name != _LEFT_OUT]  # As a submodule and a worktree have it.
        linked = [name for name in names if (here / name).is_symlink()]
        if here != top and (not (names or files) or _mode_of(here) != _DIRECTORY_MODE):
            yield str(here.relative_to(top)), _Entry(here)
        for name in sorted([*files, *linked]):
            path = here / name
            if path.is_symlink():
                yield str(path.relative_to(top)), _Entry(path, _link_inside(path, top, root))
                continue
            _check_file(path)
            yield str(path.relative_to(top)), _Entry(path)


def _link_inside(path: Path, top: Path, root: Path) -> str:
    """Return where a link leads to, relative and without leaving the directory. Raises BadUpload if it leaves it."""
    says, above = str(path.readlink()), os.path.realpath(path.parent)
    end = os.path.realpath(os.path.join(above, says))
    if not Path(end).is_relative_to(root):
        raise BadUpload(f"cannot upload {path}: it links to {end}, outside of {top}: copy the file")
    lexical = os.path.normpath(os.path.join(path.parent.relative_to(top), says))
    return os.path.relpath(end, above) if lexical.startswith(("..", "/")) else says


def _refuse(error: OSError) -> None:
    raise BadUpload(f"cannot upload {error.filename}: {error.strerror}") from error


def _check_file(path: Path) -> None:
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise BadUpload(f"cannot upload {path}: {error.strerror}") from error
    if stat.S_ISDIR(mode):
        raise BadUpload(f"cannot upload {path}: it is a directory: use --upload-dir")
    if not stat.S_ISREG(mode):
        raise BadUpload(f"cannot upload {path}: it is not a regular file")


def _mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode) & 0o777


def _size_of_small(entry: _Entry) -> int:
    """Return the bytes of what might travel in the Job itself, 0 of all else."""
    if entry.link is not None or entry.path.is_dir():
        return 0
    size = entry.path.stat().st_size
    return size if size <= INLINE_FILE_BYTES else 0


def _file(inside: str, entry: _Entry, most_inline: int) -> Document:
    """Return an entry as `spec.files` has it, with its content if that has so many bytes at most."""
    if entry.link is not None:
        return {"path": inside, "link": entry.link}
    try:
        mode = _mode_of(entry.path)
        if entry.path.is_dir():
            return {"path": inside, "directory": True, "mode": mode}
        if entry.path.stat().st_size > most_inline:
            with entry.path.open("rb"):  # So that what cannot be read is told before anything is sent.
                return {"path": inside, "upload": Local(entry.path), "mode": mode}
        content = entry.path.read_bytes()
    except OSError as error:
        raise BadUpload(f"cannot upload {entry.path}: {error.strerror}") from error
    try:
        text = content.decode()
    except UnicodeDecodeError:
        text = "\0"
    body = {"base64": base64.b64encode(content).decode()} if "\0" in text else {"text": text}
    return {"path": inside, **body, "mode": mode}
