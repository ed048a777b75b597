"""What of a tree could not be copied: each path, and why. Pure.

Of a tree that is too deep for the limit of open files nothing is copied below some depth. That is one problem, however
many files are there, so it is told once, with the way out.
"""

import errno

_OPEN_FILES = frozenset({errno.EMFILE, errno.ENFILE})


class Problems:
    """What could not be copied, in the order in which it was met."""

    def __init__(self) -> None:
        """Begin with none."""
        self._told: list[str] = []
        self._first_too_deep: int | None = None
        self._too_deep = 0

    def __len__(self) -> int:
        """Count what is told."""
        return len(self._told)

    def note(self, path: str, why: str | OSError) -> None:
        """Know that what is at `path` could not be copied."""
        if isinstance(why, str):
            self._told.append(f"{path}: {why}")
        elif why.errno not in _OPEN_FILES:
            self._told.append(f"{path}: {why.strerror or why}")
        else:
            self._note_too_deep(path)

    def all(self) -> list[str]:
        """Return all that is to be told."""
        return list(self._told)

    def _note_too_deep(self, path: str) -> None:
        self._too_deep += 1
        if self._first_too_deep is None:
            self._first_too_deep = len(self._told)
            self._path = path
            self._told.append("")
        more = f" and {self._too_deep - 1} more" if self._too_deep > 1 else ""
        how = "each level of directories takes one: raise the limit, as by ulimit -n 4096, or copy what is below apart"
        self._told[self._first_too_deep] = f"{self._path}{more}: too many open files: {how}"
