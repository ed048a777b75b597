"""The loop that every kind shares: observe, plan, act, observe, report.

It is told which object, never what happened to it, and is safe to repeat and to cut short at any
line. It catches nothing: `worker.py` alone turns exceptions into outcomes. A pass costs one read;
it looks a second time only if it did something and no other pass does so at once, and writes only
what changed.
"""

from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from pydantic import ValidationError

from api.kinds import Kind
from api.meta import Document, ObjectKey
from api.model import ApiModel, Resource
from api.ports import Storage
from controller.engine import finalizers
from controller.engine.errors import TerminalError, TransientError
from controller.engine.plan import Plan

R = TypeVar("R", bound=Resource)
R_contra = TypeVar("R_contra", bound=Resource, contravariant=True)
O = TypeVar("O")  # noqa: E741 -- O for observed, beside R for resource.

MOST_PASSES_IN_A_ROW = 20
"""How often `Plan.again` is followed at once; then other keys get their turn first."""


class KindReconciler(Protocol[R_contra, O]):
    """What a kind supplies. Only `act` changes anything, and each of its steps may be repeated."""

    @property
    def kind(self) -> Kind:
        """The kind, with the finalizer that holds its objects until they are gone from the host."""
        ...

    def observe(self, obj: R_contra) -> O:
        """Look at the host: what is there of `obj`."""
        ...

    def plan(self, obj: R_contra, observed: O) -> Plan:
        """Decide what `obj` needs next. Pure. Raises TerminalError."""
        ...

    def act(self, obj: R_contra, step: Any) -> None:
        """Carry out one step of the plan. Raises TransientError, TerminalError, OSError."""
        ...

    def report(self, obj: R_contra, observed: O, plan: Plan) -> ApiModel:
        """Return the new status: what is there now. Pure."""
        ...

    def report_failure(self, obj: R_contra, error: TransientError | TerminalError) -> ApiModel:
        """Return the status that says why a pass failed. Pure."""
        ...

    def is_gone(self, observed: O) -> bool:
        """Whether nothing of it is left on the host."""
        ...


@dataclass(frozen=True, slots=True)
class Result:
    """What a pass asks for: another one now, later, or when something changes."""

    again: bool = False
    requeue_after_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class _Stored(Generic[R]):
    """An object as it is stored, and what that reads as, if it was read."""

    document: Document
    obj: R | None = None


class UnreadableError(Exception):
    """What is stored under a key is not an object of its kind, so no pass can be made."""

    def __init__(self, document: Document, error: ValidationError) -> None:
        """Keep the object and say what is wrong with each field."""
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_url=False))
        key = ObjectKey.of(document)
        super().__init__(f"cannot read {key} from the store: {wrong}: apply it again with valid fields")
        self.document = document


class ReconcileLoop(Generic[R, O]):
    """Brings objects of one kind closer to their specs, one key at a time."""

    def __init__(self, reconciler: KindReconciler[R, O], storage: Storage) -> None:
        """Use `reconciler` for what the kind means and `storage` for its objects."""
        self._reconciler = reconciler
        self._storage = storage
        self._finalizer = reconciler.kind.finalizer

    def reconcile(self, key: ObjectKey) -> Result:
        """Bring one object as close to its spec as it can come without waiting.

        Raises:
            UnreadableError: what is stored is not an object of the kind.
            Exception: whatever the kind or the store raises.
        """
        document = self._storage.get(key)
        stored: _Stored[R] | None = None if document is None else _Stored(document)
        for _ in range(MOST_PASSES_IN_A_ROW):
            if stored is None:
                return Result()  # Deleted while it was queued: nothing is left to own.
            stored, plan = self._pass(stored)
            if not plan.again:
                return Result(requeue_after_seconds=plan.check_again_seconds)
        return Result(again=True)

    def is_absent(self, key: ObjectKey) -> bool:
        """Whether there is no such object."""
        return self._storage.get(key) is None

    def report_failure(self, key: ObjectKey, error: TransientError | TerminalError) -> Document | None:
        """Store why a pass failed; return the object, or None if it is gone.

        Raises:
            Conflict: it changed meanwhile, so the next pass will tell.
        """
        document = self._storage.get(key)
        if document is None:
            return None
        obj = self._parse(document)
        return self._store_status(_Stored(document, obj), self._reconciler.report_failure(obj, error)).document

    def _pass(self, stored: _Stored[R]) -> tuple[_Stored[R] | None, Plan]:
        document, obj = stored.document, stored.obj or self._parse(stored.document)
        if self._finalizer and not finalizers.holds(document, self._finalizer):
            if obj.meta.is_deleting:
                return stored, Plan.nothing()  # Ours is done; another finalizer holds it.
            document = self._storage.update(finalizers.added(document, self._finalizer))
            obj = self._parse(document)
        stored = _Stored(document, obj)
        observed = self._reconciler.observe(obj)
        plan = self._reconciler.plan(obj, observed)
        for step in plan.steps:
            self._reconciler.act(obj, step)
        if plan.then:
            return self._go_on(self._store_status(stored, self._reconciler.report(obj, observed, plan)), plan), plan
        if plan.steps:
            # Status reports what is there now, not what we meant to do: so look again.
            observed = self._reconciler.observe(obj)
        if obj.meta.is_deleting and self._finalizer and self._reconciler.is_gone(observed):
            self._release(stored, obj, observed, plan)
            return None, Plan.nothing()
        return self._store_status(stored, self._reconciler.report(obj, observed, plan)), plan

    def _go_on(self, recorded: _Stored[R], plan: Plan) -> _Stored[R]:
        """Take the steps for which something had to be on record, from the record; the next pass looks at them."""
        obj = recorded.obj or self._parse(recorded.document)
        for step in plan.then:
            self._reconciler.act(obj, step)
        return _Stored(recorded.document, obj)

    def _release(self, stored: _Stored[R], obj: R, observed: O, plan: Plan) -> None:
        finalizer = self._finalizer or ""
        if not finalizers.is_last(stored.document, finalizer):  # Somebody will still see its status.
            stored = self._store_status(stored, self._reconciler.report(obj, observed, plan))
        self._storage.update(finalizers.removed(stored.document, finalizer))

    def _store_status(self, stored: _Stored[R], status: ApiModel) -> _Stored[R]:
        wanted, document = status.to_document(), stored.document
        if wanted == document.get("status", {}):
            return stored
        metadata = {name: value for name, value in document["metadata"].items() if name != "managedFields"}
        # Who owns what stays.
        return _Stored(self._storage.update_status(document | {"metadata": metadata, "status": wanted}))

    def _parse(self, document: Document) -> R:
        try:
            # The table of kinds cannot know that its type is R; the reconciler that names the kind does.
            return self._reconciler.kind.type.model_validate(document)  # type: ignore[return-value]
        except ValidationError as error:
            raise UnreadableError(document, error) from error
