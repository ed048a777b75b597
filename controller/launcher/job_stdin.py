"""The standard input of a job that has one: a pipe, whose write end its supervisor keeps so that the job reads no end.

Who attaches is given that very end (`held_run.hold_stdin`), writes into it, and lets go of it: no process of ours is
between them. Never here: who may attach, and when the input is to end (the daemon says so through `control`).
Invariant: none of it blocks, and what is noted to be the write end is open as long as it is noted.
"""

import json
import os

NOTE = "runwright-stdin"


class JobStdin:
    """The supervisor's side of it."""

    def __init__(self, owner: int) -> None:
        """Make it; `owner` is the job, by user id on the host, which may then open /dev/stdin."""
        self.read_fd, self._write_fd = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._write_fd, False)  # For whoever attaches: it is shared, and so is how it is open.
        os.fchown(self.read_fd, owner, owner)
        self._note_fd = os.memfd_create(NOTE)
        os.write(self._note_fd, json.dumps([self._write_fd, os.fstat(self._write_fd).st_ino]).encode())

    def close_given(self) -> None:
        """Let go of the end that the job has by now."""
        os.close(self.read_fd)

    def end(self) -> None:
        """Let go of the write end: the job reads an end of file, once nobody is attached; twice is once."""
        fd, self._write_fd = self._write_fd, -1
        if fd >= 0:
            os.ftruncate(self._note_fd, 0)
            os.close(fd)
