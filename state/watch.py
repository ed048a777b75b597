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
from collections.abc import Callable, Collection, Sequence
from itertools import takewhile

from api.errors import Expired
from api.meta import Document, ObjectKey
from api.ports import Change, ChangeType
from state import documents, journal
from state.encryption import Keyring, is_confidential

log = logging.getLogger(__name__)

_RECENT = 256


class Watchers:
    """Those who want to be woken after each commit."""

    def __init__(self) -> None:
        """Begin with nobody to wake."""
        self._lock = threading.Lock()
        self._wakes: dict[object, Callable[[], None]] = {}

    def subscribe(self, wake: Callable[[], None]) -> Callable[[], None]:
        """Call `wake` after each commit, from the writer's thread; return what ends it."""
        subscription = object()
        with self._lock:
            self._wakes[subscription] = wake

        def unsubscribe() -> None:
            with self._lock:
                self._wakes.pop(subscription, None)

        return unsubscribe

    def wake(self) -> None:
        """Wake every subscriber; the failure of one is its own bug and stops no other."""
        with self._lock:
            wakes = tuple(self._wakes.values())
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
    """The newest rows of the journal, decoded once for all who read them. Safe to use from several threads."""

    def __init__(self, keyring: Keyring, most: int = _RECENT) -> None:
        """Keep the newest `most` rows; of confidential objects no more than is in the journal."""
        self._keyring = keyring
        self._most = most
        self._lock = threading.Lock()
        self._rows: deque[_Kept] = deque()
        self._floor = 0

    def add(self, rows: Sequence[journal.Row]) -> None:
        """Keep rows that were committed just now, all of them and in their order."""
        if not rows:
            return
        with self._lock:
            before = rows[0].revision - 1
            if not self._rows or self._rows[-1].row.revision != before:
                self._rows.clear()  # Something was committed of which nobody told.
                self._floor = before
            self._rows.extend(map(_Kept, rows))
            while len(self._rows) > self._most:
                self._floor = self._rows.popleft().row.revision

    def forget(self) -> None:
        """Forget all."""
        with self._lock:
            self._rows.clear()

    def after(self, since: int, newest: int, kinds: Collection[str] | None, limit: int) -> Sequence[Change] | None:
        """Return the changes after `since` up to `newest`, which is the journal's; None if they are not all at hand."""
        with self._lock:
            if not self._rows or self._rows[-1].row.revision != newest or not self._floor <= since <= newest:
                return None
            later = list(takewhile(lambda kept: kept.row.revision > since, reversed(self._rows)))
        wanted = [kept for kept in reversed(later) if kinds is None or kept.row.kind in kinds]
        return tuple(self._change(kept) for kept in (wanted[:limit] if limit else wanted))

    def _change(self, kept: _Kept) -> Change:
        change = kept.change or _change(kept.row, self._keyring)
        if not is_confidential(change.key.kind):
            kept.change = change
        return change


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


def _change(row: journal.Row, keyring: Keyring) -> Change:
    previous: Document | None = None
    key = ObjectKey(row.kind, row.namespace, row.name)
    if row.old_value is not None:
        previous = documents.decode(keyring.open(key, row.old_value), row.prev_revision)
    document = documents.decode(keyring.open(key, row.value), row.revision)
    return Change(_type(row), row.revision, key, document, previous)


def _type(row: journal.Row) -> ChangeType:
    if row.deleted:
        return ChangeType.DELETED
    return ChangeType.ADDED if row.created else ChangeType.MODIFIED
