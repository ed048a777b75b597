"""Conditions of what versions hold: Verified, Reproducible and DigestMismatch. Pure.

Verified: the trees hold what was installed. Reproducible: what was installed is bound to one content.
DigestMismatch: a version holds another content than the same declaration made before.
Invariant: a condition of which nothing is known is left out, never True.
"""

from collections.abc import Collection

from api.conditions import Condition, ConditionStatus
from api.types.runtime import RuntimeReason
from controller.runtime.observed import ObservedRuntime, Tree
from controller.runtime.trees.remembered import Remembered

MOST_PROBLEMS = 5

_REPRODUCIBLE = {
    RuntimeReason.LOCK_DISAGREES: ConditionStatus.FALSE,
    RuntimeReason.INPUTS_UNPINNED: ConditionStatus.FALSE,
    RuntimeReason.INPUTS_UNKNOWN: ConditionStatus.UNKNOWN,
    RuntimeReason.NOT_CHECKED: ConditionStatus.UNKNOWN,
    RuntimeReason.PINNED: ConditionStatus.TRUE,
}
"""What each says, the worst first."""


def conditions(observed: ObservedRuntime, wanted: Collection[str]) -> list[Condition]:
    """Return the conditions of what the trees hold; Reproducible is said of the versions that are `wanted`."""
    return [*_verified(observed), *_reproducible(observed, wanted), *_digest_mismatch(observed)]


def reproducible(bound: str) -> ConditionStatus:
    """Return what a record's `bound` says."""
    return next((status for reason, status in _REPRODUCIBLE.items() if reason == bound), ConditionStatus.UNKNOWN)


def say(status: ConditionStatus, reason: str, message: str, kind: str = "Ready") -> Condition:
    """Return a condition."""
    return Condition(type=kind, status=status, reason=reason, message=message)


def _verified(observed: ObservedRuntime) -> list[Condition]:
    """Return the condition Verified, of the versions whose content was compared; nothing if none was."""
    looked = [t for t in observed.trees if t.origin and t.origin.verified_at]
    drifted = [f"{t.version}: {t.drift}" for t in looked if t.drift]
    if drifted:
        return [say(ConditionStatus.FALSE, RuntimeReason.DRIFTED, _joined(drifted), "Verified")]
    if unseen := [f"{version}: {why}" for version, why in observed.unseen.items() if observed.tree(version)]:
        return [say(ConditionStatus.UNKNOWN, RuntimeReason.NOT_CHECKED, _joined(unseen), "Verified")]
    names = ", ".join(t.version for t in looked)
    message = f"{names} is what was installed"
    return [say(ConditionStatus.TRUE, RuntimeReason.VERIFIED, message, "Verified")] if looked else []


def _reproducible(observed: ObservedRuntime, wanted: Collection[str]) -> list[Condition]:
    """Return the condition Reproducible, of the versions that are wanted and there: the worst that is so of one."""
    found = [(tree.version, *_bound(tree)) for tree in observed.trees if tree.version in wanted and not tree.problem]
    for reason, status in _REPRODUCIBLE.items():
        if told := [f"{version}: {message}" for version, why, message in found if why == reason]:
            return [say(status, reason, _joined(told), "Reproducible")]
    return []


def _bound(tree: Tree) -> tuple[str, str]:
    if tree.origin is None:
        return RuntimeReason.INPUTS_UNKNOWN, "it was not installed by runwright"
    if tree.origin.bound not in set(_REPRODUCIBLE):
        return RuntimeReason.NOT_CHECKED, "what it was made from is looked at when it is installed again"
    return tree.origin.bound, tree.origin.bound_message


def _digest_mismatch(observed: ObservedRuntime) -> list[Condition]:
    """Return the condition DigestMismatch, of all versions that have a digest."""
    known = [tree for tree in observed.trees if tree.origin is not None and tree.origin.digest]
    if told := [_changed(tree, former) for tree in known if (former := tree.former) is not None]:
        accept = f"{_joined(told)}: see what differs, then take it as it is with rnx runtime accept"
        return [say(ConditionStatus.TRUE, RuntimeReason.CONTENT_CHANGED, accept, "DigestMismatch")]
    if not known:
        return []
    message = f"{', '.join(tree.version for tree in known)} holds what it held before"
    return [say(ConditionStatus.FALSE, RuntimeReason.SAME_CONTENT, message, "DigestMismatch")]


def _changed(tree: Tree, former: Remembered) -> str:
    assert tree.origin is not None
    now, then = tree.origin, former
    return (
        f"{tree.version} has the digest sha256:{now.digest} since {now.installed_at}, "
        f"it had sha256:{then.digest} since {then.since}"
    )


def _joined(told: list[str]) -> str:
    return "; ".join(told[:MOST_PROBLEMS])
