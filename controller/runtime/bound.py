"""Whether a tree is bound to one content: whether what it was made from makes the same again, here and anywhere.

An archive with a checksum is one content. A build is if each of its inputs is and its versions.lock is true; what is
made of other runtimes is if they are; what a script made is nobody's to say. Looked at when a tree is made, and kept
in its record. Never here: comparing contents (`trees/remembered.py`, `trees/verify.py`).
Invariant: what is not known to be bound is never called so.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from api.runtime_spec import shortened
from api.types.runtime import RuntimeReason
from controller.runtime import locked, pins
from controller.runtime.build.declared import DeclaredBuild
from controller.runtime.build.recipe import RecipeSource
from controller.runtime.locked import Locked
from controller.runtime.sources.composition import Composition, Layer
from controller.runtime.trees import origin
from controller.runtime.trees.source import Bound, Made, TreeSource

_MOST_SHOWN = 3
_LONGEST_INPUT = 200
_LONGEST = 1000
"""Characters of a message: part of it may come from the tree."""

_FIX = "pack it once (rnx runtime pack) and declare the archive"
_NOTHING = Locked({})


@dataclass(frozen=True, slots=True)
class BoundBySource:
    """Implements `source.BoundLook`; `root` is where the runtimes are that others are made of."""

    root: Path

    def __call__(self, source: TreeSource, made: Made) -> Bound:
        """Return whether what `source` `made` is bound to one content, and why not."""
        bound = self._look(source, made)
        return replace(bound, message=shortened(bound.message, _LONGEST))

    def _look(self, source: TreeSource, made: Made) -> Bound:
        lock = locked.read(made.payload)
        if lock is not None and lock.wrong:
            return Bound(RuntimeReason.LOCK_DISAGREES, lock.wrong)
        bound = self._of_inputs(source, made, lock or _NOTHING)
        if lock is not None and lock.unsure and bound.reason == RuntimeReason.PINNED:
            return Bound(RuntimeReason.INPUTS_UNKNOWN, lock.unsure)
        return bound

    def _of_inputs(self, source: TreeSource, made: Made, lock: Locked) -> Bound:
        match source:
            case Composition():
                return self._of_parents(source.layers, source.extends.runtimes) or _pinned("the runtimes it is made of")
            case DeclaredBuild():
                return self._of_build(source, made, lock)
            case RecipeSource():
                return _scripted()
        if made.scripted or not made.sha256:
            return _scripted()
        return _pinned(f"its archive, sha256:{made.sha256}")

    def _of_build(self, source: DeclaredBuild, made: Made, lock: Locked) -> Bound:
        base = (source.base,) if source.base is not None else ()
        inherited = [locked.read(layer.path) for layer in base]
        loose = pins.unpinned(source.build, lock, (inherited[0] if inherited else None) or _NOTHING)
        if loose := (*loose, *made.loose):
            return _loose(loose)
        if bad := self._of_parents(base, (source.build.base.from_,)):
            return bad
        if source.build.run:
            return Bound(RuntimeReason.INPUTS_UNKNOWN, f"nobody knows what its commands (run) fetch: {_FIX}")
        if made.scripts:
            scripts = f"the install scripts of {_some(made.scripts)} fetch"
            return Bound(RuntimeReason.INPUTS_UNKNOWN, f"nobody knows what {scripts}: {_FIX}")
        return _pinned("each of its inputs")

    def _of_parents(self, layers: Sequence[Layer], asked: Sequence[str]) -> Bound | None:
        """Return why the runtimes that one is made of do not bind it; None if they do."""
        if loose := [f"the version of {text}" for text in asked if layers and not pins.is_exact(text)]:
            return _loose(loose)
        found = [(layer.spec, self._of_parent(layer)) for layer in layers]
        for reason in (RuntimeReason.LOCK_DISAGREES, RuntimeReason.INPUTS_UNPINNED, RuntimeReason.INPUTS_UNKNOWN):
            for spec, bound in found:
                if bound.reason == reason:
                    is_loose = reason is not RuntimeReason.INPUTS_UNKNOWN
                    said = RuntimeReason.INPUTS_UNPINNED if is_loose else reason
                    return Bound(said, f"it is made of {spec}: {bound.message}")
        return None

    def _of_parent(self, layer: Layer) -> Bound:
        name, _, version = layer.spec.rpartition("@")
        record = origin.read(self.root, name, version)
        if record is None:
            return Bound(RuntimeReason.INPUTS_UNKNOWN, "runwright did not install that")
        if not record.bound:
            return Bound(RuntimeReason.INPUTS_UNKNOWN, "nobody looked what that was made from: install it again")
        return Bound(record.bound, record.bound_message)


def _loose(what: Sequence[str]) -> Bound:
    return Bound(RuntimeReason.INPUTS_UNPINNED, f"not pinned: {_some(what)}: pin them, or {_FIX}")


def _some(what: Sequence[str]) -> str:
    more = f" and {len(what) - _MOST_SHOWN} more" if len(what) > _MOST_SHOWN else ""
    return ", ".join(shortened(each, _LONGEST_INPUT) for each in what[:_MOST_SHOWN]) + more


def _scripted() -> Bound:
    return Bound(RuntimeReason.INPUTS_UNKNOWN, f"a script made it, and nobody knows what that fetches: {_FIX}")


def _pinned(by: str) -> Bound:
    return Bound(RuntimeReason.PINNED, f"bound to one content by {by}")
