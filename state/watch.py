"""Watching: read the journal onwards, and be woken when there may be more.

Here: the subscribers, rows turned into changes, and the newest of those at hand, for many read each.
Invariants: the journal is the only source of changes; a wake-up carries nothing, so a lost or doubled one costs
time and no change; what is at hand answers only for a moment that it is known to have whole.

Start of a watch: subscribe, then read the backlog. The other way round, a change between the two
would wait for the next wake-up.
"""

import logging
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Collection, Sequence, Set
from itertools import takewhile

from api.errors import Expired
from api.meta import Document, ObjectKey
from api.ports import Change, ChangeType
from state import documents, journal
from state.encryption import Keyring, is_confidential

log = logging.getLogger(__name__)

_RECENT = 256
_RECENT_CHARACTERS = 16 << 20
"""Of their texts together: what is decoded of them takes about twice as much again."""


class Watchers:
    """Those who want to be woken after each commit."""

    def __init__(self) -> None:
        """Begin with nobody to wake."""
        self._lock = threading.Lock()
        self._wakes: dict[object, tuple[Callable[[], None], Collection[str] | None]] = {}

    def subscribe(self, wake: Callable[[], None], kinds: Collection[str] | None = None) -> Callable[[], None]:
        """Call `wake` after each commit that changes one of `kinds`, from the writer's thread; return what ends it."""
        subscription = object()
        with self._lock:
            self._wakes[subscription] = (wake, kinds)

        def unsubscribe() -> None:
            with self._lock:
                self._wakes.pop(subscription, None)

        return unsubscribe

    def wake(self, changed: Set[str]) -> None:
        """Wake who wants to know of the kinds `changed`; the failure of one is its own bug and stops no other."""
        with self._lock:
            wakes = tuple(
                wake for wake, kinds in self._wakes.values() if kinds is None or not changed.isdisjoint(kinds)
            )
        for wake in wakes:
            try:
                wake()
            except Exception:
                # The write is committed: its caller must not be told that it failed.
                log.exception("a subscriber of the store failed when woken")


class _Kept:
    """A row, and what was made of it the first time that somebody asked."""

    __slots__ = ("change", "row")

    def __init__(self, row: journal.Row) -> None:
        self.row = row
        self.change: Change | None = None


