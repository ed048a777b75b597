"""The logs of builds, kept on disk: LOGS/NAME-VERSION.log, and what was before it in NAME-VERSION.log.1.

A build that says more than fits moves its log aside and goes on in a new one: the end is always there, and for builds
of usual size the beginning too. Never here: serving them (`controller/daemon/served_runtimes.py`).
"""

import os
from collections.abc import Callable, Iterator
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Self

LARGEST_BYTES = 8 << 20
_SUFFIX = ".log"


class BuildLog:
    """The log of one build, which begins anew; a context manager.

    Raises:
        OSError: it cannot be written.
    """

    def __init__(self, logs: Path, key: str, *, largest_bytes: int = LARGEST_BYTES) -> None:
        """Begin the log of `key`, which is NAME-VERSION, in the directory `logs`."""
        logs.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._path = logs / f"{key}{_SUFFIX}"
        self._largest_bytes = largest_bytes
        _earlier(self._path).unlink(missing_ok=True)
        self._path.unlink(missing_ok=True)  # Who reads the last one may read on.
        self._file = _create(self._path)
        self._count = 0

    def line(self, text: str) -> None:
        """Write one line."""
        raw = text.encode(errors="replace") + b"\n"
        if self._count + len(raw) > self._largest_bytes:
            full = self._file
            os.replace(self._path, _earlier(self._path))
            self._file = _create(self._path)
            full.close()
            self._count = 0
        self._file.write(raw)
        self._count += len(raw)

    def and_to(self, also: Callable[[str], None]) -> Callable[[str], None]:
        """Return what writes a line here and says it to `also`."""

        def both(line: str) -> None:
            self.line(line)
            also(line)

        return both

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def read(logs: Path, key: str) -> Iterator[str]:
    """Yield the lines of the last build of `key`, oldest first; none if there was none."""
    path = logs / f"{key}{_SUFFIX}"
    for part in (_earlier(path), path):
        try:
            with part.open(encoding="utf-8", errors="replace") as file:
                yield from (line.rstrip("\n") for line in file)
        except FileNotFoundError:
            continue


def _earlier(path: Path) -> Path:
    return path.with_name(f"{path.name}.1")


def _create(path: Path) -> FileIO:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    return FileIO(os.open(path, flags, 0o600), "wb")
