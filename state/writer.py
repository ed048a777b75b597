"""The one writer: turns writes from many threads into few commits.

Here: the lock, the transaction, and the sharing of a commit. Never here: what a write means.
Invariant: a write returns only after the COMMIT that holds it; whatever goes wrong in a
transaction takes all of it back, is raised to the write at fault, and the others are tried again.

A commit costs a flush of the disk. A thread that finds the lock taken leaves its write in the
queue; whoever gets the lock next commits all that wait, each decided on what those before it left.
"""

import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Generic, Protocol, TypeVar, cast

from api.errors import ApiError, ServiceUnavailable
from api.meta import Document, ObjectKey
from state import documents, journal
from state.connection import transaction
from state.encryption import Keyring
from state.schema import NO_REVISION

_MOST_IN_A_COMMIT = 64

T = TypeVar("T")
OnCommit = Callable[[float, int], None]
"""Told of each commit: the seconds it took and the rows it added. Must be quick and never raise."""


@dataclass(frozen=True, slots=True)
class Hooks:
    """Who is told of a commit: `on_commit` and `keep` under the writer's lock still, `wake` of its kinds after it."""

    on_commit: OnCommit
    wake: Callable[[Set[str]], None]
    keep: Callable[[Sequence[journal.Row]], None]


class Clock(Protocol):
    """What the store asks about time."""

    def now(self) -> datetime:
        """Return the wall time, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds that only ever grow."""
        ...


@dataclass(frozen=True, slots=True)
class Current:
    """An object as it is inside a transaction, and the row it comes from."""

    document: Document
    revision: int
    written: str


class Transaction:
    """What a write may do: read the newest state and append to the journal."""

    def __init__(self, connection: sqlite3.Connection, now: datetime, keyring: Keyring) -> None:
        """Work on `connection`, which is inside a write transaction; `now` is its time."""
        self.connection = connection
        self._keyring = keyring
        self.now = now
        self.appended: list[journal.Row] = []

    @property
    def rows(self) -> int:
        """How many rows it has appended."""
        return len(self.appended)

    def current(self, key: ObjectKey) -> Current | None:
        """Return the object, with the writes of this transaction, or None if there is none."""
        row = journal.current(self.connection, key)
        if row is None or row.deleted:
            return None
        text = self._keyring.open(key, row.value)
        return Current(documents.decode(text, row.revision), row.revision, row.value)

    def vacancy(self, key: ObjectKey) -> int | None:
        """Return the revision that a new object follows, its tombstone's or 0; None if there is an object."""
        row = journal.current(self.connection, key)
        if row is None:
            return NO_REVISION
        return row.revision if row.deleted else None

    def create(self, key: ObjectKey, document: Document, after: int = NO_REVISION) -> Document:
        """Append the first row of an object, after what `vacancy` has returned."""
        written, fresh = documents.encode(document)  # What the caller gave stays the caller's.
        return self._append(key, fresh, written, journal.Change.CREATED, after)

    def replace(self, key: ObjectKey, document: Document, current: Current) -> Document:
        """Append the next row of an object; `document` is plain JSON that nobody else has, and is what is returned."""
        written = documents.encode_plain(document)
        return self._append(key, document, written, journal.Change.REPLACED, current.revision, current.written)

    def remove(self, key: ObjectKey, document: Document, current: Current) -> Document:
        """Append the tombstone of an object, which holds its last state; `document` is as for `replace`."""
        written = documents.encode_plain(document)
        return self._append(key, document, written, journal.Change.REMOVED, current.revision, current.written)

    def _append(
        self,
        key: ObjectKey,
        document: Document,
        written: str,
        change: journal.Change,
        prev_revision: int,
        old_value: str | None = None,
    ) -> Document:
        metadata = document["metadata"]
        sealed = self._keyring.seal(key, metadata.get("uid", ""), written)
        entry = journal.Entry(key, change, sealed, old_value, prev_revision, int(self.now.timestamp()))
        revision = journal.append(self.connection, entry)
        self.appended.append(journal.row_of(entry, revision))
        return {**document, "metadata": {**metadata, "resourceVersion": str(revision)}}


