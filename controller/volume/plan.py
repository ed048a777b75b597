"""What a volume needs next. Pure: no I/O, no clock.

Any step may be the last before a crash, so no plan assumes that an earlier one finished.
Invariants: what was made once is never made again in its place, empty; nothing is removed that a run has.
"""

from api.types.volume import Volume, VolumeReason, VolumeType
from controller.engine.plan import Plan
from controller.volume.modes import User
from controller.volume.observed import Detach, Grow, Make, ObservedVolume, Remove, Retain, Trim

_LOOK_AGAIN_SECONDS = 60.0
_PROBLEM_CHECK_SECONDS = 30.0
_USE_CHECK_SECONDS = 30.0  # The end of a run wakes it sooner.


def plan(volume: Volume, observed: ObservedVolume) -> Plan:
    """Return the steps from `observed` to `volume.spec`, or to nothing if it is being deleted."""
    if volume.meta.is_deleting:
        return _plan_end(volume, observed)
    if observed.problem is not None:
        return Plan.wait(observed.problem.reason, observed.problem.message, _PROBLEM_CHECK_SECONDS)
    if volume.spec.type is VolumeType.HOST_PATH:
        return Plan.nothing(_LOOK_AGAIN_SECONDS)
    if observed.found is None:
        if is_lost(volume, observed):
            return Plan.wait(VolumeReason.LOST, "its image is gone from this host: put it back, or delete the volume")
        return Plan.do(Make(observed.wanted_bytes), again=True)
    return _plan_made(volume, observed)


def is_lost(volume: Volume, observed: ObservedVolume) -> bool:
    """Say whether it was made, and is not there any more, and was not meant to go."""
    return volume.status.made and observed.found is None and volume.spec.type is VolumeType.FILESYSTEM


def _plan_made(volume: Volume, observed: ObservedVolume) -> Plan:
    found, wanted = observed.found, observed.wanted_bytes
    assert found is not None
    is_image = volume.spec.type is VolumeType.FILESYSTEM
    if found.is_being_copied:  # The end of that wakes it.
        return Plan.nothing(_LOOK_AGAIN_SECONDS)
    if found.damage:
        if found.is_mounted and not observed.users:
            return Plan.do(Detach(), again=True)
        return Plan.wait(VolumeReason.DAMAGED, found.damage, _PROBLEM_CHECK_SECONDS)
    if found.capacity_bytes < wanted or (found.capacity_bytes != wanted and not is_image):
        return Plan.do(Grow(wanted), again=True)
    if is_image and found.is_mounted and not observed.users:
        return Plan.do(Detach(), check_again_seconds=_LOOK_AGAIN_SECONDS)
    if volume.spec.type is VolumeType.CACHE and (found.used_bytes or 0) > found.capacity_bytes:
        return Plan.do(Trim(), check_again_seconds=_LOOK_AGAIN_SECONDS)
    return Plan.nothing(_LOOK_AGAIN_SECONDS if observed.users else found.used_anew_in_seconds)


def _plan_end(volume: Volume, observed: ObservedVolume) -> Plan:
    if observed.users:
        message = f"it goes when no run has it any more: {named(observed.users)}"
        return Plan.wait(VolumeReason.TERMINATING, message, _USE_CHECK_SECONDS)
    if observed.copied_by and observed.found is not None:
        message = f"it goes when what was asked for is made of it: {few(observed.copied_by)}"
        return Plan.wait(VolumeReason.TERMINATING, message, _USE_CHECK_SECONDS)
    if volume.spec.type is VolumeType.HOST_PATH or observed.is_gone:
        return Plan.nothing()
    is_kept = volume.spec.reclaim_policy == "Retain" and volume.spec.type is VolumeType.FILESYSTEM
    return Plan.do(Retain() if is_kept and observed.found is not None else Remove())


def named(users: tuple[User, ...]) -> str:
    """Return the runs that have a volume, for people: not all of very many."""
    return few(tuple(map(str, users)))


def few(names: tuple[str, ...]) -> str:
    """Return names for people: not all of very many.

    >>> few(("a", "b", "c", "d", "e"))
    'a, b, c and 2 more'
    """
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"
