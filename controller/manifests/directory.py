"""The watched directory as a feed: every manifest file below it, told from those still being written.

inotify (by watchdog) only says that it is time to look; looking means walking the tree, at start, when
woken, and every so often as a backstop. Invariant: a file is believed once its writer closed it, moved
it into place, or left it alone for a second; until then what it held before counts, and nothing is
pruned that a half-written file might have held.
"""

import logging
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from watchdog import events
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver

from controller.engine.clock import Clock
from controller.engine.log import keys
from controller.manifests import tree
from controller.manifests.documents import InvalidText
from controller.manifests.sources import Entry, FeedError, FeedKind, Problem, Reading, Source, entry_of, printable
from controller.manifests.tree import Found, Signature

_log = logging.getLogger(__name__)
_SETTLE_SECONDS = 1.0
_BEING_WRITTEN_SECONDS = 10.0  # After that a new file that never comes to rest holds nothing up.
_POLL_SECONDS = 0.2  # While a file is being written.
_BLIND_SECONDS = 2.0  # While inotify does not work, or the directory is not there.
_SOURCE = Source(FeedKind.DIRECTORY)
_EVENTS: list[type[events.FileSystemEvent]] = [
    events.FileCreatedEvent, events.FileModifiedEvent, events.FileClosedEvent, events.FileMovedEvent,
    events.FileDeletedEvent, events.DirCreatedEvent, events.DirMovedEvent, events.DirDeletedEvent,
]  # fmt: skip
"""Not those for opening and reading: we would wake ourselves for ever."""


@dataclass(frozen=True, slots=True)
class _Known:
    signature: Signature | None
    entry: Entry


@dataclass(frozen=True, slots=True)
class _Unsettled:
    """A file that changed: since when it is as it is, and since when it keeps changing."""

    signature: Signature
    same_since: float
    since: float


