"""What a write makes of an object: identity, generation, status, finalizers. Pure.

Each function takes documents and returns the one to store, or the very same `current` when nothing
changes. None changes what it is given. Invariant: a client never sets what the
server owns, and an object with finalizers never goes.

Source: Kubernetes API conventions, "Metadata", "Spec and Status", "Finalizers".
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from api import kinds, server_owned
from api.errors import About, BadRequest, Cause, Conflict, Invalid
from api.meta import GROUP, Document, ObjectKey, wire_time
from api.server_owned import tidy, without_status


def for_create(desired: Document, *, uid: str, now: datetime) -> Document:
    """Return a new object: its own identity, generation 1, and a status, if it comes with one, that says nothing.

    Raises:
        BadRequest: it names a resourceVersion, which only an existing object has.
    """
    metadata = desired["metadata"]
    if metadata.get("resourceVersion"):
        raise BadRequest("resourceVersion should not be set on objects to be created", about(ObjectKey.of(desired)))
    given = {name: value for name, value in metadata.items() if name not in server_owned.DELETION}
    owned = {"uid": uid, "creationTimestamp": wire_time(now), "generation": 1}
    empty: Document = {"status": {}} if "status" in desired else {}
    return without_status(desired) | {"metadata": tidy(given | owned)} | empty


def for_update(current: Document, desired: Document) -> Document:
    """Return `desired` with the status and server-owned metadata of `current`.

    Raises:
        Conflict: `desired` is another object of that name.
        Invalid: it adds a finalizer to an object that is being deleted.
    """
    _check_same_object(current, desired)
    before, sent = current["metadata"], desired["metadata"]
    # An absent managedFields says nothing; an empty one clears them.
    fields = sent.get("managedFields", before.get("managedFields"))
    own = server_owned.sent(sent) | server_owned.kept(before)
    metadata = tidy(own | {"managedFields": fields, "resourceVersion": before.get("resourceVersion")})
    if causes := server_owned.added_finalizers(before, metadata):
        raise Invalid.of(about_kind(ObjectKey.of(current)), causes)
    changed = without_status(desired) | {"metadata": metadata}
    if "status" in current:
        changed["status"] = current["status"]
    if server_owned.spec(changed) != server_owned.spec(current):
        metadata["generation"] = before.get("generation", 0) + 1
    return _unless_same(current, changed)


def for_status(current: Document, desired: Document) -> Document:
    """Return `current` with the status and the managedFields of `desired`.

    Raises:
        Conflict: `desired` is another object of that name.
    """
    _check_same_object(current, desired)
    metadata = dict(current["metadata"])
    if "managedFields" in desired["metadata"]:
        metadata["managedFields"] = desired["metadata"]["managedFields"]
    changed = without_status(current) | {"metadata": tidy(metadata)}
    if desired.get("status") is not None:
        changed["status"] = desired["status"]
    return _unless_same(current, changed)


def for_delete(current: Document, *, now: datetime, grace_seconds: int | None = None) -> Document:
    """Return `current` marked as deleting if finalizers hold it back; otherwise `current` itself.

    `grace_seconds` is how long it has to end by itself, where whoever deletes it says so. Deleting it
    again may shorten that, never lengthen it, as for pods.
    """
    metadata = current["metadata"]
    if not metadata.get("finalizers"):
        return current
    grace = {} if grace_seconds is None else {"deletionGracePeriodSeconds": grace_seconds}
    if "deletionTimestamp" in metadata:
        given = metadata.get("deletionGracePeriodSeconds")
        if grace_seconds is None or (given is not None and given <= grace_seconds):
            return current
        return current | {"metadata": metadata | grace}
    mark = {"deletionTimestamp": wire_time(now), "generation": metadata.get("generation", 0) + 1}
    return current | {"metadata": metadata | mark | grace}


def is_finished(document: Document) -> bool:
    """Whether its deletion was asked for and nothing holds it back any more."""
    metadata = document["metadata"]
    return "deletionTimestamp" in metadata and not metadata.get("finalizers")


def check_version(current: Document, desired: Document) -> None:
    """Check that `desired` was made from `current`.

    Raises:
        Conflict: it was made from another version.
        Invalid: it does not say from which, and its kind is ours. Core kinds may leave it out.
    """
    sent = desired["metadata"].get("resourceVersion")
    key = ObjectKey.of(current)
    if not sent:
        if about(key).group == GROUP:
            rule = "Invalid value: 0: must be specified for an update"
            raise Invalid.of(about_kind(key), (Cause("metadata.resourceVersion", "FieldValueInvalid", rule),))
        return
    if sent != current["metadata"]["resourceVersion"]:
        raise Conflict.stale(about(key), sent=str(sent), current=current["metadata"]["resourceVersion"])


def check_preconditions(current: Document, *, uid: str | None, revision: int | None) -> None:
    """Check that `current` is what the caller of a deletion means.

    Raises:
        Conflict: it is another object of that name, or another version of it.
    """
    metadata, key = current["metadata"], ObjectKey.of(current)
    if uid and uid != metadata["uid"]:
        raise _other_object(key, sent=uid, stored=metadata["uid"])
    if revision is not None and str(revision) != metadata["resourceVersion"]:
        raise Conflict.stale(about(key), sent=str(revision), current=metadata["resourceVersion"])


def about(key: ObjectKey) -> About:
    """Say of which resource an error is, by its plural."""
    try:
        kind = kinds.by_name(key.kind)
    except KeyError:
        return About(GROUP, f"{key.kind.lower()}s", key.name)
    return About(kind.group, kind.plural, key.name)


def about_kind(key: ObjectKey) -> About:
    """Say of which object an error is, by its Kind, as Invalid wants it."""
    return About(about(key).group, key.kind, key.name)


def _check_same_object(current: Document, desired: Document) -> None:
    sent, stored = desired["metadata"].get("uid"), current["metadata"]["uid"]
    if sent and sent != stored:
        raise _other_object(ObjectKey.of(current), sent=sent, stored=stored)


def _other_object(key: ObjectKey, *, sent: str, stored: str) -> Conflict:
    cause = f"Precondition failed: UID in precondition: {sent}, UID in object meta: {stored}"
    return Conflict(f"Operation cannot be fulfilled on {about(key)}: {cause}", about(key))


def _unless_same(current: Document, changed: Document) -> Document:
    return current if _timeless(current) == _timeless(changed) else changed


def _timeless(document: Document) -> Document:
    """Return the document without the times of its managedFields, which alone are no change."""
    metadata = document["metadata"]
    fields: Iterable[Any] = metadata.get("managedFields", ())
    plain = [{k: v for k, v in entry.items() if k != "time"} if isinstance(entry, dict) else entry for entry in fields]
    return document | {"metadata": metadata | {"managedFields": plain}}
