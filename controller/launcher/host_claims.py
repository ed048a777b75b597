"""Devices that runs of this host have, whichever daemon started them: a file for each run, locked for its life.

The file has the run's id for its name, and says whose run it is and which nodes of the host are behind its devices.
The daemon that is about to start the run makes it, and keeps it locked until the run's supervisor, before it claims the
run, has locked it as well; that keeps it for life, and the launcher until nothing of the run is left: a supervisor that
is killed loses its locks first, and its run's processes later, if they are frozen much later. So what nobody has locked
is nobody's, whoever was killed meanwhile, unless that was supervisor and launcher both.
Locks are shared by these, and asked for by all others: see `linux.ofd_lock`.

Whether two runs can have theirs at the same time is not for this module to say.
Invariant: who makes a claim has seen all others that live, and nobody makes one meanwhile.
"""

import contextlib
import errno
import json
import os
import select
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from controller.linux import disk, ofd_lock

HOST_DIRECTORY = "/run/runwright.devices"
"""Where the claims of this host are: its devices are the host's, so all daemons on it share them."""

_GATE = ".gate"
_GATE_TRIES, _GATE_TRY_SECONDS = 250, 0.02
_MOST_BYTES = 1 << 20
_BYTE = 0
_CLAIM = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


class AlreadyHeld(Exception):
    """Another run of this host has what was asked for: the message says which."""


@dataclass(frozen=True, slots=True)
class HostClaim:
    """What one run has: `nodes` of each of its devices, as text. `owner` is its daemon's, `holder` that one's word."""

    run_id: str
    owner: str
    holder: str
    nodes: tuple[str, ...]


class HostClaims:
    """The claims in one directory of the host; safe to use from several threads and processes."""

    def __init__(self, directory: str = HOST_DIRECTORY) -> None:
        self._directory = directory

    def live(self) -> tuple[HostClaim, ...]:
        """Return those of runs that live or are being started; the files of others are removed.

        Raises:
            OSError: they cannot be read, or one of them says nothing that can be understood.
        """
        if not os.path.isdir(self._directory):
            return ()  # Nobody ever claimed anything.
        with self._gate():
            return self._live()

    @contextmanager
    def claimed(self, claim: HostClaim, why_not: Callable[[tuple[HostClaim, ...]], str]) -> Iterator[str]:
        """Have the claim for as long as this lasts, and then for as long as somebody `keep`s it; give its path.

        Args:
            why_not: says why it cannot be had beside these, which are all others; empty if it can.

        Raises:
            AlreadyHeld: with what `why_not` said.
            OSError: as for `live`.
        """
        os.makedirs(self._directory, mode=0o700, exist_ok=True)
        with self._gate():
            if cause := why_not(tuple(other for other in self._live() if other.run_id != claim.run_id)):
                raise AlreadyHeld(cause)
            path = f"{self._directory}/{claim.run_id}"
            fd = self._make(path, claim)
        try:
            yield path
        finally:
            os.close(fd)

    def forget(self, run_id: str) -> None:
        """Remove the claim of a run that is gone; one of which something is left stays.

        Raises:
            OSError: it cannot be removed.
        """
        if not os.path.isdir(self._directory):
            return
        with self._gate(), contextlib.suppress(FileNotFoundError):
            self._look(run_id)

    def _live(self) -> tuple[HostClaim, ...]:
        names = sorted(name for name in os.listdir(self._directory) if name != _GATE)
        return tuple(claim for name in names if (claim := self._look(name)) is not None)

    def _look(self, name: str) -> HostClaim | None:
        """Return the claim of this name if it lives, and else remove it; what is no file is nobody's, and stays."""
        path = f"{self._directory}/{name}"
        if not stat.S_ISREG(os.lstat(path).st_mode):
            return None
        fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            if not ofd_lock.take(fd, _BYTE):
                return _read(path, fd)
            os.unlink(path)  # Locked alone: a supervisor that opened it just before keeps nothing.
            return None
        finally:
            os.close(fd)

    @staticmethod
    def _make(path: str, claim: HostClaim) -> int:
        """Return its file, locked: one that lives is the same run's, whose daemon was started again."""
        fd = os.open(path, _CLAIM, 0o600)
        try:
            lives = ofd_lock.is_taken(fd, _BYTE)
            if not ofd_lock.take(fd, _BYTE, shared=True):
                raise OSError(errno.EAGAIN, f"cannot lock {path}: somebody has it alone: find out who")
            if not lives:
                os.ftruncate(fd, 0)
                text = json.dumps({"owner": claim.owner, "holder": claim.holder, "nodes": claim.nodes})
                disk.write_whole(fd, text.encode())
        except BaseException:
            os.close(fd)
            raise
        return fd

    @contextmanager
    def _gate(self) -> Iterator[None]:
        """Keep all others out, for a moment."""
        fd = os.open(f"{self._directory}/{_GATE}", _CLAIM, 0o600)
        try:
            for _ in range(_GATE_TRIES):
                if ofd_lock.take(fd, _BYTE):
                    break
                select.select((), (), (), _GATE_TRY_SECONDS)
            else:
                raise OSError(errno.EBUSY, f"cannot look at {self._directory}: somebody keeps {_GATE} locked")
            yield
        finally:
            os.close(fd)


def keep(path: str) -> int:
    """In a supervisor: lock the claim of its run, as its daemon has; it is had until the descriptor is gone.

    Raises:
        OSError: it is not there any more, or nobody's.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    if ofd_lock.take(fd, _BYTE, shared=True) and ofd_lock.is_still(path, fd):
        return fd
    os.close(fd)
    raise OSError(errno.ESTALE, f"cannot keep the run's devices: {path} was given up meanwhile")


def _read(path: str, fd: int) -> HostClaim:
    try:
        match json.loads(os.pread(fd, _MOST_BYTES, 0)):
            case {"owner": str(owner), "holder": str(holder), "nodes": list(nodes)}:
                return HostClaim(os.path.basename(path), owner, holder, tuple(map(str, nodes)))
    except ValueError:
        pass
    raise OSError(errno.EPROTO, f"cannot tell which devices the run of {path} has: wait for its end, or end it")
