"""What volumes and snapshots are made from: whether it is there and ready, and what is still to be made from something.

Read from the store; what is copied is in the backing. Invariant: what somebody was promised a copy of, by an object
that is older than its deletion, is not removed before the copy is made.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from api import quantity
from api.kinds import VOLUME, VOLUME_SNAPSHOT
from api.meta import Document, ObjectKey
from api.model import ObjectMeta
from api.ports import Change, Storage
from api.types.volume import Volume, VolumeReason, VolumeSpec, VolumeType
from controller.engine.errors import TransientError
from controller.volume.backing import Backing
from controller.volume.observed import Problem


class Sources:
    """What is copied, by the names that objects give it."""

    def __init__(self, storage: Storage, backing: Backing) -> None:
        """Read objects from `storage`, images from `backing`."""
        self._storage = storage
        self._backing = backing

    def problem(self, volume: Volume) -> Problem | None:
        """Return why a volume cannot be made of its `dataSource` now; None if it can, or has none."""
        source = volume.spec.data_source
        if source is None:
            return None
        named = f"{source.kind} {source.name}"
        document = self._find(volume)
        if document is None or is_too_late(volume.meta, document):
            going = "is being deleted" if document else "is not there"
            why = f"{named} {going} in namespace {volume.meta.namespace}: name another, or create it"
            return Problem(VolumeReason.SOURCE_NOT_READY, why)
        if never := why_never(volume.key, volume.spec, document):
            return Problem(VolumeReason.SOURCE_UNUSABLE, never.why)
        if size_of(document) is None:
            why = f"{named} is not ready: rnx describe {source.kind.lower()} {source.name} tells why"
            return Problem(VolumeReason.SOURCE_NOT_READY, why)
        return None

    def size_bytes(self, volume: Volume) -> int | None:
        """Return how much what it is to be made of holds; None if that is not known, or it begins empty."""
        document = self._find(volume)
        return None if document is None else size_of(document)

    def copier(self, volume: Volume) -> Callable[[Path], int] | None:
        """Return what writes the image that the volume begins with; None if it begins empty, as it has no `dataSource`.

        Raises:
            TransientError: it cannot be made of its source, which has gone or changed since it was looked at.
        """
        if volume.spec.data_source is None:
            return None
        problem, document = self.problem(volume), self._find(volume)
        if problem is not None:
            raise TransientError(problem.reason, problem.message)
        if document is None:
            raise TransientError(VolumeReason.SOURCE_NOT_READY, f"{volume.spec.data_source.name} has just gone")
        uid = str(document["metadata"]["uid"])
        return lambda to: self._backing.copy_of(uid, to)

    def volume(self, key: ObjectKey) -> Document | None:
        """Return a volume that a snapshot is to be taken of."""
        return self._storage.get(key)

    def copied_by(self, key: ObjectKey, deleted: str | None) -> tuple[str, ...]:
        """Return what is to be made of a volume or snapshot, which was `deleted` then, and is not made so far.

        What can never be made of it, as both are, is not waited for.
        """
        source = self._storage.get(key)
        return tuple(
            str(ObjectKey.of(each))
            for each in self._made_of(key)
            if not _is_made(each)
            and not is_after(each["metadata"].get("creationTimestamp"), deleted)
            and not (source is not None and _is_never_made(each, source))
        )

    def wake(self, change: Change) -> tuple[ObjectKey, ...]:
        """Return what is due when a volume or a snapshot has changed: its source, and what waits to be made of it."""
        if change.previous is not None and _facts(change.previous) == _facts(change.document):
            return ()
        around = {ObjectKey.of(each) for each in self._made_of(change.key) if not _is_made(each)}
        source = source_of(change.document)
        return tuple(around | ({source} if source is not None else set()))

    def _made_of(self, key: ObjectKey) -> Iterator[Document]:
        for kind in (VOLUME, VOLUME_SNAPSHOT):
            for each in self._storage.each(kind.name, key.namespace, words=(f'"{key.name}"',)):
                if source_of(each) == key and not each["metadata"].get("deletionTimestamp"):
                    yield each

    def _find(self, volume: Volume) -> Document | None:
        source = volume.spec.data_source
        if source is None:
            return None
        return self._storage.get(ObjectKey(source.kind, volume.meta.namespace, source.name))


def source_of(document: Document) -> ObjectKey | None:
    """Return what a volume or a snapshot is made of; None if of nothing. Pure."""
    metadata, spec = document["metadata"], document.get("spec", {})
    if document["kind"] == VOLUME_SNAPSHOT.name:
        return ObjectKey(VOLUME.name, metadata["namespace"], spec["source"]["volumeName"])
    source = spec.get("dataSource")
    if document["kind"] != VOLUME.name or source is None:
        return None
    return ObjectKey(source.get("kind", VOLUME.name), metadata["namespace"], source["name"])


class Never(NamedTuple):
    """Why a volume can never be made as it is asked for, and the field that says so."""

    field: str
    why: str


def why_never(key: ObjectKey, asks: VolumeSpec, source: Document) -> Never | None:
    """Return why a volume can never be made of `source`, as both are; None if it can, or that is not known yet. Pure.

    `asks` has a `dataSource`, which is of the name and kind of `source`.
    """
    of = ObjectKey.of(source)
    named = f"{of.kind} {of.name}"
    if of == key:
        return Never("spec.dataSource", "it would be a copy of itself: name another, or leave dataSource out")
    if of.kind == VOLUME.name and type_of(source) is not VolumeType.FILESYSTEM:
        why = f"{named} is of the type {type_of(source)}: only those of the type filesystem can be copied"
        return Never("spec.dataSource.name", why)
    size = size_of(source)
    if size is not None and asks.size_bytes is not None and asks.size_bytes < size:
        holds = quantity.from_bytes(size)
        why = f"{named} holds {holds}, and {asks.size} is asked for: ask for {holds} or more, or leave the size out"
        return Never("spec.size", why)
    return None


def is_too_late(asks: ObjectMeta, source: Document) -> bool:
    """Say whether `source` was being deleted already when the object that `asks` for a copy of it was created. Pure."""
    return is_after(asks.creation_timestamp, source["metadata"].get("deletionTimestamp"))


def is_after(created: str | None, deleted: str | None) -> bool:
    """Compare times of the API, which are whole seconds: within one, who asked is served. Pure.

    >>> is_after("2026-01-02T03:04:06Z", "2026-01-02T03:04:05Z"), is_after("2026-01-02T03:04:06Z", None)
    (True, False)
    """
    return deleted is not None and (created or "") > deleted


def type_of(document: Document) -> VolumeType:
    """Return the type of a volume. Pure."""
    return VolumeType(document.get("spec", {}).get("type", VolumeType.FILESYSTEM))


def size_of(document: Document) -> int | None:
    """Return how much a volume holds that is made and whole, or a snapshot that is ready to use."""
    status = document.get("status", {})
    if document["kind"] == VOLUME.name:
        size = status.get("capacityBytes")
        return None if size is None or status.get("phase") in ("Lost", "Damaged") else int(size)
    return quantity.to_bytes(status["restoreSize"]) if status.get("readyToUse") else None


def _facts(document: Document) -> tuple[object, ...]:
    """Return what others go by."""
    is_going, spec = document["metadata"].get("deletionTimestamp") is not None, document.get("spec", {})
    status = document.get("status", {})
    return size_of(document), _is_made(document), is_going, status.get("phase"), spec.get("size"), _is_refused(document)


def _is_never_made(asks: Document, source: Document) -> bool:
    if asks["kind"] == VOLUME_SNAPSHOT.name:
        return type_of(source) is not VolumeType.FILESYSTEM
    if _is_refused(asks):
        return True
    return why_never(ObjectKey.of(asks), VolumeSpec.model_validate(asks.get("spec", {})), source) is not None


def _is_refused(document: Document) -> bool:
    """Say whether the settings do not let a volume be as its spec is now."""
    status = document.get("status", {})
    is_of_now = status.get("observedGeneration") == document["metadata"].get("generation")
    told = (c for c in status.get("conditions", ()) if c.get("type") == "Ready" and is_of_now)
    return any(c.get("reason") == VolumeReason.SIZE_FORBIDDEN for c in told)


def _is_made(document: Document) -> bool:
    status = document.get("status", {})
    return bool(status.get("made")) if document["kind"] == VOLUME.name else bool(status.get("creationTime"))
