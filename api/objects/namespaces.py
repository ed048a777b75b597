"""Namespaces: `default` always exists, nothing is made in a missing one, and deleting empties it first.

A namespace that still holds something is Terminating, kept by the finalizer `kubernetes`;
`finish` lets it go once it is empty but for events. Never here: who calls `finish`, and when.
"""

import contextlib
import secrets

from api import kinds
from api.errors import Cause, Conflict, Forbidden, NotFound
from api.kinds import EVENT, NAMESPACE, Kind
from api.meta import Document, ObjectKey
from api.objects import admission
from api.ports import Storage

DEFAULT = "default"
FINALIZER = "kubernetes"
_PHASE = {True: "Terminating", False: "Active"}
_SUFFIX_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
_MOST_RETRIES = 8


def key_of(name: str) -> ObjectKey:
    """Return the key of a namespace."""
    return ObjectKey(NAMESPACE.name, "", name)


def meant(kind: Kind, namespace: str, document: object) -> str:
    """Return the namespace meant: the request's, else the document's, else `default`; "" of a kind that has none."""
    if not kind.namespaced or namespace:
        return namespace if kind.namespaced else ""
    metadata = document.get("metadata") if isinstance(document, dict) else None
    said = metadata.get("namespace") if isinstance(metadata, dict) else None
    return said if isinstance(said, str) and said else DEFAULT


def check_open(storage: Storage, name: str, *, about: str) -> None:
    """Check that objects may be made in the namespace; `about` names what is to be made.

    Raises:
        NotFound: there is no such namespace.
        Forbidden: it is being deleted.
    """
    namespace = storage.get(key_of(name))
    if namespace is None:
        raise NotFound.of(admission.about(NAMESPACE, name))
    if "deletionTimestamp" in namespace["metadata"]:
        why = f"unable to create new content in namespace {name} because it is being terminated"
        cause = Cause("metadata.namespace", "NamespaceTerminating", f"namespace {name} is being terminated")
        raise Forbidden(f"{about} is forbidden: {why}", admission.about(NAMESPACE, name), [cause])


def ensure_default(storage: Storage) -> None:
    """Make the namespace `default` if it is not there."""
    if storage.get(key_of(DEFAULT)) is None:
        metadata = {"name": DEFAULT}
        set_phase(
            storage, storage.create({"apiVersion": NAMESPACE.api_version, "kind": NAMESPACE.name, "metadata": metadata})
        )


def set_phase(storage: Storage, namespace: Document) -> Document:
    """Store the phase that follows from whether the namespace is being deleted."""
    phase = _PHASE["deletionTimestamp" in namespace["metadata"]]
    return storage.update_status(namespace | {"status": {"phase": phase}})


def refuse_if_kept(name: str) -> None:
    """Refuse the deletion of the namespace that always exists.

    Raises:
        Forbidden: it is `default`.
    """
    if name == DEFAULT:
        about = admission.about(NAMESPACE, name)
        raise Forbidden(f"{about} is forbidden: this namespace may not be deleted", about)


def hold(storage: Storage, name: str) -> Document:
    """Put the finalizer on a namespace that is about to be deleted, so that it goes last.

    Raises:
        NotFound: there is no such namespace.
    """
    for _ in range(_MOST_RETRIES):
        namespace = storage.get(key_of(name))
        if namespace is None:
            raise NotFound.of(admission.about(NAMESPACE, name))
        metadata = namespace["metadata"]
        if "deletionTimestamp" in metadata or FINALIZER in metadata.get("finalizers", []):
            return namespace
        held = metadata | {"finalizers": [*metadata.get("finalizers", []), FINALIZER]}
        try:
            return storage.update(namespace | {"metadata": held})
        except Conflict:
            continue
    raise Conflict.stale(admission.about(NAMESPACE, name), sent="newest", current="newer still")


def contents(storage: Storage, name: str) -> list[ObjectKey]:
    """Return the keys of everything in a namespace."""
    spaced = [kind for kind in kinds.KINDS if kind.namespaced]
    return [key for kind in spaced for key in storage.keys(kind.name, name)]


def finish(storage: Storage, name: str) -> bool:
    """Let a Terminating namespace go if nothing but events is left in it, and these with it; return whether it is gone.

    What ends in a namespace that is being deleted has events of its end, which nobody else would delete for an hour.
    Safe to call at any time, for any namespace, and again.
    """
    namespace = storage.get(key_of(name))
    if namespace is None:
        return True
    metadata = namespace["metadata"]
    if "deletionTimestamp" not in metadata:
        return False
    left_in_it = contents(storage, name)
    if any(key.kind != EVENT.name for key in left_in_it):
        return False
    for event in left_in_it:
        with contextlib.suppress(NotFound):
            storage.delete(event)
    if contents(storage, name):
        return False  # One has just come: it is called again.
    left = [finalizer for finalizer in metadata.get("finalizers", []) if finalizer != FINALIZER]
    try:
        storage.update(namespace | {"metadata": metadata | {"finalizers": left}})
    except (Conflict, NotFound):
        return False
    return not left


def random_suffix() -> str:
    """Return five letters for a generated name, as Kubernetes chooses them: no vowels, no words."""
    return "".join(secrets.choice(_SUFFIX_LETTERS) for _ in range(5))
