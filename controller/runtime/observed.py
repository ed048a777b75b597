"""What there is of a runtime: its trees on this host, what registries offer, who uses what. Plain data."""

from dataclasses import dataclass

from controller.runtime.install import Package
from controller.runtime.origin import Origin


@dataclass(frozen=True, slots=True)
class Tree:
    """A version on this host. `origin` is None for one that we did not install, and so never remove."""

    version: str
    path: str
    origin: Origin | None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One entry of spec.versions and what it means: an exact version, how to get it, or why it has no meaning now."""

    asked: str
    version: str | None
    package: Package | None = None
    reason: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class ObservedRuntime:
    """All that a plan for a runtime is decided from, beside the object itself."""

    trees: tuple[Tree, ...]
    wanted: tuple[Wanted, ...]
    in_use: frozenset[str] = frozenset()
    enabled: bool = True

    def tree(self, version: str | None) -> Tree | None:
        """Return the usable tree of `version`."""
        return next((tree for tree in self.trees if tree.version == version and not tree.problem), None)
