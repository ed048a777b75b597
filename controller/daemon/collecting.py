"""Collects what exists for owners that are gone, and lets owners go that waited for it.

It reads the journal on from where it was, and remembers who refers to whom, so that a deletion costs what it has to
collect and not a look at everything. Invariant: nothing is deleted while an owner of it is there, or may be.
"""

import logging
import threading
from collections import defaultdict
from collections.abc import Iterable

from api import kinds
from api.errors import ApiError, Conflict, Expired, NotFound
from api.kinds import EVENT
from api.meta import Document, ObjectKey
from api.objects import ownership
from api.objects.ownership import Owner, Verdict
from api.objects.verbs import Verbs
from api.ports import Change, ChangeType, Storage

_log = logging.getLogger(__name__)
_POLL_SECONDS = 30.0
_WORDS = ('"ownerReferences"', f'"{ownership.FOREGROUND}"')
"""What is in the JSON of objects that have owners, and of those that wait for what they own."""
_AFTER_FAILURE_SECONDS = 1.0


class Collector:
    """A thread that follows the store."""

    def __init__(self, storage: Storage, verbs: Verbs) -> None:
        """Follow `storage`; delete by `verbs`."""
        self._storage = storage
        self._verbs = verbs
        self._revision: int | None = None
        self._dependents: dict[str, set[ObjectKey]] = defaultdict(set)
        self._owners: dict[ObjectKey, frozenset[str]] = {}
        self._woken = threading.Event()
        self._is_stopping = False
        self._thread = threading.Thread(target=self._run, name="collector", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._unsubscribe = self._storage.subscribe(self._woken.set)
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._is_stopping = True
        self._woken.set()
        if self._thread.ident is not None:
            self._thread.join()
            self._unsubscribe()

    def _run(self) -> None:
        patience = 0.0
        while not self._is_stopping:
            if patience:
                self._woken.wait(patience)
                self._woken.clear()
            try:
                self.catch_up()
                patience = _POLL_SECONDS
            except (ApiError, OSError) as error:
                _log.warning("cannot collect what has lost its owners", extra={"problem": str(error)})
                patience = _AFTER_FAILURE_SECONDS

    def catch_up(self) -> None:
        """Do all that follows from what was written until now, and from what that writes."""
        if self._revision is None:
            self._start_over()
        while self._revision is not None:
            try:
                changes = self._storage.changes(self._revision)
            except Expired:
                self._start_over()
                continue
            if not changes:
                return
            suspects = {key for change in changes for key in self._learn(change)}
            self._revision = changes[-1].revision
            self._judge_all(suspects)

    def _start_over(self) -> None:
        """Look at everything, as at the start."""
        self._dependents.clear()
        self._owners.clear()
        self._revision = self._storage.revision()
        suspects = set()
        for kind in kinds.KINDS:
            if kind is EVENT:
                continue
            for item in self._storage.each(kind.name, words=_WORDS):
                self._remember(ObjectKey.of(item), item)
                if ownership.references(item) or ownership.is_waiting(item):
                    suspects.add(ObjectKey.of(item))
        self._judge_all(suspects)

    def _learn(self, change: Change) -> Iterable[ObjectKey]:
        """Remember what a change says of owners; return the keys of what it may concern."""
        key, document = change.key, change.document
        if key.kind == EVENT.name:
            return
        before = self._owners.get(key, frozenset())
        uid = document["metadata"]["uid"]
        if change.type is ChangeType.DELETED:
            self._forget(key)
            yield from self._dependents.get(uid, ())
            for reference in ownership.references(document):
                owner = ownership.owner_key(document, reference)
                if owner is not None:
                    yield owner  # It may have waited for this one.
            return
        self._remember(key, document)
        if self._owners.get(key, frozenset()) != before or ownership.is_waiting(document):
            yield key

    def _remember(self, key: ObjectKey, document: Document) -> None:
        uids = frozenset(str(each.get("uid")) for each in ownership.references(document))
        if uids == self._owners.get(key, frozenset()):
            return
        self._forget(key)
        if uids:
            self._owners[key] = uids
        for uid in uids:
            self._dependents[uid].add(key)

    def _forget(self, key: ObjectKey) -> None:
        for uid in self._owners.pop(key, ()):
            self._dependents[uid].discard(key)
            if not self._dependents[uid]:
                del self._dependents[uid]

    def _judge_all(self, suspects: Iterable[ObjectKey]) -> None:
        for key in suspects:
            document = self._storage.get(key)
            if document is None:
                continue
            try:
                self._judge(key, document)
            except (NotFound, Conflict):
                continue  # It changed meanwhile, and that change is read next.

    def _judge(self, key: ObjectKey, document: Document) -> None:
        if ownership.is_waiting(document):
            self._judge_waiting(key, document)
        self._judge_dependent(key, document)

    def _judge_dependent(self, key: ObjectKey, document: Document) -> None:
        if "deletionTimestamp" in document["metadata"]:
            return
        found = [(each, ownership.state(self._storage, document, each)) for each in ownership.references(document)]
        match ownership.verdict(state for _, state in found):
            case Verdict.DELETE:
                is_waited_for = any(state is Owner.WAITING for _, state in found)
                self._delete(key, document, "Foreground" if is_waited_for else "Background")
            case Verdict.FREE:
                gone = [str(each["uid"]) for each, state in found if state in (Owner.ABSENT, Owner.WAITING)]
                ownership.free(self._storage, key, gone)
            case Verdict.KEEP:
                return

    def _judge_waiting(self, key: ObjectKey, owner: Document) -> None:
        """Delete what an owner waits for, or let it go when nothing is left that it has to wait for."""
        uid = owner["metadata"]["uid"]
        for each in self._dependents_of(uid):
            self._judge_dependent(ObjectKey.of(each), each)
        blocking = [each for each in self._dependents_of(uid) if _blocks(each, uid)]
        if not any(not self._waits_for(each, key) for each in blocking):
            ownership.release(self._storage, owner)

    def _dependents_of(self, uid: str) -> list[Document]:
        return [item for key in sorted(self._dependents.get(uid, ())) if (item := self._storage.get(key)) is not None]

    def _waits_for(self, document: Document, key: ObjectKey) -> bool:
        """Whether an object waits, itself or by others, for the one that waits for it: then nobody needs to."""
        if not ownership.is_waiting(document):
            return False
        seen, going = set[ObjectKey](), [document["metadata"]["uid"]]
        while going:
            for each in self._dependents.get(going.pop(), set()) - seen:
                seen.add(each)
                below = self._storage.get(each)
                if below is not None and ownership.is_waiting(below):
                    going.append(below["metadata"]["uid"])
        return key in seen

    def _delete(self, key: ObjectKey, document: Document, propagation: str) -> None:
        _log.info("deleting what has lost its owners", extra={"object": str(key)})
        uid = document["metadata"]["uid"]
        self._verbs.delete(kinds.by_name(key.kind), key.namespace, key.name, uid=uid, propagation=propagation)


def _blocks(dependent: Document, uid: str) -> bool:
    return any(each.get("uid") == uid and each.get("blockOwnerDeletion") for each in ownership.references(dependent))
