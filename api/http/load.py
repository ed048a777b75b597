"""How much is asked for at once, for those who can wait while it is much."""

from collections.abc import Iterator
from contextlib import contextmanager

MUCH = 4
"""So many requests at once are more than one or two people at their keyboards, and as many as keep two processors
busy."""


class Load:
    """Counts the requests that are worked on. Counted by the event loop alone; read from any thread."""

    def __init__(self) -> None:
        """Begin with none."""
        self._requests = 0

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count one for as long as the block runs."""
        self._requests += 1
        try:
            yield
        finally:
            self._requests -= 1

    def is_much(self) -> bool:
        """Whether who can wait should."""
        return self._requests >= MUCH
