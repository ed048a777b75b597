"""What there is of a runtime: its trees on this host, what registries offer, who uses what. Plain data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from controller.runtime.install import Package
from controller.runtime.origin import Origin


@dataclass(frozen=True, slots=True)
class Tree:
    """A version on this host. `origin` is None for one that we did not install, and so never change or remove."""

    version: str
    path: str
    origin: Origin | None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One entry of spec.versions and what it means now.

    `version` is the exact version, if it is known. `package` is how to get it, where it may be tried now.
    `problem` says why it cannot be had, or for an installed latest, why nobody knows of a later one;
    `retry_seconds` when that is worth another try, None for not before something changes.
    """

    asked: str
    version: str | None
    package: Package | None = None
    reason: str = ""
    problem: str = ""
    retry_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class ObservedRuntime:
    """All that a plan for a runtime is decided from, beside the object itself. `in_use` names users by version."""

    trees: tuple[Tree, ...]
    wanted: tuple[Wanted, ...]
    in_use: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    enabled: bool = True

    def tree(self, version: str | None) -> Tree | None:
        """Return the usable tree of `version`."""
        return next((tree for tree in self.trees if tree.version == version and not tree.problem), None)

    def lacking(self) -> tuple[Wanted, ...]:
        """Return what is wanted and not there."""
        return tuple(wanted for wanted in self.wanted if self.tree(wanted.version) is None)

    def conflict(self) -> str:
        """Say which usable trees claim to be one and the same wanted version; empty if none do."""
        for version in dict.fromkeys(wanted.version for wanted in self.wanted):
            paths = [tree.path for tree in self.trees if tree.version == version and not tree.problem]
            if len(paths) > 1:
                return f"{' and '.join(paths)} both claim to be {version}: remove one"
        return ""
