"""Sending files ahead of the job that they are for, with a bar on a terminal, and on after a break where it was.

Each file is called by what it is on this machine: so a command that is given again sends no byte twice that is
there already. Small ones go many at a time (`packing.py`). Never here: which files (`uploads.py`).
Invariant: the digest that is put into the Job is that of what was read, of a file that did not change meanwhile.
"""

import hashlib
import os
import socket
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TypeVar

from api.cli import packing
from api.cli.output import note
from api.cli.progress import FileProgress
from api.cli.uploads import BadUpload, Local
from api.client import Client
from api.client_parts import FilePart, Shorter
from api.client_transport import Unreachable
from api.errors import Conflict, RequestTimeout, TooManyRequests
from api.meta import Document

_MOST_TRIES = 10
_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 10.0

T = TypeVar("T")


def send(client: Client, namespace: str, document: Document) -> Document:
    """Return the Job with digests in place of the files that they are of, which were sent.

    Raises:
        BadUpload: a file cannot be read, or changes while it is.
        ApiError, Unreachable: the server does not take it.
    """
    wanted = _local_files(document)
    if not wanted:
        return document
    small = [path for path in wanted if _is_small(path)]
    with FileProgress("uploading") as bars:
        patience = _Patience(client, bars)
        digests = patience.through(packing.LABEL, packing.Packing(client, namespace, small, bars).run) if small else {}
        for path in wanted:
            if path not in digests:
                digests[path] = patience.through(str(path), _Sending(client, namespace, path, bars).run)
    return _with(document, digests)


def named(document: Document) -> Document:
    """Return the Job with digests in place of the files that they are of, and send nothing.

    Raises:
        BadUpload: a file cannot be read.
    """
    return _with(document, {path: _digest(path) for path in _local_files(document)})


def _local_files(document: Document) -> tuple[Path, ...]:
    uploads = (file.get("upload") for file in document["spec"].get("files", ()))
    return tuple(dict.fromkeys(upload.path for upload in uploads if isinstance(upload, Local)))


def _with(document: Document, digests: Mapping[Path, str]) -> Document:
    if not digests:
        return document
    sent = [
        {**file, "upload": digests[file["upload"].path]} if isinstance(file.get("upload"), Local) else file
        for file in document["spec"]["files"]
    ]
    return {**document, "spec": {**document["spec"], "files": sent}}


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
    except OSError as error:
        raise BadUpload(f"cannot upload {path}: {error.strerror}") from error


def _is_small(path: Path) -> bool:
    try:
        return path.stat().st_size <= packing.MOST_BYTES
    except OSError as error:
        raise BadUpload(f"cannot upload {path}: {error.strerror}") from error


class _Patience:
    """What tries again after breaks, as long as something comes of it."""

    def __init__(self, client: Client, bars: FileProgress) -> None:
        self._client, self._bars = client, bars

    def through(self, what: str, do: Callable[[], T]) -> T:
        """Return what `do` returns once it is done; `what` is what its bar is called."""
        pause, tries, furthest = _FIRST_PAUSE_SECONDS, 0, -1
        while True:
            try:
                return do()
            except (Unreachable, Conflict, RequestTimeout, TooManyRequests) as error:
                tries = tries + 1 if self._bars.done(what) <= furthest else 0
                furthest = self._bars.done(what)
                if tries >= _MOST_TRIES:
                    raise
                note(f"sending {what}: {error}; trying again")
                asked_for = getattr(error, "retry_after_seconds", None)
                self._client.closed.wait(asked_for or pause)
                pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)


class _Sending:
    """One file on its way."""

    def __init__(self, client: Client, namespace: str, path: Path, bars: FileProgress) -> None:
        self._client, self._namespace, self._path, self._bars = client, namespace, path, bars

    def run(self) -> str:
        """Send what is not there yet, and return the digest."""
        try:
            with self._path.open("rb", buffering=0) as file:
                return self._send(file.fileno())
        except ConnectionError:
            raise
        except OSError as error:
            raise BadUpload(f"cannot upload {self._path}: {error.strerror}") from error
        except Shorter as error:
            raise BadUpload(
                f"cannot upload {self._path}: it became shorter while it was sent: send it again"
            ) from error

    def _send(self, fd: int) -> str:
        before = os.fstat(fd)
        name, total = _name_of(self._path, before), before.st_size
        state = self._client.begin_upload(self._namespace, name, total)
        if not state.get("digest"):
            show = partial(self._bars.show, str(self._path), total=total)
            state = self._client.upload(self._namespace, name, FilePart(fd, int(state["receivedBytes"]), total, show))
        after = os.fstat(fd)
        if _what(after) != _what(before) or not state.get("digest"):
            raise BadUpload(f"cannot upload {self._path}: it changed while it was sent: send it again")
        return str(state["digest"])


def _what(found: os.stat_result) -> tuple[int, ...]:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _name_of(path: Path, found: os.stat_result) -> str:
    """Return what a file is called on its way: another name for another content, as far as its machine can tell."""
    told = repr((socket.gethostname(), str(path.resolve()), *_what(found)))
    return f"file-{hashlib.sha256(told.encode()).hexdigest()[:40]}"
