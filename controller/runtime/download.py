"""One archive on its way from a registry: opened, measured, unpacked and verified in one pass.

Never here: where it is unpacked to and what becomes of it (`install.py`), trying again (the worker).
Invariant: `fetch_into` returns only if every byte was what the catalogue promised.
"""

from collections.abc import Callable
from dataclasses import dataclass

import httpx

from controller.engine.errors import TerminalError, TransientError
from controller.registry import fetch
from controller.registry.fetch import Readable, Stream
from controller.runtime import archive
from controller.runtime.archive import Limits, Metered, Unpacked


@dataclass(frozen=True, slots=True)
class Archive:
    """What to download: where from and what it must turn out to be; a size of None is not known."""

    url: str
    sha256: str
    size_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Received:
    """What was downloaded and unpacked."""

    archive_bytes: int
    unpacked: Unpacked


Progress = Callable[[int, int | None], None]
"""Called with the bytes of the archive read so far, and all of them if that is known."""


def fetch_into(
    directory: int,
    wanted: Archive,
    client: httpx.Client,
    *,
    limits: Limits | None = None,
    progress: Progress | None = None,
) -> Received:
    """Download `wanted`, unpacking it into the empty directory open as `directory`.

    Raises:
        TransientError: SizeMismatch, ChecksumMismatch, DamagedArchive, or it cannot be read or written.
        TerminalError: InvalidArchive, it is what was promised and may not be unpacked.
    """
    with fetch.open_url(client, wanted.url) as stream:
        length = _agreed_length(wanted, stream)

        def tell(count: int) -> None:
            if progress is not None:
                progress(count, length)

        metered = Metered(_Capped(stream.body, wanted.url, length), tell)
        try:
            unpacked = archive.unpack(metered, directory, limits)
            archive.drain(metered)
        except (TransientError, TerminalError) as error:
            _explain(error, wanted, metered, length)
            raise
        _verify(wanted, metered, length)
        return Received(metered.count, unpacked)


class _Capped:
    """A source that may not be longer than it said."""

    def __init__(self, source: Readable, url: str, length: int | None) -> None:
        self._source = source
        self._url = url
        self._length = length
        self._count = 0

    def read(self, size: int = -1, /) -> bytes:
        """Read on, up to the length and not beyond."""
        piece = self._source.read(size)
        self._count += len(piece)
        if self._length is not None and self._count > self._length:
            raise _wrong_size(self._url, self._length, f"more than {self._length}")
        return piece


def _agreed_length(wanted: Archive, stream: Stream) -> int | None:
    """Return how long the archive is, refusing at once where the catalogue and the server disagree."""
    if wanted.size_bytes is not None and stream.length is not None and wanted.size_bytes != stream.length:
        raise _wrong_size(wanted.url, wanted.size_bytes, str(stream.length))
    return stream.length if wanted.size_bytes is None else wanted.size_bytes


def _explain(error: TransientError | TerminalError, wanted: Archive, metered: Metered, length: int | None) -> None:
    """Raise the plainer error where the archive could not be unpacked because it is not the one that was promised."""
    if error.reason not in ("InvalidArchive", "DamagedArchive") or length is None:
        return
    archive.drain(metered)
    _verify(wanted, metered, length)


def _verify(wanted: Archive, metered: Metered, length: int | None) -> None:
    if length is not None and metered.count != length:
        raise _wrong_size(wanted.url, length, str(metered.count))
    if metered.sha256 != wanted.sha256:
        raise TransientError(
            "ChecksumMismatch",
            f"cannot use {wanted.url}: its checksum is sha256:{metered.sha256}, "
            f"the registry promised sha256:{wanted.sha256}",
        )


def _wrong_size(url: str, wanted: int, found: str) -> TransientError:
    return TransientError("SizeMismatch", f"cannot use {url}: it has {found} bytes, the registry promised {wanted}")
