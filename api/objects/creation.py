"""New objects: made alone, or those that are asked for at the same time stored in one commit.

Here: what must hold before a new object is stored, names that are made up for it, dry runs. What a create makes of what
was sent is in `writes.py`; what an object must be, in `admission.py`.
Invariant: each of many is made or refused as it would be alone at that moment, whatever becomes of the others.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import NamedTuple, Protocol

from api.errors import AlreadyExists, ApiError, Conflict
from api.kinds import NAMESPACE, Kind
from api.meta import Document, ObjectKey
from api.objects import admission, names, namespaces, writes
from api.objects.admission import WriteOptions
from api.ports import Storage

Judged = Callable[[Document, Document | None], AbstractContextManager[None] | None]
"""Given an object that is to be stored, and what it was: raises if it may not be, or returns what it is to be stored
inside of, alone, and which may raise too; None if it may be stored together with others. What is returned need not be
entered: then nothing was done."""

Advice = Callable[[Document], tuple[str, ...]]
"""Given an object that is stored, returns what its sender should know of it."""

MOST_RETRIES = 10
"""How often a write that names no version is tried again when others write in between."""

_RANDOM_CHARACTERS = 5


class Clock(Protocol):
    """The wall clock."""

    def now(self) -> datetime:
        """Return the wall time, aware, in UTC."""
        ...


class Written(NamedTuple):
    """What a write made: the object as stored, whether it is new, and what its sender should know."""

    document: Document
    created: bool
    warnings: tuple[str, ...]


class Creation(NamedTuple):
    """An object that somebody asks for: what was sent, and how it is to be made."""

    kind: Kind
    namespace: str
    document: object
    options: WriteOptions


Alone = Callable[[], Written]
"""Makes an object that cannot be made together with others, and raises as `Creator.create` does."""


@dataclass(frozen=True, slots=True)
class _Ready:
    """A new object that may be stored, but for what is judged the moment before; it may not have its name yet."""

    kind: Kind
    document: Document
    options: WriteOptions
    warnings: tuple[str, ...]


class Creator:
    """Makes new objects."""

    def __init__(self, storage: Storage, clock: Clock, judged: Judged, advice: Advice) -> None:
        """Store in `storage` what `judged` lets pass."""
        self._storage = storage
        self._clock = clock
        self._judged = judged
        self._advice = advice

    def create(self, creation: Creation) -> Written:
        """Make a new object.

        Raises:
            AlreadyExists, BadRequest, Invalid, NotFound (of the namespace), Forbidden (it is ending).
        """
        return self._made_alone(self._ready(creation))

    def create_all(self, creations: Sequence[Creation]) -> list[Written | Exception | Alone]:
        """Make new objects as `create` does; return each, or what it raises, in their order.

        For one that cannot be made together with others, what makes it is returned: those others do not wait for it.
        """
        outcomes: dict[int, Written | Exception | Alone] = {}
        together: dict[int, tuple[_Ready, Document]] = {}
        for number, creation in enumerate(creations):
            try:
                ready = self._ready(creation)
                if (document := self._to_be_stored_with_others(ready)) is not None:
                    together[number] = ready, document
                else:
                    outcomes[number] = partial(self._made_alone, ready)
            except Exception as error:  # noqa: BLE001 - it is told to whom it belongs, and the others are made.
                outcomes[number] = error
        outcomes |= self._store_together(together)
        return [outcomes[number] for number in range(len(creations))]

    def store(self, kind: Kind, document: Document, options: WriteOptions) -> Document:
        """Store a new object that has its name, or pretend to.

        Raises:
            AlreadyExists: there is one of that name.
            Forbidden, Invalid: it is judged so.
        """
        options.admit(kind, None, document)
        with self._judged(document, None) or nullcontext():
            if options.dry_run:
                metadata = document["metadata"]
                if self._storage.get(ObjectKey(kind.name, metadata.get("namespace", ""), metadata["name"])):
                    raise AlreadyExists.of(admission.about(kind, metadata["name"]))
                return writes.pretend(None, document, self._clock.now())
            stored = self._storage.create(document)
        return namespaces.set_phase(self._storage, stored) if kind is NAMESPACE else stored

    def check_space(self, kind: Kind, document: Document) -> None:
        """Check that objects may be made in the namespace of a new one. Raises NotFound, Forbidden."""
        if kind.namespaced:
            metadata = document["metadata"]
            about = str(admission.about(kind, metadata.get("name", "")))
            namespaces.check_open(self._storage, metadata["namespace"], about=about)

    def _ready(self, creation: Creation) -> _Ready:
        kind, _, document, options = creation
        space = namespaces.meant(kind, creation.namespace, document)
        received = admission.receive(kind, document, space, options)
        new = writes.for_create(kind, received.document, options, self._clock.now())
        self.check_space(kind, new)
        return _Ready(kind, new, options, received.warnings)

    def _made_alone(self, ready: _Ready) -> Written:
        return self._written(ready, self._store_alone(ready))

    def _written(self, ready: _Ready, stored: Document) -> Written:
        return Written(stored, created=True, warnings=ready.warnings + self._advice(ready.document))

    def _store_alone(self, ready: _Ready) -> Document:
        """Store an object; one without a name under a name that is made up, another one if it is taken."""
        kind, metadata = ready.kind, ready.document["metadata"]
        if metadata.get("name"):
            return self.store(kind, ready.document, ready.options)
        for _ in range(MOST_RETRIES):
            try:
                return self.store(kind, _named(ready), ready.options)
            except AlreadyExists:
                continue
        raise too_busy(kind, _base(ready))

    def _to_be_stored_with_others(self, ready: _Ready) -> Document | None:
        """Return the object, judged, with its name; None if it has to be stored alone. Raises what `store` does."""
        if ready.options.dry_run or ready.kind is NAMESPACE:
            return None
        document = ready.document if ready.document["metadata"].get("name") else _named(ready)
        ready.options.admit(ready.kind, None, document)
        return document if self._judged(document, None) is None else None

    def _store_together(self, objects: dict[int, tuple[_Ready, Document]]) -> dict[int, Written | Exception | Alone]:
        outcomes: dict[int, Written | Exception | Alone] = dict(self._shut_out(objects))
        left = {number: each for number, each in objects.items() if number not in outcomes}
        try:
            stored = self._storage.create_all([document for _, document in left.values()]) if left else ()
        except Exception as error:  # noqa: BLE001 - as above
            return outcomes | dict.fromkeys(left, error)
        for (number, (ready, document)), outcome in zip(left.items(), stored, strict=True):
            outcomes[number] = self._outcome(ready, document, outcome)
        return outcomes

    def _shut_out(self, objects: dict[int, tuple[_Ready, Document]]) -> Iterator[tuple[int, ApiError]]:
        """Yield those whose namespace has been closed while the others were being looked at."""
        open_spaces: set[str] = set()
        for number, (ready, document) in objects.items():
            space = document["metadata"].get("namespace", "")
            if space not in open_spaces:
                try:
                    self.check_space(ready.kind, document)
                    open_spaces.add(space)
                except ApiError as error:
                    yield number, error

    def _outcome(self, ready: _Ready, document: Document, stored: Document | Exception) -> Written | Exception | Alone:
        if isinstance(stored, AlreadyExists) and document is not ready.document:
            return partial(self._made_alone, ready)  # Only its made-up name is taken.
        if isinstance(stored, Exception):
            return stored
        try:
            return self._written(ready, stored)
        except Exception as error:  # noqa: BLE001 - as above
            return error


def _base(ready: _Ready) -> str:
    most = names.most_characters(ready.kind) - _RANDOM_CHARACTERS
    return str(ready.document["metadata"]["generateName"][:most])


def _named(ready: _Ready) -> Document:
    metadata = ready.document["metadata"]
    return ready.document | {"metadata": metadata | {"name": _base(ready) + namespaces.random_suffix()}}


def too_busy(kind: Kind, name: str) -> Conflict:
    """Return the error of a write that was tried often enough."""
    about = admission.about(kind, name)
    why = f"it changed {MOST_RETRIES} times meanwhile: retry"
    return Conflict(f"Operation cannot be fulfilled on {about}: {why}", about)
