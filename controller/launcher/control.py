"""Telling a run's supervisor what to do, through the FIFO that its claim names; the supervisor's end of it too.

A command is a JSON object on one line, shorter than PIPE_BUF, so that commands of several writers
never mix. FIFOs lie in the launcher's own directory, where root alone may write; their names are never used again, so
that a claim of long ago commands nobody else.
"""

import errno
import json
import os
import select
from pathlib import Path
from typing import TypeAlias

from controller.launcher import records

Command: TypeAlias = dict[str, object]

PREFIX = "control."


def stop(run_dir: Path, reason: str, grace_seconds: float) -> bool:
    """Have the run end: SIGTERM, and SIGKILL after `grace_seconds`. False if nobody listens: then observe the run.

    `reason` is what its exit record will say. Stopping again may shorten the grace, never lengthen it.

    Raises:
        OSError: the directory or the FIFO cannot be used.
    """
    return _send(run_dir, {"op": "stop", "reason": reason, "grace_seconds": grace_seconds})


def take_back(run_dir: Path, reason: str) -> bool:
    """End a run that waits for its moment, unless it has begun by then; False if nobody listens.

    `reason` as for `stop`. What has begun goes on.
    """
    return _send(run_dir, {"op": "take_back", "reason": reason})


def set_deadline(run_dir: Path, seconds: float | None) -> bool:
    """Give the run `seconds` from now on, or for ever; False if nobody listens."""
    return _send(run_dir, {"op": "deadline", "seconds": seconds})


def end_stdin(run_dir: Path) -> bool:
    """Have the run's standard input end, as far as it depends on its supervisor; False if nobody listens."""
    return _send(run_dir, {"op": "end_stdin"})


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


def remove_abandoned(directory: str) -> None:
    """Remove the FIFOs that nobody listens on any more: of runs that ended after their launcher.

    Raises:
        OSError: the directory cannot be used.
    """
    for name in os.listdir(directory):
        path = f"{directory}/{name}"
        if not name.startswith(PREFIX):
            continue
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC))
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            os.unlink(path)


class ControlFifo:
    """The supervisor's end: a FIFO of its own name."""

    def __init__(self, path: str) -> None:
        os.mkfifo(path, 0o600)
        self.path = path
        # For writing too: so it never reads as ended when a writer goes away.
        self.fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self._rest = b""

    def close(self) -> None:
        """Let go of it, which tells whoever waits for the run's end (`records.Running.open_end`); twice is once."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

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
