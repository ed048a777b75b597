"""The inbox table as a feed: every row a manifest, every writing program a source.

Rows change in transactions, so nothing is ever half written and nothing needs to settle. Invariant:
an inbox that was lost and made anew prunes nothing of a program that has not written into it yet.
"""

import re
from collections.abc import Callable
from pathlib import Path

from controller.manifests.sources import Entry, FeedError, FeedKind, Problem, Reading, Source, entry_of
from state.inbox import Inbox, InboxError, InboxRow

_POLL_SECONDS = 0.5
_RETRY_SECONDS = 2.0
_MOST_SOURCE_CHARACTERS = 57  # So that `inbox.SOURCE` is the name of an annotation.
_IS_SOURCE = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")


class InboxFeed:
    """The rows of the inbox. `look` is called by one thread."""

    kind = FeedKind.INBOX
    prune_after_seconds = 0.0

    def __init__(self, path: Path) -> None:
        """Read the inbox at `path`, which is made if it is not there."""
        self._path = path
        self._inbox: Inbox | None = None
        self._only: frozenset[Source] | None = None
        self._fails = False

    def start(self, wake: Callable[[], None]) -> None:
        """Nothing to begin: SQLite wakes nobody, so the inbox is polled, which costs microseconds."""

    def stop(self) -> None:
        """Close the file."""
        if self._inbox is not None:
            self._inbox.close()
            self._inbox = None

    def look(self, *, thoroughly: bool) -> Reading | None:
        """Return what is in the inbox, or None if that has not changed.

        Raises:
            FeedError: the inbox cannot be read.
        """
        try:
            inbox = self._opened()
            if not inbox.changed_since_last() and not thoroughly and not self._fails:
                return None
            rows = inbox.read()
        except InboxError as error:
            self._fails = True
            raise FeedError(str(error)) from error
        self._fails = False
        entries = tuple(_entry(row) for row in rows)
        if self._only is not None:
            self._only |= {entry.source for entry in entries}
        return Reading(entries, only=self._only)

    def look_again_seconds(self) -> float:
        """Return when to look again."""
        return _RETRY_SECONDS if self._fails else _POLL_SECONDS

    def is_elsewhere(self) -> bool:
        """Tell nothing: it is looked at often enough."""
        return False

    def _opened(self) -> Inbox:
        if self._inbox is None:
            self._inbox = Inbox.open(self._path)
            self._only = frozenset() if self._inbox.was_created else None
        return self._inbox


def _entry(row: InboxRow) -> Entry:
    source = Source(FeedKind.INBOX, row.source)
    name = row.name.encode(errors="backslashreplace").decode()
    place = f"{source}/{name}"
    if not _IS_SOURCE.fullmatch(row.source) or len(row.source) > _MOST_SOURCE_CHARACTERS:
        rule = f"use letters, digits, and inside -, _ and ., at most {_MOST_SOURCE_CHARACTERS} of them"
        return Entry(source, name, problem=Problem(f'{place}: source "{row.source[:60]}" is no name: {rule}'))
    if row.problem:
        return Entry(source, name, problem=Problem(f"{place}: {row.problem}"))
    return entry_of(source, name, row.document.encode())
