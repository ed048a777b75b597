"""What a runtime needs next: versions to install, versions to remove. Pure: no I/O, no clock.

Nothing is removed that a run uses, that we did not install, or while it is unknown what is wanted:
a registry that cannot be read takes nothing away.
"""

from dataclasses import dataclass

from api.types.runtime import Runtime, RuntimeReason
from controller.engine.plan import Plan
from controller.runtime.install import Package
from controller.runtime.observed import ObservedRuntime, Tree

IN_USE_CHECK_SECONDS = 5.0
RETRY_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class InstallVersions:
    """Install these packages; one that fails keeps no other from being installed."""

    packages: tuple[Package, ...]


@dataclass(frozen=True, slots=True)
class RemoveVersion:
    """Remove the tree of a version that we installed."""

    version: str


def plan(runtime: Runtime, observed: ObservedRuntime) -> Plan:
    """Return the steps from `observed` to `runtime.spec`, or to nothing if it is being deleted."""
    if runtime.meta.is_deleting:
        return _plan_removal(observed, keep=frozenset())
    if not observed.enabled:
        return Plan.wait(RuntimeReason.RUNTIMES_DISABLED, "runtime.enabled is false in the settings")
    packages = tuple(
        wanted.package for wanted in observed.wanted if wanted.package and observed.tree(wanted.version) is None
    )
    if packages:
        return Plan.do(InstallVersions(packages), again=True)
    if unknown := [
        wanted for wanted in observed.wanted if wanted.version is None or observed.tree(wanted.version) is None
    ]:
        return Plan.wait(unknown[0].reason, unknown[0].problem, RETRY_SECONDS)
    return _plan_removal(observed, keep=frozenset(wanted.version or "" for wanted in observed.wanted))


def _plan_removal(observed: ObservedRuntime, keep: frozenset[str]) -> Plan:
    unwanted = [tree for tree in observed.trees if tree.version not in keep and tree.origin is not None]
    removable = tuple(RemoveVersion(tree.version) for tree in unwanted if not _in_use(tree, observed))
    used = [tree.version for tree in unwanted if _in_use(tree, observed)]
    if not used:
        return Plan.do(*removable)
    waiting = Plan.wait(RuntimeReason.IN_USE, f"{', '.join(used)} in use by running jobs").waiting
    return Plan(removable, waiting, IN_USE_CHECK_SECONDS)


def _in_use(tree: Tree, observed: ObservedRuntime) -> bool:
    return tree.version in observed.in_use
