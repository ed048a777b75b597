"""What there is of a runtime: its trees on this host, what its entries mean, who uses what. Plain data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType

from api.runtime_requests import Request
from controller.runtime.trees import origin as origins
from controller.runtime.trees.origin import Origin
from controller.runtime.trees.remembered import Remembered
from controller.runtime.trees.source import TreeSource


@dataclass(frozen=True, slots=True)
class Tree:
    """A version on this host. `origin` is None for one that we did not install, and so never change or remove.

    `before` is what this version held when it was made before, if it was.
    """

    version: str
    path: str
    origin: Origin | None
    problem: str = ""
    last_used: datetime | None = None
    shared_bytes: int | None = None
    before: Remembered | None = None

    @property
    def unhealthy(self) -> bool:
        """Whether it was looked at and does not work."""
        return self.origin is not None and self.origin.health == origins.UNHEALTHY

    @property
    def degraded(self) -> bool:
        """Whether it was looked at and works, but parts of it lack libraries."""
        return self.origin is not None and self.origin.health == origins.DEGRADED

    @property
    def drift(self) -> str:
        """What differs in it from what was installed; empty if nothing is known to."""
        return self.origin.drift if self.origin is not None else ""

    @property
    def former(self) -> Remembered | None:
        """What it held before, if that is another content than it has now, and nobody accepted this one."""
        differs = self.origin is not None and self.before is not None and self.before.differs(self.origin)
        return self.before if differs else None


@dataclass(frozen=True, slots=True)
class Wanted:
    """One entry of spec.versions and what it is to mean.

    `version` is the exact version, if it is known. `source` is how to get it, where it may be tried now; where it is
    there already, `outdated` says that it was made from something else and is to be made again.
    `problem` says why it cannot be had, or for an installed one, why nobody knows of a later one; `retry_seconds`
    when that is worth another try, None for not before something changes. `parent` is a runtime that it is made of
    and that has to be asked for, by name and version.
    """

    asked: str
    version: str | None
    source: TreeSource | None = None
    reason: str = ""
    problem: str = ""
    retry_seconds: float | None = None
    outdated: bool = False
    parent: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Inspected:
    """What became of a request to verify or to test: its value, and how to tell it."""

    value: str
    message: str


@dataclass(frozen=True, slots=True)
class ObservedRuntime:
    """All that a plan for a runtime is decided from, beside the object itself. `in_use` names users by version.

    `healing` is how to get drifted versions again. `pressed` are versions that have to go because the disk is full,
    `retired` how many trees lie aside that no run uses any more, `retired_in_use` those that one may. `due` are
    versions to verify, `untested` those to test, with nobody asking. `going` is what is being looked at just now,
    `unseen` why versions cannot be looked at. `known` are the versions that a registry offers, where a rollback was
    asked for and they can be read. `asked_in_vain` are entries that were asked for in passing by who wants them
    no longer: those that are not there are taken back, others kept while the disk has room.
    """

    trees: tuple[Tree, ...]
    wanted: tuple[Wanted, ...]
    in_use: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    enabled: bool = True
    now: datetime | None = None
    healing: tuple[TreeSource, ...] = ()
    pressed: frozenset[str] = frozenset()
    retired: int = 0
    retired_in_use: int = 0
    due: tuple[str, ...] = ()
    untested: tuple[str, ...] = ()
    going: tuple[str, ...] = ()
    inspected: Mapping[Request, Inspected] = field(default_factory=lambda: MappingProxyType({}))
    unseen: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    known: frozenset[str] | None = None
    asked_in_vain: tuple[str, ...] = ()

    def tree(self, version: str | None) -> Tree | None:
        """Return the usable tree of `version`."""
        return next((tree for tree in self.trees if tree.version == version and not tree.problem), None)

    def usable(self) -> tuple[str, ...]:
        """Return the versions that jobs may get for a name or a range."""
        there = [tree for tree in self.trees if not tree.problem]
        barred = origins.not_to_be_chosen({t.version: t.origin.health for t in there if t.origin is not None})
        return tuple(tree.version for tree in there if tree.version not in barred)

    def lacking(self) -> tuple[Wanted, ...]:
        """Return what is wanted and not there; not what nobody wants any more who asked for it in passing."""
        missing = (wanted for wanted in self.wanted if self.tree(wanted.version) is None)
        return tuple(wanted for wanted in missing if wanted.asked not in self.asked_in_vain)

    def in_vain(self) -> tuple[str, ...]:
        """Return what is not there, and wanted no longer by who asked for it in passing."""
        missing = (wanted for wanted in self.wanted if self.tree(wanted.version) is None)
        return tuple(wanted.asked for wanted in missing if wanted.asked in self.asked_in_vain)

    def outdated(self) -> tuple[Wanted, ...]:
        """Return what is there, and made from something else than what is wanted now."""
        return tuple(w for w in self.wanted if w.outdated and self.tree(w.version) is not None)

    def conflict(self) -> str:
        """Say which usable trees claim to be one and the same wanted version; empty if none do."""
        for version in dict.fromkeys(wanted.version for wanted in self.wanted):
            paths = [tree.path for tree in self.trees if tree.version == version and not tree.problem]
            if len(paths) > 1:
                return f"{' and '.join(paths)} both claim to be {version}: remove one"
        return ""
