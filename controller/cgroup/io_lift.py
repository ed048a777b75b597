"""Taking limits of io off again: what waits for its turn at a disk cannot be killed until it has had it.

The files are opened while there are the rights to do so, as by a supervisor that gives them up later.
"""

import contextlib
import os
from dataclasses import dataclass

FREE_V1 = "0"
FREE_V2 = "rbps=max wbps=max riops=max wiops=max"
_READ_BYTES = 1 << 16


@dataclass(slots=True)
class IoLift:
    """Files with limits of io, a disk a line, and what is written after a disk's name to have it free."""

    fds: tuple[int, ...]
    free: str

    def lift(self) -> None:
        """Take off whatever limits there are now; a disk that is gone, or a cgroup, has none."""
        for fd in self.fds:
            with contextlib.suppress(OSError):
                for line in os.pread(fd, _READ_BYTES, 0).decode().splitlines():
                    os.pwrite(fd, f"{line.split()[0]} {self.free}".encode(), 0)

    def close(self) -> None:
        """Close the files; a second time does nothing."""
        fds, self.fds = self.fds, ()
        for fd in fds:
            os.close(fd)


NO_LIFT = IoLift((), FREE_V2)
"""Of a run whose io is not limited."""
