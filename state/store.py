"""The store: one SQLite file behind `api.ports.Storage`. Decide, append once, wake the watchers.

Here: each operation of the port, told in terms of the lifecycle, the writer and the journal. Never
here: SQL, nor what an object's life is. What it promises are the S invariants of
`docs/explanation/invariants.md`.
"""

import threading
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from sqlite3 import Connection, Error

from api.errors import AlreadyExists, NotFound, ServiceUnavailable
from api.meta import Document, ObjectKey
from api.ports import Change, Listing
from state import backup, compaction, connection, documents, encryption, journal, lifecycle, migrations, watch
from state.encryption import Keyring
from state.writer import Clock, Hooks, OnCommit, Transaction, Writer

Lifecycle = Callable[[Document, Document], Document]
_RESEALED = 200  # At once, for the other writers not to wait long.


def _tell_nobody(_seconds: float, _rows: int) -> None:
    return


def _new_uid() -> str:
    return str(uuid.uuid4())


class Store:
    """Objects, their history and those who watch it. All methods may be called from any thread."""

    def __init__(
        self,
        path: Path,
        writer: Writer,
        watchers: watch.Watchers,
        recent: watch.Recent,
        new_uid: Callable[[], str],
        keyring: Keyring,
    ) -> None:
        """Use `Store.open`, which prepares the file."""
        self._keyring = keyring
        self._rotating = threading.Lock()
        self._path = path
        self._writer = writer
        self._watchers = watchers
        self._recent = recent
        self._new_uid = new_uid
        self._readers = connection.Readers(path)

    @classmethod
    def open(
        cls, path: Path, clock: Clock, *, on_commit: OnCommit = _tell_nobody, new_uid: Callable[[], str] = _new_uid
    ) -> "Store":
        """Open the store's file, made and migrated as needed; the caller closes it.

        `on_commit` is told the seconds and rows of each commit; it must be quick and never raise.

        Raises:
            StoreFileError: the file is damaged, another program's, or a newer runwright's, or its keys are not there.
        """
        opened = connection.open_file(path)
        try:
            migrations.migrate(opened, str(path))
            keyring = encryption.load(encryption.file_of(path), needed=encryption.keys_used(opened))
        except BaseException:
            opened.close()
            raise
        watchers, recent = watch.Watchers(), watch.Recent(keyring, journal.newest(opened), journal.kinds(opened))
        writer = Writer(opened, str(path), clock, Hooks(on_commit, watchers.wake, recent.add), keyring)
        return cls(path, writer, watchers, recent, new_uid, keyring)

    def close(self) -> None:
        """Wait for the write in progress and close the file; what needs the file later is refused."""
        self._readers.close()
        self._writer.close()
        self._recent.forget()

    def get(self, key: ObjectKey) -> Document | None:
        """Return the object, or None."""
        row: journal.Row | journal.Stored | None = self._recent.row(key)
        if row is None:
            with self._reading() as reader:
                row = journal.current(reader, key)
        if row is None or row.deleted:
            return None
        return documents.decode(self._keyring.open(key, row.value), row.revision)

    def list(
        self,
        kind: str,
        namespace: str | None = None,
        *,
        at_revision: int | None = None,
        after: ObjectKey | None = None,
        limit: int = 0,
    ) -> Listing:
        """Return objects of a kind in key order, as they were at one revision.

        Raises:
            Expired: `at_revision` was compacted away.
        """
        with self._reading() as reader, connection.snapshot(reader):
            if at_revision is None:
                at_revision = self._present(reader)
            else:
                watch.check_readable(reader, at_revision)
            rows = journal.page(reader, kind, namespace, at_revision, after, limit)
            is_full = bool(limit) and len(rows) == limit
            found = journal.count(reader, kind, namespace, at_revision, after) if is_full else len(rows)
        items = tuple(self._decoded(kind, row) for row in rows)
        return Listing(items, at_revision, found - len(items))

    def each(self, kind: str, namespace: str | None = None, *, words: Sequence[str] = ()) -> Iterator[Document]:
        """Yield all objects of a kind in key order, as they are at one moment; none is kept. Read on, to the end.

        Of `words`, each as it is in JSON, an object has at least one: a cheap way not to look at those without, though
        one or the other of these may come too.
        """
        if not self._recent.has_any(kind):
            return
        with self._reading() as reader, connection.snapshot(reader):
            wanted = () if encryption.is_confidential(kind) else words
            for row in journal.each(reader, kind, namespace, self._present(reader)):
                if not wanted or any(word in row.value for word in wanted):
                    yield self._decoded(kind, row)

    def keys(self, kind: str, namespace: str | None = None) -> Sequence[ObjectKey]:
        """Return the keys of all objects of a kind, in order."""
        if not self._recent.has_any(kind):
            return ()
        with self._reading() as reader, connection.snapshot(reader):
            return journal.keys(reader, kind, namespace, self._present(reader))

    def uids(self, kind: str) -> Mapping[str, ObjectKey]:
        """Return the keys of all objects of a kind by their uids, without a look at the rest of them.

        Raises:
            ValueError: the kind is confidential.
        """
        if encryption.is_confidential(kind):
            raise ValueError(f"cannot read uids of {kind} objects: they are encrypted")
        with self._reading() as reader, connection.snapshot(reader):
            return journal.uids(reader, kind, self._present(reader))

    def create(self, document: Document) -> Document:
        """Store a new object with uid, creationTimestamp, generation 1.

        Raises:
            AlreadyExists: there is one of that name.
            BadRequest: it names a resourceVersion.
        """
        return self._writer.write(self._creating(document))

    def create_all(self, documents: Sequence[Document]) -> Sequence[Document | Exception]:
        """Store new objects as `create` does, in as few commits as can be; return each, or why it is not stored."""
        return self._writer.write_all([self._creating(document) for document in documents])

    def _creating(self, document: Document) -> Callable[[Transaction], Document]:
        key, uid = ObjectKey.of(document), self._new_uid()

        def decide(tx: Transaction) -> Document:
            after = tx.vacancy(key)
            if after is None:
                raise AlreadyExists.of(lifecycle.about(key))
            return tx.create(key, lifecycle.for_create(document, uid=uid, now=tx.now), after)

        return decide

    def update(self, document: Document) -> Document:
        """Replace all but status and server-owned metadata. No change makes no revision and no watch event.

        The write that empties the finalizers of a deleting object removes it and returns its last state.

        Raises:
            NotFound: no such object.
            Conflict: it changed since the caller read it, or is another object of that name.
            Invalid: no resourceVersion, or a new finalizer on a deleting object.
        """
        return self._replace(document, lifecycle.for_update)

    def update_status(self, document: Document) -> Document:
        """Replace the status (and managedFields) only.

        Raises:
            NotFound: no such object.
            Conflict: it changed since the caller read it, or is another object of that name.
            Invalid: no resourceVersion.
        """
        told = {name: value for name, value in document.items() if name != "spec"}  # Nothing else of it counts here.
        return self._replace(told, lifecycle.for_status)

    def delete(
        self, key: ObjectKey, *, uid: str | None = None, revision: int | None = None, grace_seconds: int | None = None
    ) -> Document:
        """Delete, or mark as deleting while finalizers remain; return the last state.

        `grace_seconds` is how long it may take to end by itself, if that is not left to it.
        It is gone if what is returned has no finalizers.

        Raises:
            NotFound: no such object.
            Conflict: a precondition does not hold.
        """

        def decide(tx: Transaction) -> Document:
            current = tx.current(key)
            if current is None:
                raise NotFound.of(lifecycle.about(key))
            lifecycle.check_preconditions(current.document, uid=uid, revision=revision)
            if not current.document["metadata"].get("finalizers"):
                return tx.remove(key, current.document, current)
            marked = lifecycle.for_delete(current.document, now=tx.now, grace_seconds=grace_seconds)
            return marked if marked is current.document else tx.replace(key, marked, current)

        return self._writer.write(decide)

    def revision(self) -> int:
        """Return the newest revision."""
        return self._recent.newest

    def changes(self, since: int, *, kind: str | frozenset[str] | None = None, limit: int = 1000) -> Sequence[Change]:
        """Return changes of one or more kinds with a revision greater than `since`, oldest first; 0 is no limit.

        Raises:
            Expired: changes after `since` were compacted away, or `since` is not reached yet.
        """
        kinds = frozenset((kind,)) if isinstance(kind, str) else kind
        at_hand = self._recent.after(since, kinds, limit)
        if at_hand is not None:
            return at_hand
        newest = self._recent.newest
        with self._reading() as reader, connection.snapshot(reader):
            found = watch.changes(reader, self._keyring, since, kinds, limit)
        # Of what is committed and not acknowledged yet nobody hears: who asks for the object could get an older one.
        return tuple(change for change in found if change.revision <= newest)

    def subscribe(self, wake: Callable[[], None], kinds: Collection[str] | None = None) -> Callable[[], None]:
        """Call `wake` after each commit that changes one of `kinds`, None is all; return what ends it.

        Subscribe first, then read the backlog.
        """
        return self._watchers.subscribe(wake, kinds)

    def compact(self, keep: int = compaction.KEEP_REVISIONS) -> int:
        """Forget history but the newest `keep` revisions; return how many revisions were gone through."""
        total = 0
        while gone := self._writer.write(lambda tx: compaction.compact_some(tx, keep)):
            total += gone
        self._recent.forget()
        return total

    def expire_events(self, before: datetime) -> int:
        """Delete events last written before `before`; return how many."""
        total = 0
        limit = int(before.timestamp())
        while expired := self._writer.write(lambda tx: compaction.expire_some(tx, "Event", limit)):
            total += len(expired)
        return total

    def backup(self, path: Path) -> int:
        """Copy the store to a new file at `path` while it is in use; return the copy's revision.

        Raises:
            StoreFileError: the file exists already, or the copy could not be written or verified.
        """
        with self._reading() as reader:
            return backup.write(reader, path)

    def rotate_key(self) -> int:
        """Put everything confidential under a new key, while in use; return how many rows that were.

        The old key is forgotten in the end: it is needed for older backups only. Cut off anywhere, all can be read, and
        it can be done again.

        Raises:
            StoreFileError: the file of keys cannot be used.
            ServiceUnavailable: something cannot be decrypted, or the store cannot be written.
        """
        path, total = encryption.file_of(self._path), 0
        with self._rotating:
            fresh = encryption.new_key()
            encryption.save(path, encryption.read(path) | fresh)
            self._keyring.begin(fresh)
            while some := self._writer.write(lambda tx: encryption.reseal(tx.connection, self._keyring, _RESEALED)):
                total += some
            encryption.save(path, fresh)
        return total

    def _present(self, reader: Connection) -> int:
        """Begin the snapshot of a reader, and return the newest revision in it that everybody may hear of.

        What is told of is read first, so that the snapshot has it; a compaction that went on beyond it meanwhile has
        taken away what is needed to go back there, and moves only to where all was told of.
        """
        told = self._recent.newest
        return max(told, journal.floor(reader))

    def _decoded(self, kind: str, row: journal.Found) -> Document:
        text = self._keyring.open(ObjectKey(kind, row.namespace, row.name), row.value)
        return documents.decode(text, row.revision)

    def _replace(self, document: Document, decide_on: Lifecycle) -> Document:
        desired, key = documents.detach(document), ObjectKey.of(document)

        def decide(tx: Transaction) -> Document:
            current = tx.current(key)
            if current is None:
                raise NotFound.of(lifecycle.about(key))
            lifecycle.check_version(current.document, desired)
            changed = decide_on(current.document, desired)
            if changed is current.document:
                return changed
            if lifecycle.is_finished(changed):
                return tx.remove(key, changed, current)
            return tx.replace(key, changed, current)

        return self._writer.write(decide)

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        try:
            with self._readers.lend() as reader:
                yield reader
        except Error as error:
            raise ServiceUnavailable(f"cannot read the store {self._path}: {error}: check its file system") from error
