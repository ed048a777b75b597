"""Finalizers: an object stays until what it left on the host is gone.

Pure: takes a document and returns another. The store deletes an object that is being deleted when
its last finalizer goes.
"""

from api.meta import Document


def holds(document: Document, finalizer: str) -> bool:
    """Whether `document` carries `finalizer`."""
    return finalizer in document["metadata"].get("finalizers", ())


def is_last(document: Document, finalizer: str) -> bool:
    """Whether nothing but `finalizer` keeps `document` from going."""
    return list(document["metadata"].get("finalizers", ())) == [finalizer]


def added(document: Document, finalizer: str) -> Document:
    """Return `document` with `finalizer`."""
    return _with(document, [*document["metadata"].get("finalizers", ()), finalizer])


def removed(document: Document, finalizer: str) -> Document:
    """Return `document` without `finalizer`."""
    return _with(document, [name for name in document["metadata"].get("finalizers", ()) if name != finalizer])


def _with(document: Document, finalizers: list[str]) -> Document:
    return document | {"metadata": document["metadata"] | {"finalizers": finalizers}}
