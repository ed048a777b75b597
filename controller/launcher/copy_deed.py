"""Copying files out of a run and into it, as a process of the run, between its files and its streams.

The one module beside a job that uses one of the API's, as the other end is the client's: that one, too, is the standard
library's alone. Imported by the process that needs it, before it leaves the host's files.
"""

import os
from collections.abc import Callable

from api.copying import pack, unpack
from controller.launcher.join_request import Deed

_STDIN, _STDOUT, _STDERR = 0, 1, 2
_MOST_TOLD = 100


def copy_of(deed: str) -> Callable[[str], int]:
    """Return what does `deed`: given a path in the run, it returns an exit code.

    Raises:
        ValueError: there is no such deed.
    """
    deeds = {Deed.PACK: _pack, Deed.UNPACK: _unpack}
    if deed not in deeds:
        raise ValueError(f"there is no deed {deed!r:.40}: use {Deed.EXECUTE}, {', '.join(deeds)}")
    return lambda path: _done(deeds[deed], path)


def _done(do: Callable[[str], int], path: str) -> int:
    try:
        return do(path)
    except Exception as error:  # noqa: BLE001 - our bug, and nobody but who asked can be told of it
        _tell([f"cannot copy {path}: {error!r}"])
        return 1


def _pack(path: str) -> int:
    try:
        pack.pack(path, _Stream(_STDOUT))
    except pack.NothingThere as error:
        _tell([str(error)])
        return 1
    except BrokenPipeError:
        return 1
    return 0


def _unpack(path: str) -> int:
    try:
        problems = unpack.unpack(_Stream(_STDIN), path)
    except (unpack.BadStream, OSError) as error:
        problems = [str(error)]
    _tell(problems)
    return 1 if problems else 0


def _tell(problems: list[str]) -> None:
    for problem in problems[:_MOST_TOLD]:
        os.write(_STDERR, problem.encode(errors="surrogateescape") + b"\n")


class _Stream:
    """One of the three streams, all of which block."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def read(self, most_bytes: int, /) -> bytes:
        return os.read(self._fd, most_bytes)

    def write(self, content: bytes, /) -> None:
        left = memoryview(content)
        while left:
            left = left[os.write(self._fd, left) :]
