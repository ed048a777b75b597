"""Files of this machine that go into a job's /work: `--upload FILE` and `--upload-dir DIR`.

Contents travel in the Job itself (`spec.files`), so they are limited to 1 MB together. Permission
bits are kept. Links are followed where they stay inside the directory. `.git` is left out.
What a directory holds lands in /work itself; a link /work/DIR leads there too, for scripts that say `cd DIR`.
Invariant: everything is checked before anything is submitted.
"""

import base64
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from api.meta import Document
from api.types.job_spec import FILES_MOST_BYTES

_LEFT_OUT = ".git"


class BadUpload(Exception):
    """A file cannot be uploaded; the message says why and what to do."""


def files_of(uploads: Sequence[str], directories: Sequence[str]) -> list[Document]:
    """Return what `spec.files` is to hold.

    Raises:
        BadUpload: a file is missing, of no use, there twice, or they are too large together.
    """
    found: dict[str, Path] = {}
    for inside, path in _found(uploads, directories):
        if inside in found:
            raise BadUpload(f"cannot upload {path}: {found[inside]} is already /work/{inside}: rename one of them")
        found[inside] = path
    _check_size(found)
    return [*(_file(inside, path) for inside, path in found.items()), *_links(directories, found)]


def _links(directories: Sequence[str], found: Iterable[str]) -> Iterator[Document]:
    """Yield what makes /work/DIR lead to /work, but where something of that name was uploaded."""
    taken = {inside.partition("/")[0] for inside in found}
    for name in dict.fromkeys(Path(text).name for text in directories):
        if name not in ("", "..") and name not in taken:
            yield {"path": name, "link": "."}


def _found(uploads: Sequence[str], directories: Sequence[str]) -> Iterator[tuple[str, Path]]:
    for text in uploads:
        path = Path(text)
        _check_file(path)
        yield path.resolve().name if path.name in ("", "..") else path.name, path
    for text in directories:
        path = Path(text)
        if not path.is_dir():
            fix = "use --upload for a file" if path.exists() else "there is no such directory"
            raise BadUpload(f"cannot upload the directory {path}: {fix}")
        yield from _below(path)


def _below(top: Path) -> Iterator[tuple[str, Path]]:
    root = top.resolve()
    for directory, names, files in os.walk(top, onerror=_refuse):
        names[:] = sorted(name for name in names if name != _LEFT_OUT)
        linked = [name for name in names if (Path(directory) / name).is_symlink()]
        for name in linked:
            raise BadUpload(
                f"cannot upload {Path(directory) / name}: it is a link to a directory: put the directory itself there"
            )
        for name in sorted(files):
            path = Path(directory) / name
            if path.is_symlink() and not path.resolve().is_relative_to(root):
                raise BadUpload(f"cannot upload {path}: it links to {path.resolve()}, outside of {top}: copy the file")
            _check_file(path)
            yield str(path.relative_to(top)), path


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


def _check_size(found: dict[str, Path]) -> None:
    total = sum(path.stat().st_size for path in found.values())
    if total > FILES_MOST_BYTES:
        largest = max(found.values(), key=lambda path: path.stat().st_size)
        raise BadUpload(
            f"cannot upload {total} bytes: the limit is {FILES_MOST_BYTES} bytes together, "
            f"and {largest} has {largest.stat().st_size}: fetch large files in the job itself"
        )


def _file(inside: str, path: Path) -> Document:
    try:
        content, mode = path.read_bytes(), stat.S_IMODE(path.stat().st_mode) & 0o777
    except OSError as error:
        raise BadUpload(f"cannot upload {path}: {error.strerror}") from error
    try:
        text = content.decode()
    except UnicodeDecodeError:
        text = "\0"
    body = {"base64": base64.b64encode(content).decode()} if "\0" in text else {"text": text}
    return {"path": inside, **body, "mode": mode}
