"""Copies of the store that are whole: made while it is in use, verified, and only then named.

Invariant: a file with a backup's name is a complete store at one revision; a failed or killed
backup leaves at most a `.partial` file.
"""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from state import journal
from state.connection import APPLICATION_ID, StoreFileError, transaction

RESTORE_SKIPS = 1_000_000
"""So many revisions are skipped by a restore: those lost with the old file are not given again."""


def write(source: sqlite3.Connection, path: Path) -> int:
    """Copy the store behind `source` to a new file at `path`, mode 0600; return its revision.

    Raises:
        StoreFileError: the file exists already, or the copy could not be written or verified.
    """
    if path.exists():
        raise StoreFileError(f"cannot back up the store to {path}: there is a file of that name: choose another")
    partial = path.with_name(f".{path.name}.partial")
    try:
        revision = _copy(source, partial)
        # A link, unlike a rename, never replaces what somebody else has put there meanwhile.
        os.link(partial, path)
        _flush(path.parent)
    except (OSError, sqlite3.Error) as error:
        raise StoreFileError(f"cannot back up the store to {path}: {error}") from error
    finally:
        partial.unlink(missing_ok=True)
    return revision


def save(store: Path, path: Path) -> int:
    """Back up the store in the file `store` to `path`, whether a daemon uses it or not; return its revision.

    Raises:
        StoreFileError: there is no store, `path` exists already, or the copy could not be written or verified.
    """
    if not store.exists():
        raise StoreFileError(f"cannot back up the store {store}: there is no such file: name its --root")
    with closing(sqlite3.connect(f"{store.absolute().as_uri()}?mode=ro", uri=True)) as source:
        return write(source, path)


def restore(saved: Path, path: Path) -> int:
    """Make the store at `path` from the backup `saved`, while no daemon runs; return its revision.

    Revisions jump, and history before the restore is gone: clients that knew the lost ones are told
    to list again instead of being given other changes under the same numbers.

    Raises:
        StoreFileError: `saved` is no backup of a store, or there is a store at `path`.
    """
    # A -wal file left of another store would be replayed into this one.
    if remains := sorted(path.parent.glob(f"{path.name}*")):
        raise StoreFileError(f"cannot restore to {path}: {remains[-1].name} is there: move the old store away first")
    check(saved)
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with closing(sqlite3.connect(saved)) as source:
            _copy(source, partial)
        with closing(sqlite3.connect(partial, isolation_level=None)) as target:
            revision = _skip_revisions(target)
        _flush(partial)
        os.link(partial, path)
        _flush(path.parent)
    except (OSError, sqlite3.Error) as error:
        raise StoreFileError(f"cannot restore {saved} to {path}: {error}") from error
    finally:
        partial.unlink(missing_ok=True)
    return revision


def check(saved: Path) -> None:
    """Check that the file is a whole store.

    Raises:
        StoreFileError: it is not; the message says why.
    """
    try:
        with closing(sqlite3.connect(f"{saved.absolute().as_uri()}?mode=ro", uri=True)) as source:
            (owner,) = source.execute("PRAGMA application_id").fetchone()
            (finding,) = source.execute("PRAGMA integrity_check(1)").fetchone()
    except sqlite3.Error as error:
        raise StoreFileError(f"cannot use the backup {saved}: {error}: choose another") from error
    if owner != APPLICATION_ID:
        raise StoreFileError(f"cannot use the backup {saved}: it is not a store of runwright's: choose another")
    if finding != "ok":
        raise StoreFileError(f"cannot use the backup {saved}: it is damaged ({finding}): choose another")


def _copy(source: sqlite3.Connection, partial: Path) -> int:
    partial.unlink(missing_ok=True)
    os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    with closing(sqlite3.connect(partial, isolation_level=None)) as target:
        # All pages in one step: one moment of the store, and in WAL mode the writer goes on.
        source.backup(target)
        target.execute("PRAGMA journal_mode = DELETE")  # One file, without a -wal beside it.
        revision = journal.newest(target)
    check(partial)
    _flush(partial)
    return revision


def _skip_revisions(target: sqlite3.Connection) -> int:
    with transaction(target):
        revision = journal.newest(target) + RESTORE_SKIPS
        journal.skip_to(target, revision)
        journal.remove_superseded(target, 1, revision)
        journal.raise_floor(target, revision)
    return revision


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
