"""One archive on its way from a server: opened, measured, unpacked and verified in one pass.

Where there are mirrors they are tried in their order, each from the beginning; the same checksum is asked of all. What
came of a download that broke is kept (`parts.py`), and unpacked again when the next attempt goes on with it.
Never here: where it is unpacked to and what becomes of it (`install.py`), trying again later (the installer).
Invariant: `fetch_into` returns only if every byte was what was promised.
"""

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass

import httpx

from controller.engine.errors import TerminalError, TransientError
from controller.linux.removal import remove_tree
from controller.registry import location, resume
from controller.registry.access import ANYONE, Access
from controller.registry.fetch import Readable, Stream
from controller.registry.parts import Part, Parts
from controller.registry.resume import PATIENT, Asked, Patience
from controller.runtime.archives import archive
from controller.runtime.archives.archive import Limits, Metered, Unpacked

_OURS = frozenset({"InsufficientSpace", "CannotWrite", "NoLongerWanted"})
"""Reasons that are the same whatever the server."""

_SPOILT = frozenset({"ChecksumMismatch", "SizeMismatch", "DamagedArchive", "InvalidArchive"})
"""Reasons that what came cannot be what was wanted."""


Progress = Callable[[int, int | None], None]
"""Called with the bytes done so far, and all of them if that is known."""


@dataclass(frozen=True, slots=True)
class Archive:
    """What to download: where from and what it must turn out to be; a size of None is not known.

    `mirrors` may have it too. `access` is the right with which the registry's own server is asked, `promised_by`
    who said what it is, for errors.
    """

    url: str
    sha256: str
    size_bytes: int | None = None
    mirrors: tuple[str, ...] = ()
    access: Access = ANYONE
    promised_by: str = "the registry"


@dataclass(frozen=True, slots=True)
class Received:
    """What was downloaded and unpacked, and from where."""

    archive_bytes: int
    unpacked: Unpacked
    url: str = ""


def fetch_into(
    directory: int,
    wanted: Archive,
    client: httpx.Client,
    *,
    limits: Limits | None = None,
    progress: Progress | None = None,
    patience: Patience = PATIENT,
    parts: Parts | None = None,
) -> Received:
    """Download `wanted`, unpacking it into the empty directory open as `directory`.

    With `parts` it goes on where an earlier download of it broke, and leaves what came for the next one if it breaks.

    Raises:
        TransientError: SizeMismatch, ChecksumMismatch, DamagedArchive, or it cannot be read or written.
        TerminalError: InvalidArchive, it is what was promised and may not be unpacked.
    """
    failures: list[TransientError] = []
    for url in (wanted.url, *wanted.mirrors):
        if failures:
            _clear(directory)
        attempt = _Attempt(directory, url, wanted, limits, progress)
        try:
            return attempt.run_with(parts, Asked(client, url, wanted.access, patience))
        except TransientError as error:
            if error.reason in _OURS:
                raise
            failures.append(error)
    if len(failures) == 1:
        raise failures[0]
    messages = "; ".join(dict.fromkeys(failure.message for failure in failures))
    raise TransientError(failures[0].reason, messages)


@dataclass(frozen=True, slots=True)
class _Attempt:
    """The download of one archive from one server."""

    directory: int
    url: str
    wanted: Archive
    limits: Limits | None
    progress: Progress | None

    def run_with(self, parts: Parts | None, asked: Asked) -> Received:
        """Download it, from where an earlier download broke if that is known, and once more if that was spoilt."""
        if parts is None or location.local_path(self.url) is not None:
            return self.run(asked)
        with parts.open(self.url, self.wanted.sha256) as part:
            was_begun = part is not None and part.size > 0
            try:
                received = self._run_keeping(asked, part)
            except (TransientError, TerminalError) as error:
                if not was_begun or error.reason not in _SPOILT:
                    raise
                _clear(self.directory)
                received = self._run_keeping(asked, part)
        parts.remove(self.wanted.sha256)
        return received

    def _run_keeping(self, asked: Asked, part: Part | None) -> Received:
        """Download it; of what broke, only what may still be good stays in `part`."""
        try:
            return self.run(asked, part)
        except (TransientError, TerminalError) as error:
            if part is not None and error.reason in _SPOILT | _OURS:
                part.discard()
            raise

    def run(self, asked: Asked, part: Part | None = None) -> Received:
        """Download it, unpack it and compare its checksum."""
        metered: Metered | None = None
        length: int | None = self.wanted.size_bytes

        def tell(count: int) -> None:
            if self.progress is not None:
                self.progress(count, length)

        with resume.open_resuming(asked, lambda: tell(metered.count if metered else 0), part) as stream:
            length = self._agreed_length(stream)
            longest = (self.limits or Limits()).expanded_bytes if length is None else length
            metered = Metered(_Capped(stream.body, self.wanted, longest), tell)
            return self._unpack(metered, length)

    def _unpack(self, metered: Metered, length: int | None) -> Received:
        def verify() -> None:
            archive.drain(metered)
            self._verify(metered, length)

        try:
            unpacked = archive.unpack(metered, self.directory, self.limits, verify)
        except (TransientError, TerminalError) as error:
            if error.reason in ("InvalidArchive", "DamagedArchive") and length is not None:
                verify()  # Plainer, where it could not be unpacked because it is not the one that was promised.
            raise
        verify()
        return Received(metered.count, unpacked, self.url)

    def _agreed_length(self, stream: Stream) -> int | None:
        """Return how long the archive is, refusing at once where the catalogue and the server disagree."""
        promised = self.wanted.size_bytes
        if promised is not None and stream.length is not None and promised != stream.length:
            raise _wrong_size(self.wanted, promised, str(stream.length))
        return stream.length if promised is None else promised

    def _verify(self, metered: Metered, length: int | None) -> None:
        if length is not None and metered.count != length:
            raise _wrong_size(self.wanted, length, str(metered.count))
        if metered.sha256 != self.wanted.sha256:
            raise TransientError(
                "ChecksumMismatch",
                f"cannot use {self.url}: its checksum is sha256:{metered.sha256}, "
                f"{self.wanted.promised_by} promised sha256:{self.wanted.sha256}",
            )


class _Capped:
    """A source that may not be longer than it said."""

    def __init__(self, source: Readable, wanted: Archive, length: int) -> None:
        self._source = source
        self._wanted = wanted
        self._length = length
        self._count = 0

    def read(self, size: int = -1, /) -> bytes:
        """Read on, up to the length and not beyond."""
        piece = self._source.read(size)
        self._count += len(piece)
        if self._count > self._length:
            raise _wrong_size(self._wanted, self._length, f"more than {self._length}")
        return piece


def _clear(directory: int) -> None:
    """Remove what an attempt left, so that the next one finds it empty."""
    for name in os.listdir(directory):
        if stat.S_ISDIR(os.lstat(name, dir_fd=directory).st_mode):
            remove_tree(name, dir_fd=directory)
        else:
            os.unlink(name, dir_fd=directory)


def _wrong_size(wanted: Archive, promised: int, found: str) -> TransientError:
    by = "its server" if wanted.size_bytes is None else wanted.promised_by
    return TransientError("SizeMismatch", f"cannot use {wanted.url}: it has {found} bytes, {by} promised {promised}")


__all__ = ["Archive", "Progress", "Received", "fetch_into"]
