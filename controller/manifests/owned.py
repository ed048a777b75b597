"""Which objects a source owns, read from the objects themselves, so that no restart forgets one.

Here: who applied the fields that an object carries, and whether a source is the last that declares
it. Pure but for one listing of the store.
"""

from collections.abc import Iterable

from api.kinds import EVENT, KINDS
from api.meta import MANIFESTS_MANAGER_PREFIX, Document, ObjectKey
from api.ports import Storage
from controller.manifests.sources import FeedKind, Source

Ownership = tuple[Source, ObjectKey]
_WORDS = (f'"{MANIFESTS_MANAGER_PREFIX}',)
"""What is in the JSON of objects that a source has applied: the beginning of a manager's name."""


def listed(storage: Storage, feed: FeedKind) -> dict[Ownership, str]:
    """Return everything that sources of `feed` own, with the file that each came from."""
    found = {}
    for kind in KINDS:
        if kind is EVENT:
            continue
        for document in storage.each(kind.name, words=_WORDS):
            for source in sources_of(document):
                if source.feed is feed:
                    found[source, ObjectKey.of(document)] = file_of(document, source)
    return found


def sources_of(document: Document) -> set[Source]:
    """Return the sources that declare an object: those that applied fields of it and still have some.

    An annotation is no proof, for it is copied with the rest of what somebody reads and writes elsewhere.
    """
    found = {_of_manager(manager) for manager in appliers(document)}
    return {source for source in found if source is not None}


def file_of(document: Document, source: Source) -> str:
    """Return the file or row that `source` declared an object in; empty if its annotation is gone."""
    return str(document["metadata"].get("annotations", {}).get(source.annotation, ""))


def appliers(document: Document) -> Iterable[str]:
    """Return the managers that applied fields of an object and still have some."""
    for entry in document["metadata"].get("managedFields", ()):
        if entry.get("operation") == "Apply" and not entry.get("subresource"):
            yield entry.get("manager", "")


def is_last(document: Document, source: Source) -> bool:
    """Whether `source` applies an object, and nobody else does."""
    return set(appliers(document)) == {source.manager}


def _of_manager(manager: str) -> Source | None:
    family, _, rest = manager.partition("/")
    feed, _, name = rest.partition("/")
    return Source(FeedKind(feed), name) if family == "manifests" and feed in list(FeedKind) else None
