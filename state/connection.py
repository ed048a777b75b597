"""Opening the store's file, safely, and lending connections to it.

Here: PRAGMAs, file mode, what is refused and why, transactions, the pool of readers. Never here:
the tables or what is in them. Invariant: an acknowledged write survives power loss
(`synchronous=FULL`), and no other user of the host can read the file. The connection that writes is the only one that
checkpoints: SQLite up to 3.51.2 can lose a commit where two do (https://sqlite.org/wal.html#the_wal_reset_bug).
"""

import os
import sqlite3
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

APPLICATION_ID = 0x72776431
"""Marks a SQLite file as ours (`rwd1`), so that another program's file is never written to."""

_BUSY_TIMEOUT_MS = 30_000
_IDLE_READERS = 16
_WAL_KEPT_BYTES = 16 * 1024 * 1024
_SMALLEST_DATABASE_BYTES = 512
_OURS_TO_READ = 0o600


class StoreFileError(OSError):
    """The store's file cannot be used as it is; the message names it and what to do."""


def open_file(path: Path) -> sqlite3.Connection:
    """Open the store's file for writing, creating it with mode 0600; the caller closes it.

    Raises:
        StoreFileError: it is not a store of runwright's, is damaged, or cannot be opened.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        size = _create_private(path)
    except OSError as error:
        raise _unusable(path, error) from error
    if 0 < size < _SMALLEST_DATABASE_BYTES:  # SQLite would take so short a file for an empty one.
        raise _damaged(path, f"{size} bytes long")
    try:
        return _open_ours(path)
    except sqlite3.OperationalError as error:
        raise _unusable(path, error) from error
    except sqlite3.Error as error:
        raise _damaged(path, str(error)) from error


def connect(path: Path) -> sqlite3.Connection:
    """Return a connection with the house's PRAGMAs; transactions are begun by hand."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        connection.execute(f"PRAGMA busy_timeout = {_BUSY_TIMEOUT_MS}")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA journal_size_limit = {_WAL_KEPT_BYTES}")
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Run the block in one write transaction: COMMIT at its end, ROLLBACK if it raises."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # SQLite rolls back by itself on some errors, such as a full disk.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


@contextmanager
def snapshot(connection: sqlite3.Connection) -> Iterator[None]:
    """Run the block in one read transaction: all its reads see the store at one moment."""
    connection.execute("BEGIN")
    try:
        yield
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


class Readers:
    """Connections for reading, lent to one thread at a time; they never block the writer."""

    def __init__(self, path: Path) -> None:
        """Lend connections to the file at `path`, which exists."""
        self._path = path
        self._idle: deque[sqlite3.Connection] = deque()
        self._is_closed = False

    @contextmanager
    def lend(self) -> Iterator[sqlite3.Connection]:
        """Lend a connection for the block. Raises sqlite3.ProgrammingError once closed."""
        if self._is_closed:
            raise sqlite3.ProgrammingError("the store is closed")
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = connect(self._path)
            connection.execute("PRAGMA query_only = ON")
        try:
            yield connection
        finally:
            self._take_back(connection)

    def close(self) -> None:
        """Close the idle connections now and the lent ones when they come back."""
        self._is_closed = True
        while self._idle:
            self._idle.pop().close()

    def _take_back(self, connection: sqlite3.Connection) -> None:
        self._idle.append(connection)
        if self._is_closed:
            self.close()
        elif len(self._idle) > _IDLE_READERS:
            self._idle.pop().close()


def _create_private(path: Path) -> int:
    # SQLite gives its -wal and -shm files the mode of the file itself.
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _OURS_TO_READ)
    try:
        os.fchmod(descriptor, _OURS_TO_READ)
        return os.fstat(descriptor).st_size
    finally:
        os.close(descriptor)


def _open_ours(path: Path) -> sqlite3.Connection:
    connection = connect(path)
    try:
        _check_ours(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _check_ours(connection: sqlite3.Connection, path: Path) -> None:
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    (owner,) = connection.execute("PRAGMA application_id").fetchone()
    if tables and owner != APPLICATION_ID:
        raise StoreFileError(f"cannot open the store {path}: it is another program's database: name another file")
    (finding,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if finding != "ok":
        raise _damaged(path, finding)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")


def _unusable(path: Path, error: Exception) -> StoreFileError:
    return StoreFileError(f"cannot open the store {path}: {error}: check the path and its permissions")


def _damaged(path: Path, finding: str) -> StoreFileError:
    cause = f"it is damaged or not a SQLite database ({finding})"
    return StoreFileError(f"cannot open the store {path}: {cause}: restore a backup, or move the file away")
