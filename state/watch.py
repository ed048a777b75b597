"""Watching: read the journal onwards, and be woken when there may be more.

Here: the subscribers, and rows turned into changes. Invariant: the journal is the only source of
changes; a wake-up carries nothing, so a lost or doubled one costs time and no change.

Start of a watch: subscribe, then read the backlog. The other way round, a change between the two
would wait for the next wake-up.
"""

import logging
import sqlite3
import threading
from collections.abc import Callable, Sequence

from api.errors import Expired
from api.meta import Document, ObjectKey
from api.ports import Change, ChangeType
from state import documents, journal
from state.encryption import Keyring

log = logging.getLogger(__name__)


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


def changes(
    connection: sqlite3.Connection, keyring: Keyring, since: int, kind: str | None, limit: int
) -> Sequence[Change]:
    """Return the changes after revision `since`, oldest first; `connection` is inside a snapshot.

    Raises:
        Expired: some of them were compacted away, or `since` was never reached.
    """
    check_readable(connection, since)
    return tuple(_change(row, keyring) for row in journal.since(connection, since, kind, limit))


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