class DirectoryFeed:
    """The manifest files below one directory. `look` is called by one thread."""

    kind = FeedKind.DIRECTORY
    prune_after_seconds = 1.0

    def __init__(self, root: Path, clock: Clock, rescan_seconds: float = 30.0) -> None:
        """Read `root`, and every `rescan_seconds` even if nobody says that it changed."""
        self.root = os.fspath(root)
        self._clock = clock
        self._rescan_seconds = rescan_seconds
        self._known: dict[str, _Known] = {}
        self._unsettled: dict[str, _Unsettled] = {}
        self._last: Reading | None = None
        self._wake: Callable[[], None] | None = None
        self._lock = threading.Lock()
        self._touched: set[str] = set()  # Under the lock: written to since they were read.
        self._closed: set[str] = set()  # Under the lock: and closed, or moved into place, after that.
        self._observer: BaseObserver | None = None
        self._watched: tuple[int, int] | None = None
        self._is_missing = False
        self._is_lost = False  # The watched directory was deleted; a new one may have its very inode number.

    def start(self, wake: Callable[[], None]) -> None:
        """Begin to watch."""
        self._wake = wake
        self._watch()

    def stop(self) -> None:
        """End watching."""
        self._unwatch()
        self._wake = None

    def look(self, *, thoroughly: bool) -> Reading | None:
        """Return what is in the directory, or None if that has not changed.

        Raises:
            FeedError: the directory cannot be read.
        """
        self._watch()
        with self._lock:
            touched, self._touched = self._touched, set()
            closed, self._closed = self._closed, set()
        try:
            found = tree.walk(self.root)
        except FeedError:
            self._is_missing = True
            self._last = None
            with self._lock:
                self._touched |= touched
            raise
        self._is_missing = False
        known = {
            one.path: self._one(one, is_touched=one.path in touched, is_closed=one.path in closed) for one in found
        }
        self._unsettled = {path: state for path, state in self._unsettled.items() if path in known}
        self._known = {path: one for path, one in known.items() if one is not None}
        return self._news(thoroughly=thoroughly)

    def look_again_seconds(self) -> float:
        """Return when to look again if nobody wakes us."""
        if self._unsettled:
            return _POLL_SECONDS
        if self._is_missing or self._observer is None:
            return min(_BLIND_SECONDS, self._rescan_seconds)
        return self._rescan_seconds

    def is_elsewhere(self) -> bool:
        """Whether the directory was moved away or swapped for another, of which inotify says nothing to watchdog."""
        if self._watched is None:
            return False
        try:
            about = os.stat(self.root)
        except OSError:
            return True
        return (about.st_dev, about.st_ino) != self._watched

    def _news(self, *, thoroughly: bool) -> Reading | None:
        now = self._clock.monotonic()
        unknown = {path: state.since for path, state in self._unsettled.items() if path not in self._known}
        entries = {path: known.entry for path, known in self._known.items()}
        for path in [path for path, since in unknown.items() if now - since >= _BEING_WRITTEN_SECONDS]:
            del unknown[path]
            entries[path] = _restless(path)
        return self._if_new(tuple(entries[path] for path in sorted(entries)), sorted(unknown), thoroughly=thoroughly)

    def _if_new(self, entries: tuple[Entry, ...], unknown: list[str], *, thoroughly: bool) -> Reading | None:
        unreadable = next((entry for entry in entries if entry.problem and entry.problem.is_unreadable), None)
        why = f"{printable(unknown[0])} is being written" if unknown else ""
        why = f"{unreadable.place} cannot be read" if unreadable else why
        reading = Reading(entries, keep_all=why)
        if self._last is not None and reading == self._last and not thoroughly:
            return None
        self._last = reading
        return reading

    def _one(self, found: Found, *, is_touched: bool, is_closed: bool) -> _Known | None:
        """Return what to believe of a file: what is in it now, what was before, or nothing yet."""
        before = self._known.get(found.path)
        if found.signature is None:
            self._unsettled.pop(found.path, None)
            return _Known(None, _unreadable(found.path, found.error, before))
        is_changing = found.path in self._unsettled
        if before is not None and before.signature == found.signature and not is_touched and not is_changing:
            return before
        state = self._state(found, found.signature)
        is_old = self._clock.now().timestamp() - found.mtime >= _SETTLE_SECONDS
        rests = self._clock.monotonic() - state.same_since >= _SETTLE_SECONDS
        if is_closed or is_old or rests:
            known = self._read(found.path, found.signature, before)
            is_torn = known is None or known.entry.problem is not None
            if known is not None and (not is_torn or is_old or rests):
                self._unsettled.pop(found.path, None)
                return known
        self._unsettled[found.path] = state
        return before

    def _state(self, found: Found, signature: Signature) -> _Unsettled:
        now = self._clock.monotonic()
        state = self._unsettled.get(found.path, _Unsettled(signature, now, now))
        return state if state.signature == signature else replace(state, signature=signature, same_since=now)

    def _read(self, path: str, signature: Signature, before: _Known | None) -> _Known | None:
        """Return the file's entry, or None if it changed while it was read."""
        try:
            content, after = tree.read_file(os.path.join(self.root, path))
        except InvalidText as error:
            name = printable(path)
            return _Known(signature, Entry(_SOURCE, name, problem=Problem(f"{name}: {error.message}")))
        except OSError as error:
            fix = f"{os.strerror(error.errno or 0)}: make it readable, or remove it"
            return _Known(None, _unreadable(path, fix, before))
        if after != signature:
            return None
        entry = entry_of(_SOURCE, printable(path), content)
        # A file that only was touched is the same entry, so that nothing is thought to have changed.
        return _Known(signature, before.entry if before is not None and _is_same(before.entry, entry) else entry)

    def _watch(self) -> None:
        """See to it that the directory that has the name now is the one that is watched."""
        if self._wake is None:
            return
        try:
            about = os.stat(self.root)
            identity = (about.st_dev, about.st_ino)
        except OSError:
            self._unwatch()
            return
        if self._is_watching() and identity == self._watched and not self._is_lost:
            return
        self._unwatch()
        self._is_lost = False
        observer = Observer()
        try:
            observer.schedule(_Listener(self), self.root, recursive=True, event_filter=_EVENTS)
            observer.start()
        except OSError as error:
            _log.warning("cannot watch the manifests, looking at them instead", extra=keys(error=error))
            return
        self._observer, self._watched = observer, identity

    def _is_watching(self) -> bool:
        return self._observer is not None and all(emitter.is_alive() for emitter in self._observer.emitters)

    def _unwatch(self) -> None:
        if self._observer is not None:
            self._observer.stop()
            self._observer.join()
        self._observer = self._watched = None

    def heard(self, path: str, *, is_closed: bool) -> None:
        """Take note that a file was written to, and whether its writer is done."""
        relative = os.path.relpath(path, self.root)
        with self._lock:
            self._touched.add(relative)
            self._closed.add(relative) if is_closed else self._closed.discard(relative)
        self._say()

    def lost(self) -> None:
        """Take note that the directory was deleted, and the watch on it with it."""
        self._is_lost = True
        self._say()

    def _say(self) -> None:
        if self._wake is not None:
            self._wake()


class _Listener(events.FileSystemEventHandler):
    def __init__(self, feed: DirectoryFeed) -> None:
        self._feed = feed

    def on_any_event(self, event: events.FileSystemEvent) -> None:
        if isinstance(event, events.DirDeletedEvent) and event.src_path == self._feed.root:
            self._feed.lost()
        if isinstance(event, events.FileMovedEvent) and event.dest_path:
            self._feed.heard(os.fsdecode(event.dest_path), is_closed=True)
        is_closed = isinstance(event, events.FileClosedEvent)
        self._feed.heard(os.fsdecode(event.src_path), is_closed=is_closed)


def _unreadable(path: str, error: str, before: _Known | None) -> Entry:
    name = printable(path)
    entry = Entry(_SOURCE, name, problem=Problem(f"{name}: {error}", is_unreadable=True))
    return before.entry if before is not None and _is_same(before.entry, entry) else entry


def _restless(path: str) -> Entry:
    name = printable(path)
    message = f"{name}: it has been written to for more than {_BEING_WRITTEN_SECONDS:.0f} s: close it"
    return Entry(_SOURCE, name, problem=Problem(message))


def _is_same(one: Entry, other: Entry) -> bool:
    if one.problem != other.problem or one.text != other.text or len(one.documents) != len(other.documents):
        return False
    pairs = zip(one.documents, other.documents, strict=True)
    return all(left.document == right.document and left.line == right.line for left, right in pairs)