class _Write(Generic[T]):
    """One waiting write, and its outcome."""

    def __init__(self, decide: Callable[[Transaction], T]) -> None:
        self.decide = decide
        self.is_done = False
        self.result: T | None = None
        self.error: Exception | None = None

    def run(self, tx: Transaction) -> Callable[[], None]:
        """Do the write in `tx`; return what makes its outcome known, for after the COMMIT."""
        rows_before = tx.rows
        try:
            result = self.decide(tx)
        except ApiError as error:
            if tx.rows != rows_before:
                raise  # It refused after appending: only a rollback takes that back.
            return partial(self.fail, error)
        return partial(self.succeed, result)

    def succeed(self, result: T) -> None:
        self.result, self.is_done = result, True

    def fail(self, error: Exception) -> None:
        self.error, self.is_done = error, True

    def outcome(self) -> T:
        if self.error is not None:
            raise self.error
        return cast(T, self.result)


class Writer:
    """Carries out writes one after the other on its own connection."""

    def __init__(self, connection: sqlite3.Connection, path: str, clock: Clock, hooks: Hooks, keyring: Keyring) -> None:
        """Write through `connection`, which becomes the writer's to close; errors name `path`."""
        self._keyring = keyring
        self._connection = connection
        self._path = path
        self._clock = clock
        self._hooks = hooks
        self._lock = threading.Lock()
        self._waiting: deque[_Write[object]] = deque()

    def write(self, decide: Callable[[Transaction], T]) -> T:
        """Run `decide` in a transaction and return its result.

        `decide` may be run again: after the failure of another write that shared the transaction.

        Raises:
            ServiceUnavailable: the file cannot be written.
        """
        (mine,) = self._write((decide,))
        return mine.outcome()

    def write_all(self, decides: Sequence[Callable[[Transaction], T]]) -> list[T | Exception]:
        """Run each of `decides` as `write` does, in as few commits as can be; return the result or error of each."""
        return [mine.error or mine.outcome() for mine in self._write(decides)]

    def _write(self, decides: Sequence[Callable[[Transaction], T]]) -> list[_Write[T]]:
        mine = [_Write(decide) for decide in decides]
        self._waiting.extend(cast(list[_Write[object]], mine))
        changed: set[str] = set()
        try:
            with self._lock:
                while (undone := next((write for write in mine if not write.is_done), None)) is not None:
                    changed |= self._commit_waiting(cast(_Write[object], undone))
        finally:
            # Without the lock, for a watcher may write; and whatever became of this thread's own writes.
            if changed:
                self._hooks.wake(changed)
        return mine

    def close(self) -> None:
        """Wait for the write in progress, then close; the last to close moves the WAL into the file."""
        with self._lock:
            self._connection.close()

    def _commit_waiting(self, mine: _Write[object]) -> set[str]:
        """Commit what waits, all in one transaction; return the kinds of the rows it added, none if rolled back."""
        popped = [self._waiting.popleft() for _ in range(min(len(self._waiting), _MOST_IN_A_COMMIT))]
        batch = [write for write in popped if not write.is_done]  # Who was told that it failed is not served later.
        running = mine
        started = self._clock.monotonic()
        outcomes: list[Callable[[], None]] = []
        try:
            with transaction(self._connection):
                tx = Transaction(self._connection, self._clock.now(), self._keyring)
                for running in batch:
                    outcome = running.run(tx)
                    outcomes.append(outcome)
                running = mine  # A COMMIT that fails is everybody's: whoever asked for it is told.
        except Exception as error:  # noqa: BLE001 - raised again in the thread whose write it is.
            running.fail(self._unavailable(error) if isinstance(error, sqlite3.Error) else error)
            self._wait_again(batch)
            return set()
        except BaseException:
            mine.is_done = True  # This thread is being interrupted: it leaves, and takes its write along.
            self._wait_again(batch)
            raise
        self._hooks.keep(tx.appended)
        for tell in outcomes:
            tell()
        if tx.rows:
            self._hooks.on_commit(self._clock.monotonic() - started, tx.rows)
        return {row.kind for row in tx.appended}

    def _wait_again(self, batch: list[_Write[object]]) -> None:
        """After a rollback: those without an outcome go back to the head of the queue, in their order."""
        self._waiting.extendleft(write for write in reversed(batch) if not write.is_done)

    def _unavailable(self, error: sqlite3.Error) -> ServiceUnavailable:
        fix = "check its file system and free space"
        refusal = ServiceUnavailable(f"cannot write the store {self._path}: {error}: {fix}")
        refusal.__cause__ = error
        return refusal
