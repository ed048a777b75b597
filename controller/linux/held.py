"""A kernel object that is kept by an open descriptor: until it is closed, once."""

import os
from dataclasses import dataclass
from types import TracebackType
from typing import Self


@dataclass(slots=True)
class Held:
    """Something held open by `fd`; -1 once it was let go of."""

    fd: int

    def close(self) -> None:
        """Let go of it; a second time does nothing."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
