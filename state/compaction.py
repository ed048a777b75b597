"""Forgetting: superseded revisions and old tombstones go, the newest revisions and every object stay.

Invariant: below the floor nothing is answered (410 Expired), at and above it everything is
complete; the floor is recorded in the transaction that removes the rows.
"""

from api.meta import ObjectKey
from state import journal
from state.writer import Transaction

KEEP_REVISIONS = 1_000
"""So many of the newest revisions are always kept: what a watcher may lag behind."""

BATCH_REVISIONS = 1_000
"""So many revisions are gone through in one transaction, for the other writers not to wait long."""

EXPIRE_BATCH = 200
"""So many objects are expired in one transaction."""


def compact_some(tx: Transaction, keep: int) -> int:
    """Go through the next revisions that are too old to keep; return how many, 0 when there are none."""
    floor, newest = journal.floor(tx.connection), journal.newest(tx.connection)
    target = min(floor + BATCH_REVISIONS, newest - keep)
    if target <= floor:
        return 0
    journal.remove_superseded(tx.connection, floor + 1, target)
    journal.raise_floor(tx.connection, target)
    return target - floor


def expire_some(tx: Transaction, kind: str, before: int) -> tuple[ObjectKey, ...]:
    """Delete some objects of `kind` last written before `before` (Unix seconds); return their keys."""
    expired = journal.stale(tx.connection, kind, before, EXPIRE_BATCH)
    for key in expired:
        current = tx.current(key)
        if current is not None:
            tx.remove(key, current.document, current)
    return expired
