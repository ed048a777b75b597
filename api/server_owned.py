"""What of an object no client sets, and what counts as a change of it: for the verbs and for the store. Pure.

The verbs make the document that is to be stored; the store holds every writer to the same rules, controllers too.
"""

from collections.abc import Mapping
from typing import Any

from api.errors import Cause
from api.meta import Document

IDENTITY = ("name", "namespace", "generateName", "uid", "creationTimestamp", "generation")
DELETION = ("deletionTimestamp", "deletionGracePeriodSeconds")
_NOT_SPEC = frozenset(("apiVersion", "kind", "metadata", "status"))


def kept(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a write keeps of the stored metadata, whatever it sends."""
    return {name: metadata[name] for name in (*IDENTITY, *DELETION) if name in metadata}


def sent(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a write may say of the metadata."""
    return {name: value for name, value in metadata.items() if name not in IDENTITY and name not in DELETION}


def spec(document: Document) -> Document:
    """Return what its users want of an object, a change of which is a new generation."""
    return {name: value for name, value in document.items() if name not in _NOT_SPEC}


def without_status(document: Document) -> Document:
    """Return a document but for its status."""
    return {name: value for name, value in document.items() if name != "status"}


def tidy(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what is null or empty: both mean absent, and absent is how it is stored."""
    return {name: value for name, value in metadata.items() if value not in (None, "", [], {})}


def added_finalizers(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[Cause, ...]:
    """Return why metadata may not become `after`, if it adds a finalizer to an object that is being deleted."""
    named = after.get("finalizers") or ()
    if "deletionTimestamp" not in before or not isinstance(named, list | tuple):
        return ()  # Of no list, the kind's own rules say so.
    added = [name for name in named if name not in before.get("finalizers", ())]
    if not added:
        return ()
    rule = "no new finalizers can be added if the object is being deleted"
    rule += f", found new finalizers {', '.join(str(name) for name in added)}"
    return (Cause("metadata.finalizers", "FieldValueForbidden", f"Forbidden: {rule}"),)
