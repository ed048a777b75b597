"""Progress bars on a terminal, of runtime installs from what Runtime statuses say, and of files; nothing elsewhere."""

import sys
from typing import TYPE_CHECKING, Self

from api.cli.output import printable
from api.meta import Document

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class InstallProgress:
    """One bar for each version that is being installed; use it in `with`."""

    def __init__(self) -> None:
        """Draw on stderr, if that is a terminal."""
        self._progress: Progress | None = None
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        """Return it; bars appear with the first install."""
        return self

    def __exit__(self, *_: object) -> None:
        """Take the bars away."""
        if self._progress is not None:
            self._progress.stop()

    def show(self, runtime: Document) -> None:
        """Draw what a Runtime's status says of the versions under way."""
        if not sys.stderr.isatty():
            return
        for version in runtime.get("status", {}).get("versions") or ():
            name = f"{runtime['metadata']['name']}@{version['version']}"
            if version.get("state") == "Installing" or name in self._tasks:
                self._draw(name, version)

    def _draw(self, name: str, version: Document) -> None:
        if self._progress is None:
            self._progress = _bars()
            self._progress.start()
        if name not in self._tasks:
            self._tasks[name] = self._progress.add_task(f"installing {name}", total=None)
        total, done = version.get("sizeBytes"), version.get("doneBytes") or 0
        finished = version.get("state") == "Installed"
        self._progress.update(
            self._tasks[name], total=total or (1 if finished else None), completed=(total or 1) if finished else done
        )


class FileProgress:
    """One bar for each file that is on its way; use it in `with`."""

    def __init__(self, doing: str) -> None:
        """Draw on stderr, if that is a terminal; `doing` is what is done with the files."""
        self._doing = doing
        self._progress: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._done: dict[str, int] = {}

    def __enter__(self) -> Self:
        """Return it; bars appear with the first file."""
        return self

    def __exit__(self, *_: object) -> None:
        """Take the bars away."""
        if self._progress is not None:
            self._progress.stop()

    def done(self, path: str) -> int:
        """Return how far a file is, -1 if it has not begun."""
        return self._done.get(path, -1)

    def show(self, path: str, done: int, total: int) -> None:
        """Draw how far a file is."""
        self._done[path] = done
        if not sys.stderr.isatty():
            return
        if self._progress is None:
            self._progress = _bars()
            self._progress.start()
        if path not in self._tasks:
            self._tasks[path] = self._progress.add_task(f"{self._doing} {printable(path)}", total=total)
        self._progress.update(self._tasks[path], completed=done)


def _bars() -> "Progress":
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True)
