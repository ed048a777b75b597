"""`rnx cp`: files and directories, into a running job and out of it."""

import contextlib
import os
import re
import threading
from collections.abc import Generator, Iterable
from dataclasses import dataclass

import click

from api.cli import run_targets
from api.cli.connection import Connection, pass_connection, reaching
from api.cli.flag_types import Whole
from api.cli.output import note, printable
from api.cli.problems import CommandFailed
from api.copying import pack, unpack

_READ_BYTES = 1 << 17
_OF_RUN = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*(?:/[A-Za-z0-9][A-Za-z0-9._-]*)?):(.+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class _Place:
    """A path on this machine, or in a run if `word` names one."""

    word: str
    path: str


@click.command("cp")
@click.argument("source", metavar="SOURCE")
@click.argument("target", metavar="TARGET")
@click.option("--attempt", type=Whole(1), metavar="N", help="The N-th run; by default the running one.")
@run_targets.of_index
@reaching
@pass_connection
def copy(connection: Connection, *, source: str, target: str, attempt: int | None, index: int | None) -> None:
    """Copy SOURCE, a file or a directory with all that is in it, to TARGET, or into TARGET if that is a directory.

    \b
    One of the two is in a running job: JOB:PATH, job/NAME:PATH or pod/NAME:PATH.
    A path that has a colon itself is written ./PATH.

    Links are copied as links, and none is followed but SOURCE itself. Modes and times are kept, owners and
    setuid bits are not, nor on this machine what the umask forbids. The job needs no tar for it.
    """
    connection.only_one_host("copy files")
    of, to = _place(source), _place(target)
    if bool(of.word) == bool(to.word):
        raise click.UsageError("one of SOURCE and TARGET must be in a job, as JOB:PATH, and the other on this machine")
    run = run_targets.find(connection, of.word or to.word, attempt, index)
    copying = _copy_out if of.word else _copy_in
    problems = copying(connection, run, of.path, to.path)
    for problem in problems:
        note(f"not copied: {printable(problem)}")
    if problems:
        raise CommandFailed(f"cannot copy all that {source} holds: the rest is copied")


def _place(text: str) -> _Place:
    """Return what an argument means.

    >>> _place("etl:/work/out"), _place("./a:b")
    (_Place(word='etl', path='/work/out'), _Place(word='', path='./a:b'))
    """
    found = None if text.startswith((".", "/")) else _OF_RUN.fullmatch(text)
    return _Place(found[1], found[2]) if found else _Place("", text)


def _copy_out(connection: Connection, run: run_targets.Running, path: str, target: str) -> list[str]:
    try:
        with connection.client.copy_out(run.namespace, run.pod, path) as chunks:
            return unpack.unpack(_Pieces(chunks), target, umask=_umask())
    except (unpack.BadStream, OSError) as error:
        if isinstance(error, ConnectionError):
            raise
        raise CommandFailed(printable(str(error))) from error


def _copy_in(connection: Connection, run: run_targets.Running, path: str, target: str) -> list[str]:
    packing = _Packing(path)
    try:
        with contextlib.closing(packing.pieces()) as pieces:
            connection.client.copy_in(run.namespace, run.pod, target, pieces)
    except pack.NothingThere as error:
        raise CommandFailed(printable(str(error))) from error
    return packing.problems


def _umask() -> int:
    """Return the umask of this process, which has one thread now."""
    umask = os.umask(0o077)
    os.umask(umask)
    return umask


class _Pieces:
    """What comes in pieces of any size, as a stream is read."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)

    def read(self, most_bytes: int, /) -> bytes:
        _ = most_bytes  # Whatever came: the reader keeps what it does not need yet.
        return next(self._pieces, b"")


class _Packing:
    """A path packed in a thread of its own, read through a pipe; `problems` are known when it is read to its end."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.problems: list[str] = []
        self._failure: Exception | None = None

    def pieces(self) -> Generator[bytes, None, None]:
        """Yield the stream. Raises NothingThere."""
        read_fd, write_fd = os.pipe2(os.O_CLOEXEC)
        thread = threading.Thread(target=self._pack, args=(write_fd,), daemon=True)
        thread.start()
        try:
            while piece := os.read(read_fd, _READ_BYTES):
                yield piece
        finally:
            os.close(read_fd)
            thread.join()
        if self._failure is not None:
            raise self._failure

    def _pack(self, write_fd: int) -> None:
        try:
            with open(write_fd, "wb", buffering=0) as file:
                self.problems = pack.pack(self._path, _All(file.fileno()))
        except BrokenPipeError:
            return  # Nobody wants more of it.
        except (pack.NothingThere, OSError) as error:
            self._failure = error


class _All:
    """A descriptor that takes all that is written."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def write(self, content: bytes, /) -> None:
        left = memoryview(content)
        while left:
            left = left[os.write(self._fd, left) :]
