"""What a runtime needs next: versions to install, versions to remove. Pure: no I/O, no clock.

Nothing is removed that a run uses, that we did not install, or while something that is wanted is not
there: a registry that cannot be read, and a version that cannot be had, take nothing away.
"""

from dataclasses import dataclass

from api.types.runtime import Runtime, RuntimeReason
from controller.engine.plan import Plan, Waiting
from controller.runtime.install import Package
from controller.runtime.observed import ObservedRuntime, Tree

CHECK_SECONDS = 60.0
"""How often the trees are looked at though nothing is said to have changed: one may have been broken by hand."""

IN_USE_CHECK_SECONDS = 5.0


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
        return _plan_removal(runtime, observed, None)
    if not observed.enabled:
        return Plan.wait(RuntimeReason.RUNTIMES_DISABLED, "runtime.enabled is false in the settings")
    if conflict := observed.conflict():
        return Plan.wait(RuntimeReason.CONFLICT, conflict, CHECK_SECONDS)
    lacking = observed.lacking()
    if not lacking:
        return _plan_removal(runtime, observed, _recheck_seconds(observed))
    # A broken tree that runs still use is replaced once they have ended; versions asked for twice come once.
    packages = {w.version: w.package for w in lacking if w.package and w.version not in observed.in_use}
    if packages:
        return Plan.do(InstallVersions(tuple(package for package in packages.values() if package)), again=True)
    if used := [w.version for w in lacking if w.package and w.version]:
        return Plan((), _waiting_for_users(used, observed), IN_USE_CHECK_SECONDS)
    return Plan.wait(lacking[0].reason, lacking[0].problem, _recheck_seconds(observed))


def unwanted(runtime: Runtime, observed: ObservedRuntime) -> tuple[Tree, ...]:
    """Return the trees of ours that are to go."""
    if not runtime.meta.is_deleting and (observed.lacking() or not observed.enabled or observed.conflict()):
        return ()
    keep = {wanted.version for wanted in observed.wanted}
    return tuple(tree for tree in observed.trees if tree.version not in keep and tree.origin is not None)


def _plan_removal(runtime: Runtime, observed: ObservedRuntime, check_seconds: float | None) -> Plan:
    going = unwanted(runtime, observed)
    removable = tuple(RemoveVersion(tree.version) for tree in going if tree.version not in observed.in_use)
    used = [tree.version for tree in going if tree.version in observed.in_use]
    if not used:
        return Plan.do(*removable, check_again_seconds=check_seconds)
    return Plan(removable, _waiting_for_users(used, observed), IN_USE_CHECK_SECONDS)


def _waiting_for_users(versions: list[str], observed: ObservedRuntime) -> Waiting:
    users = sorted({user for version in versions for user in observed.in_use[version]})
    more = f" and {len(users) - 3} more" if len(users) > 3 else ""
    return Waiting(RuntimeReason.IN_USE, f"{', '.join(versions)} in use by {', '.join(users[:3])}{more}")


def _recheck_seconds(observed: ObservedRuntime) -> float:
    return min([CHECK_SECONDS, *(w.retry_seconds for w in observed.wanted if w.retry_seconds is not None)])
