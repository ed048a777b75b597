"""Owner references: what becomes of the objects that exist for others when those go.

Background deletes the owner, and its dependents after it; Foreground the dependents first; Orphan sets them free.
Pure but for the two functions that prepare a deletion. Never here: the watching that notices that an owner went.
Source: Kubernetes, "Garbage Collection"; kubernetes pkg/controller/garbagecollector.
"""

from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from typing import Any

from api import kinds
from api.errors import Conflict, NotFound
from api.kinds import EVENT, Kind
from api.meta import Document, ObjectKey
from api.ports import Storage

FOREGROUND = "foregroundDeletion"
"""The finalizer of an owner that waits for its dependents to go."""
PREPARED = ("Foreground", "Orphan")
"""The ways of deletion that something comes before."""
_MOST_RETRIES = 8


class Owner(StrEnum):
    """How an owner that is referred to is."""

    THERE = "There"
    WAITING = "Waiting"
    ABSENT = "Absent"
    UNKNOWN = "Unknown"


class Verdict(StrEnum):
    """What is to be done with a dependent."""

    KEEP = "Keep"
    FREE = "Free"
    DELETE = "Delete"


def references(document: Document) -> tuple[Mapping[str, Any], ...]:
    """Return the owner references of an object."""
    return tuple(document["metadata"].get("ownerReferences") or ())


def owner_key(dependent: Document, reference: Mapping[str, Any]) -> ObjectKey | None:
    """Return the key of the owner that is referred to; None if it is of no kind that is stored here.

    An owner is in the namespace of its dependent, or in none: what else a reference says makes no difference.
    """
    kind = _kind_of(reference)
    space = dependent["metadata"].get("namespace", "")
    if kind is None or (kind.namespaced and not space):
        return None
    return ObjectKey(kind.name, space if kind.namespaced else "", str(reference.get("name", "")))


def is_to(owner: Document, dependent: Document, reference: Mapping[str, Any]) -> bool:
    """Return whether a reference of `dependent` is to `owner`: by its uid, and by what may be said of it besides.

    Whoever writes a reference is asked whether they may name that owner, by kind, namespace and name: so a uid that is
    another object's counts for nothing.
    """
    return reference.get("uid") == owner["metadata"]["uid"] and owner_key(dependent, reference) == ObjectKey.of(owner)


def _kind_of(reference: Mapping[str, Any]) -> Kind | None:
    group = str(reference.get("apiVersion", "")).rpartition("/")[0]
    return next((kind for kind in kinds.KINDS if (kind.group, kind.name) == (group, reference.get("kind"))), None)


def state(storage: Storage, dependent: Document, reference: Mapping[str, Any]) -> Owner:
    """Return how the owner is; another object of its name is not the owner."""
    key = owner_key(dependent, reference)
    if key is None:
        return Owner.UNKNOWN
    owner = storage.get(key)
    if owner is None or owner["metadata"]["uid"] != reference.get("uid"):
        return Owner.ABSENT
    return Owner.WAITING if is_waiting(owner) else Owner.THERE


def is_waiting(owner: Document) -> bool:
    """Whether an object is being deleted in the foreground."""
    metadata = owner["metadata"]
    return "deletionTimestamp" in metadata and FOREGROUND in metadata.get("finalizers", ())


def verdict(states: Iterable[Owner]) -> Verdict:
    """Return what becomes of a dependent whose owners are so: one that is there, or may be, keeps it.

    >>> verdict([Owner.ABSENT, Owner.THERE])
    <Verdict.FREE: 'Free'>
    """
    found = set(states)
    going = found & {Owner.ABSENT, Owner.WAITING}
    if not going:
        return Verdict.KEEP
    return Verdict.DELETE if found == going else Verdict.FREE


def without(dependent: Document, uids: Iterable[str]) -> Document:
    """Return an object that no longer refers to these owners."""
    gone = frozenset(uids)
    left = [each for each in references(dependent) if each.get("uid") not in gone]
    return dependent | {"metadata": dependent["metadata"] | {"ownerReferences": left}}


def dependents(storage: Storage, owner: Document) -> Iterator[Document]:
    """Yield the objects that refer to `owner`."""
    space = owner["metadata"].get("namespace")
    for kind in kinds.KINDS:
        if kind is EVENT or (space and not kind.namespaced):
            continue
        for item in storage.each(kind.name, space or None):
            if any(is_to(owner, item, each) for each in references(item)):
                yield item


def prepare(storage: Storage, owner: Document, propagation: str) -> None:
    """Do what comes before the deletion of `owner`: set its dependents free, or have it wait for them.

    Raises:
        Conflict: the owner is changed by others all the time.
    """
    if propagation == "Orphan":
        for dependent in dependents(storage, owner):
            free(storage, ObjectKey.of(dependent), [owner["metadata"]["uid"]])
    if propagation == "Foreground" and next(dependents(storage, owner), None) is not None:
        _hold(storage, ObjectKey.of(owner), owner["metadata"]["uid"])


def free(storage: Storage, key: ObjectKey, uids: Iterable[str]) -> None:
    """Take the references to these owners from an object; one that is gone has none."""
    for _ in range(_MOST_RETRIES):
        live = storage.get(key)
        if live is None:
            return
        try:
            storage.update(without(live, uids))
        except Conflict:
            continue
        except NotFound:
            return
        return


def release(storage: Storage, owner: Document) -> None:
    """Let an owner that waited for its dependents go."""
    metadata = owner["metadata"]
    left = [name for name in metadata.get("finalizers", ()) if name != FOREGROUND]
    storage.update(owner | {"metadata": metadata | {"finalizers": left}})


def _hold(storage: Storage, key: ObjectKey, uid: str) -> None:
    for _ in range(_MOST_RETRIES):
        owner = storage.get(key)
        if owner is None or owner["metadata"]["uid"] != uid:
            return
        metadata = owner["metadata"]
        finalizers = metadata.get("finalizers", [])
        if FOREGROUND in finalizers or "deletionTimestamp" in metadata:
            return
        try:
            storage.update(owner | {"metadata": metadata | {"finalizers": [*finalizers, FOREGROUND]}})
        except (Conflict, NotFound):
            continue
        return
