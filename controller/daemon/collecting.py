"""Collects what exists for owners that are gone, and lets owners go that waited for it.

It reads the journal on from where it was, and remembers who refers to whom, so that a deletion costs what it has to
collect and not a look at everything. Invariant: nothing is deleted while an owner of it is there, or may be.
"""

import logging
import threading
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

from api import kinds
from api.errors import ApiError, Conflict, Expired, NotFound
from api.kinds import EVENT
from api.meta import Document, ObjectKey
from api.objects import ownership
from api.objects.ownership import Owner, Verdict, references
from api.objects.verbs import Verbs
from api.ports import Change, ChangeType, Storage

_log = logging.getLogger(__name__)
_POLL_SECONDS = 30.0
_SETTLE_SECONDS = 0.05  # What is written meanwhile is learned in one go; nobody waits for what is collected.
_WORDS = ('"ownerReferences"', f'"{ownership.FOREGROUND}"')
"""What is in the JSON of objects that have owners, and of those that wait for what they own."""
_AFTER_FAILURE_SECONDS = 1.0


class _Reference(NamedTuple):
    """What is remembered of an owner reference."""

    uid: str
    owner: ObjectKey | None
    blocks: bool


class Collector:
    """A thread that follows the store."""

    def __init__(self, storage: Storage, verbs: Verbs) -> None:
        """Follow `storage`; delete by `verbs`."""
        self._storage = storage
        self._verbs = verbs
        self._revision: int | None = None
        self._dependents: dict[str, set[ObjectKey]] = defaultdict(set)
        self._owners: dict[ObjectKey, frozenset[_Reference]] = {}
        self._woken = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="collector", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._unsubscribe = self._storage.subscribe(self._woken.set)
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()
        self._woken.set()
        if self._thread.ident is not None:
            self._thread.join()
            self._unsubscribe()

    def _run(self) -> None:
        pause = _AFTER_FAILURE_SECONDS
        while not self._stopping.is_set():
            if self._has_caught_up():
                pause = _AFTER_FAILURE_SECONDS
                self._woken.wait(_POLL_SECONDS)
                self._stopping.wait(_SETTLE_SECONDS)
                self._woken.clear()
            else:
                self._stopping.wait(pause)
                pause = min(2 * pause, _POLL_SECONDS)

    def _has_caught_up(self) -> bool:
        try:
            self.catch_up()
        except (ApiError, OSError) as error:
            _log.warning("cannot collect what has lost its owners", extra={"problem": str(error)})
        except Exception:  # noqa: BLE001 - a thread that died of it would collect nothing more, and nobody would know
            _log.exception("cannot collect what has lost its owners")
        else:
            return True
        self._revision = None  # Some was judged and some was not: so all of it is, again.
        return False

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
                if references(item) or ownership.is_waiting(item):
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
            for reference in references(document):
                owner = ownership.owner_key(document, reference)
                if owner is not None:
                    yield owner  # It may have waited for this one.
            return
        self._remember(key, document)
        now = self._owners.get(key, frozenset())
        if now != before or ownership.is_waiting(document):
            yield key
        yield from (each.owner for each in before - now if each.owner is not None)  # It may wait no longer.

    def _remember(self, key: ObjectKey, document: Document) -> None:
        found = frozenset(_remembered(document, each) for each in references(document))
        if found == self._owners.get(key, frozenset()):
            return
        self._forget(key)
        if found:
            self._owners[key] = found
        for each in found:
            self._dependents[each.uid].add(key)

    def _forget(self, key: ObjectKey) -> None:
        for uid in {each.uid for each in self._owners.pop(key, ())}:
            self._dependents[uid].discard(key)
            if not self._dependents[uid]:
                del self._dependents[uid]

    def _judge_all(self, suspects: Iterable[ObjectKey]) -> None:
        """Judge each. What is wrong with one is raised when the others are done."""
        failures: list[Exception] = []
        for key in suspects:
            try:
                document = self._storage.get(key)
                if document is not None:
                    self._judge(key, document)
            except (NotFound, Conflict):
                continue  # It changed meanwhile, and that change is read next.
            except Exception as error:  # noqa: BLE001 - raised below
                failures.append(error)
        if failures:
            raise failures[0]

    def _judge(self, key: ObjectKey, document: Document) -> None:
        if ownership.is_waiting(document):
            self._judge_waiting(key, document)
        self._judge_dependent(key, document)

    def _judge_dependent(self, key: ObjectKey, document: Document) -> None:
        if "deletionTimestamp" in document["metadata"]:
            return
        found = [(each, ownership.state(self._storage, document, each)) for each in references(document)]
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
        for each in self._dependents_of(owner):
            self._judge_dependent(ObjectKey.of(each), each)
        blocking = [each for each in self._dependents_of(owner) if _blocks(owner, each)]
        if not any(not self._waits_for(each, key) for each in blocking):
            ownership.release(self._storage, owner)

    def _dependents_of(self, owner: Document, but: Collection[ObjectKey] = ()) -> list[Document]:
        """Return what refers to an object, read anew, without those that are known."""
        keys = sorted(self._dependents.get(owner["metadata"]["uid"], set()).difference(but))
        found = [item for key in keys if (item := self._storage.get(key)) is not None]
        return [item for item in found if any(ownership.is_to(owner, item, each) for each in references(item))]

    def _waits_for(self, document: Document, key: ObjectKey) -> bool:
        """Whether an object waits, itself or by others, for the one that waits for it: then nobody needs to."""
        if not ownership.is_waiting(document):
            return False
        seen, going = set[ObjectKey](), [document]
        while going:
            for each in self._dependents_of(going.pop(), but=seen):
                seen.add(ObjectKey.of(each))
                if ownership.is_waiting(each):
                    going.append(each)
        return key in seen

    def _delete(self, key: ObjectKey, document: Document, propagation: str) -> None:
        _log.info("deleting what has lost its owners", extra={"object": str(key)})
        uid = document["metadata"]["uid"]
        self._verbs.delete(kinds.by_name(key.kind), key.namespace, key.name, uid=uid, propagation=propagation)


def _remembered(dependent: Document, reference: Mapping[str, Any]) -> _Reference:
    blocks = bool(reference.get("blockOwnerDeletion"))
    return _Reference(str(reference.get("uid")), ownership.owner_key(dependent, reference), blocks)


def _blocks(owner: Document, dependent: Document) -> bool:
    found = (each for each in references(dependent) if ownership.is_to(owner, dependent, each))
    return any(each.get("blockOwnerDeletion") for each in found)