class Recent:
    """The newest rows of the journal, decoded once for all who read them. Safe to use from several threads.

    Whoever asks SQLite lets go of the interpreter, and queues for it again: so what each write makes many ask is known
    here, how far the journal goes and which kinds it has. Nobody but the daemon writes its store; what another did all
    the same is known from its next commit on.
    """

    def __init__(
        self,
        keyring: Keyring,
        newest: int,
        kinds: Collection[str],
        most: int = _RECENT,
        most_characters: int = _RECENT_CHARACTERS,
    ) -> None:
        """Keep the newest `most` rows after `newest`, or as many as fit; there are rows of `kinds` so far.

        Of confidential objects no more is kept than is in the journal.
        """
        self.newest = newest
        self._kinds = set(kinds)
        self._keyring = keyring
        self._most = most
        self._most_characters = most_characters
        self._characters = 0
        self._lock = threading.Lock()
        self._rows: deque[_Kept] = deque()
        self._by_key: dict[ObjectKey, journal.Row] = {}
        self._floor = newest

    def add(self, rows: Sequence[journal.Row]) -> None:
        """Keep rows that were committed just now, all of them and in their order."""
        if not rows:
            return
        with self._lock:
            if rows[0].revision != self.newest + 1:
                self._begin_after(rows[0].revision - 1)  # Something was committed of which nobody told.
            self._kinds.update(row.kind for row in rows)
            self._rows.extend(map(_Kept, rows))
            self._by_key.update((_key(row), row) for row in rows)
            self._characters += sum(map(_characters, rows))
            while len(self._rows) > self._most or self._characters > self._most_characters:
                oldest = self._rows.popleft().row
                if self._by_key[_key(oldest)] is oldest:
                    del self._by_key[_key(oldest)]
                self._characters -= _characters(oldest)
                self._floor = oldest.revision
            self.newest = rows[-1].revision  # The last, as it is read without the lock: who knows it finds the rows.

    def forget(self) -> None:
        """Forget all rows."""
        with self._lock:
            self._begin_after(self.newest)

    def _begin_after(self, revision: int) -> None:
        self._rows.clear()
        self._by_key.clear()
        self._characters = 0
        self._floor = self.newest = revision

    def row(self, key: ObjectKey) -> journal.Row | None:
        """Return the newest row of an object, if that is among those at hand and under no key that may be changed."""
        return None if is_confidential(key.kind) else self._by_key.get(key)

    def has_any(self, kind: str) -> bool:
        """Whether there ever was an object of a kind; none that is not acknowledged yet counts."""
        return kind in self._kinds

    def after(self, since: int, kinds: Collection[str] | None, limit: int) -> Sequence[Change] | None:
        """Return the changes after `since`; None if they are not all at hand."""
        with self._lock:
            if not self._floor <= since <= self.newest:
                return None
            later = list(takewhile(lambda kept: kept.row.revision > since, reversed(self._rows)))
            wanted = [(kept, self._before(kept)) for kept in reversed(later) if kinds is None or kept.row.kind in kinds]
        return tuple(self._change(kept, before) for kept, before in (wanted[:limit] if limit else wanted))

    def _before(self, kept: _Kept) -> _Kept | None:
        """Return the row of the object's state before a change, if it is at hand."""
        at = kept.row.prev_revision - self._rows[0].row.revision
        found = self._rows[at] if 0 <= at < len(self._rows) else None
        return found if found is not None and found.row.revision == kept.row.prev_revision else None

    def _change(self, kept: _Kept, before: _Kept | None) -> Change:
        decoded = before.change.document if before is not None and before.change is not None else None
        change = kept.change or _change(kept.row, self._keyring, decoded)
        if not is_confidential(change.key.kind):
            kept.change = change
        return change


def _key(row: journal.Row) -> ObjectKey:
    return ObjectKey(row.kind, row.namespace, row.name)


def _characters(row: journal.Row) -> int:
    return len(row.value) + len(row.old_value or "")


def changes(
    connection: sqlite3.Connection, keyring: Keyring, since: int, kinds: Collection[str] | None, limit: int
) -> Sequence[Change]:
    """Return the changes after revision `since`, oldest first; `connection` is inside a snapshot.

    Raises:
        Expired: some of them were compacted away, or `since` was never reached.
    """
    check_readable(connection, since)
    return tuple(_change(row, keyring) for row in journal.since(connection, since, kinds, limit))


def check_readable(connection: sqlite3.Connection, revision: int) -> int:
    """Check that history at `revision` is still there; return the newest revision.

    Raises:
        Expired: it was compacted away; or it is not reached yet, as after a restored backup.
    """
    newest, floor = journal.newest(connection), journal.floor(connection)
    if revision < floor:
        raise Expired(f"too old resource version: {revision} ({floor}): list again")
    if revision > newest:
        raise Expired(f"too large resource version: {revision}, current: {newest}: list again")
    return newest


def _change(row: journal.Row, keyring: Keyring, before: Document | None = None) -> Change:
    """Return the change that a row is; `before` is the object's state before it, if that was decoded already."""
    previous = before if row.old_value is not None else None
    key = _key(row)
    if row.old_value is not None and previous is None:
        previous = documents.decode(keyring.open(key, row.old_value), row.prev_revision)
    document = documents.decode(keyring.open(key, row.value), row.revision)
    return Change(_type(row), row.revision, key, document, previous)


def _type(row: journal.Row) -> ChangeType:
    if row.deleted:
        return ChangeType.DELETED
    return ChangeType.ADDED if row.created else ChangeType.MODIFIED
