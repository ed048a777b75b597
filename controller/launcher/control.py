"""Telling a run's supervisor what to do, through the FIFO in the run's directory; the supervisor's end of it too.

A command is a JSON object on one line, shorter than PIPE_BUF, so that commands of several writers
never mix. Whoever may write into the run's directory may command it, nobody else.
"""

import errno
import json
import os
import select
from pathlib import Path
from typing import TypeAlias

from controller.launcher import records

Command: TypeAlias = dict[str, object]


def stop(run_dir: Path, reason: str, grace_seconds: float) -> bool:
    """Have the run end: SIGTERM, and SIGKILL after `grace_seconds`. False if nobody listens: then observe the run.

    `reason` is what its exit record will say. Stopping again may shorten the grace, never lengthen it.

    Raises:
        OSError: the directory or the FIFO cannot be used.
    """
    return _send(run_dir, {"op": "stop", "reason": reason, "grace_seconds": grace_seconds})


def set_deadline(run_dir: Path, seconds: float | None) -> bool:
    """Give the run `seconds` from now on, or for ever; False if nobody listens."""
    return _send(run_dir, {"op": "deadline", "seconds": seconds})


def _send(run_dir: Path, command: Command) -> bool:
    line = json.dumps(command).encode() + b"\n"
    if len(line) > select.PIPE_BUF:
        raise ValueError(f"cannot send a command of {len(line)} bytes: at most {select.PIPE_BUF} go at once")
    directory_fd = os.open(run_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        claim = records.read_claim(directory_fd)
        if claim is None or not claim.control:
            return False
        fd = os.open(claim.control, os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory_fd)
    except OSError as error:
        if error.errno in (errno.ENXIO, errno.ENOENT):  # Nobody has it open for reading, or it is removed: it ended.
            return False
        raise
    finally:
        os.close(directory_fd)
    try:
        os.write(fd, line)
    except BrokenPipeError:
        return False
    finally:
        os.close(fd)
    return True


class ControlFifo:
    """The supervisor's end: a FIFO of its own name, so that a run's second supervisor cannot take it away."""

    def __init__(self, directory_fd: int, name: str) -> None:
        os.mkfifo(name, 0o600, dir_fd=directory_fd)
        self.name = name
        # For writing too: so it never reads as ended when a writer goes away.
        self.fd = os.open(name, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory_fd)
        self._rest = b""

    def read(self) -> list[Command]:
        """Return the commands that have arrived whole; what is none is ignored."""
        try:
            received = self._rest + os.read(self.fd, 65536)
        except BlockingIOError:
            return []
        *lines, self._rest = received.split(b"\n")
        return [command for line in lines if (command := _parse(line)) is not None]


def _parse(line: bytes) -> Command | None:
    try:
        command = json.loads(line)
    except ValueError:
        return None
    return command if isinstance(command, dict) else None
