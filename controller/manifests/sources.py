"""What a source of manifests gives: entries, each a file or a row, whole or with what is wrong with it.

A feed is one way in: the directory, which is one source, or the inbox, where each program that
writes is a source of its own. Here: the words they share. Never here: files and SQL, nor what is
done with an entry. Invariant: a feed that cannot be read says so; it never looks empty.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from api.meta import MANIFESTS_ANNOTATION_PREFIX, MANIFESTS_MANAGER_PREFIX
from controller.manifests.documents import InvalidText, Parsed, read

FORCE_ANNOTATION = "runwright.dev/force-conflicts"
"""In a manifest, "true" takes fields over from other managers."""


class FeedKind(StrEnum):
    """The ways in."""

    DIRECTORY = "directory"
    INBOX = "inbox"


@dataclass(frozen=True, slots=True)
class Source:
    """Who declares: the directory, or one program that writes into the inbox."""

    feed: FeedKind
    name: str = ""

    def __str__(self) -> str:
        """Print as users see it: `directory`, `inbox/billing`."""
        return f"{self.feed.value}/{self.name}" if self.name else self.feed.value

    @property
    def manager(self) -> str:
        """The field manager that its objects are applied as."""
        return f"{MANIFESTS_MANAGER_PREFIX}{self}"

    @property
    def annotation(self) -> str:
        """The key of the annotation on its objects."""
        return MANIFESTS_ANNOTATION_PREFIX + str(self).replace("/", ".")


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with an entry; `is_unreadable` when not even its text is known."""

    message: str
    line: int = 1
    is_unreadable: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """One file or row: its documents, or its problem and as much of its text as there is."""

    source: Source
    name: str
    documents: tuple[Parsed, ...] = ()
    problem: Problem | None = None
    text: str = ""

    @property
    def place(self) -> str:
        """The entry as error messages name it."""
        return self.name if self.source.feed is FeedKind.DIRECTORY else f"{self.source}/{self.name}"


@dataclass(frozen=True, slots=True)
class Reading:
    """All entries of a feed, in order.

    `keep_all` says why nothing may be pruned now; of a feed that began anew, `only` are the sources
    that are known to have been read whole, and nothing of others may be pruned.
    """

    entries: tuple[Entry, ...]
    keep_all: str = ""
    only: frozenset[Source] | None = None


class FeedError(Exception):
    """A feed cannot be read at all; the message is for a person."""


class Feed(Protocol):
    """One way in."""

    @property
    def kind(self) -> FeedKind:
        """Which it is."""
        ...

    @property
    def prune_after_seconds(self) -> float:
        """How long an object must be missing before it is taken away: a writer may be in the middle of it."""
        ...

    def start(self, wake: Callable[[], None]) -> None:
        """Begin to watch; `wake` is called, from any thread, when there may be something new."""
        ...

    def stop(self) -> None:
        """End watching."""
        ...

    def look(self, *, thoroughly: bool) -> Reading | None:
        """Return what is there now, or None if nothing changed and it is not asked for thoroughly.

        Raises:
            FeedError: it cannot be read now.
        """
        ...

    def look_again_seconds(self) -> float:
        """Return when to look again if nobody wakes us."""
        ...

    def is_elsewhere(self) -> bool:
        """Whether something else has taken its place, so that looking is worth it now. Cheap: asked often."""
        ...


def entry_of(source: Source, name: str, content: bytes) -> Entry:
    """Return the entry with the content `content`."""
    try:
        return Entry(source, name, read(content))
    except InvalidText as error:
        text = content.decode("utf-8", "replace")
        place = Entry(source, name).place
        message = f"{place}:{error.line}:{error.column}: {error.message}"
        return Entry(source, name, (), Problem(message, error.line), text)


def printable(path: str) -> str:
    """Return a file name as text that can be printed and stored, whatever its bytes are."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
