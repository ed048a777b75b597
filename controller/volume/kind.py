"""The Volume kind, put together for the engine: looks at what there is, does the steps of plans.

Who has a volume is not known here: `Users` tells, of runs that are on record and of those that are about to be.
"""

import errno
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from api import quantity
from api.kinds import VOLUME, Kind
from api.types.volume import Volume, VolumeReason, VolumeStatus, VolumeType
from controller.engine.clock import Clock
from controller.engine.errors import Postponed, TerminalError, TransientError
from controller.engine.plan import Plan
from controller.volume import host_paths, image, report
from controller.volume import plan as planning
from controller.volume.backing import Backing
from controller.volume.found import BeingCopied, CannotGrowInUse, Damaged, Found
from controller.volume.image import NoRoom
from controller.volume.modes import User
from controller.volume.observed import Detach, Grow, Make, ObservedVolume, Problem, Remove, Retain, Trim
from controller.volume.sources import Sources

_GROW_CHECK_SECONDS = 30.0  # The end of the run that has it wakes it sooner.
_COPY_CHECK_SECONDS = 5.0  # As does the end of the copy.


class Users(Protocol):
    """Tells which runs have a volume, from before they are on record until nothing of them is left."""

    def users(self, volume_uid: str) -> tuple[User, ...]:
        """Return the runs that have the volume, or are about to."""
        ...


@dataclass(frozen=True, slots=True)
class VolumePolicy:
    """What volumes may be on this host, and what they are that do not say."""

    default_bytes: int
    most_bytes: int
    cache_bytes: int
    host_paths: Mapping[str, tuple[str, ...]]  # By namespace.


class VolumeKind:
    """What the engine needs to reconcile volumes."""

    kind: Kind = VOLUME

    def __init__(
        self,
        clock: Clock,
        backing: Backing,
        users: Users,
        policy: VolumePolicy,
        sources: Sources,
    ) -> None:
        """Keep volumes in `backing`; `sources` knows what they are made from."""
        self._clock = clock
        self._backing = backing
        self._users = users
        self._policy = policy
        self._sources = sources

    def observe(self, obj: Volume) -> ObservedVolume:
        """Return what there is of the volume."""
        uid, spec = obj.meta.uid, obj.spec
        users = self._users.users(uid)
        if spec.type is VolumeType.HOST_PATH:
            return ObservedVolume(
                0, None, users, None if obj.meta.is_deleting else self._path_problem(obj), is_gone=True
            )
        found = self._backing.find(uid, spec.type)
        wanted = self._wanted_bytes(obj, found)
        too_large = ""
        if found is not None and wanted > max(found.capacity_bytes, self._policy.most_bytes):
            too_large = report.resizing(found.capacity_bytes, wanted, self._forbidden())
            wanted = found.capacity_bytes
        problem = None if obj.meta.is_deleting else self._problem(obj, wanted, is_made=found is not None)
        copied_by = self._sources.copied_by(obj.key, obj.meta.deletion_timestamp) if obj.meta.is_deleting else ()
        return ObservedVolume(wanted, found, users, problem, self._backing.is_gone(uid), copied_by, too_large)

    def plan(self, obj: Volume, observed: ObservedVolume) -> Plan:
        """Return what the volume needs next."""
        return planning.plan(obj, observed)

    def act(self, obj: Volume, step: Any) -> None:
        """Carry out one step.

        Raises:
            TransientError: it did not work now.
        """
        try:
            self._act(obj, step)
        except BeingCopied as error:
            why = f"{obj.key}: {error.strerror}"
            raise Postponed(VolumeReason.BEING_COPIED, why, _COPY_CHECK_SECONDS) from error
        except Damaged as error:
            raise TransientError(VolumeReason.DAMAGED, error.why) from error
        except OSError as error:
            raise TransientError("HostError", f"cannot keep {obj.key} as wanted: {error}") from error

    def report(self, obj: Volume, observed: ObservedVolume, plan: Plan) -> VolumeStatus:
        """Return the volume's status as observed."""
        return report.report(obj, observed, plan, self._clock.now())

    def report_failure(self, obj: Volume, error: TransientError | TerminalError) -> VolumeStatus:
        """Return the status of a volume that a pass failed for."""
        return report.report_failure(obj, error, self._clock.now())

    def is_gone(self, observed: ObservedVolume) -> bool:
        """Whether no run has it and nothing of it is left to be used: asked of one that is being deleted."""
        return observed.is_gone and not observed.users

    def _act(self, obj: Volume, step: Any) -> None:
        uid, type_ = obj.meta.uid, obj.spec.type
        match step:
            case Make(size_bytes):
                copier = self._sources.copier(obj)
                self._backing.make(uid, type_, size_bytes, copier)
                found = self._backing.find(uid, type_) if copier else None
                if found is not None and found.capacity_bytes < size_bytes:
                    self._grow(obj, size_bytes)  # Before anybody is told that it is there: it is as was asked.
            case Grow(size_bytes):
                self._grow(obj, size_bytes)
            case Detach():
                self._backing.detach(uid, lambda: not self._users.users(uid))
            case Trim():
                self._backing.trim(uid)
            case Remove():
                self._backing.remove(uid)
            case Retain():
                self._backing.retain(uid, obj.meta.namespace, obj.meta.name)
            case _:
                raise AssertionError(f"no such step: {step!r}")

    def _grow(self, obj: Volume, size_bytes: int) -> None:
        """Have it hold so much. What cannot be now leaves it as it was. Raises TransientError, and OSError."""
        uid, type_ = obj.meta.uid, obj.spec.type

        def told(why: str) -> tuple[str, str]:
            found = self._backing.find(uid, type_)
            return VolumeReason.RESIZING, report.resizing(found.capacity_bytes if found else 0, size_bytes, why)

        try:
            self._backing.grow(uid, type_, size_bytes, lambda: not self._users.users(uid))
        except CannotGrowInUse:
            why = report.until_unused(planning.named(self._users.users(uid)))
            raise Postponed(*told(why), _GROW_CHECK_SECONDS) from None
        except (BeingCopied, Damaged):
            raise
        except OSError as error:
            if isinstance(error, NoRoom) or error.errno == errno.ENOSPC:
                raise Postponed(*told(f"that is done when there is room: {error}"), _GROW_CHECK_SECONDS) from error
            raise TransientError(*told(f"cannot grow it: {error}")) from error

    def _wanted_bytes(self, obj: Volume, found: Found | None) -> int:
        if obj.spec.size_bytes is not None:
            return image.blocks_of(obj.spec.size_bytes) * image.BLOCK_BYTES
        if found is not None:
            return found.capacity_bytes
        if obj.status.capacity_bytes is not None:
            return obj.status.capacity_bytes
        if (held := self._sources.size_bytes(obj)) is not None:
            return held
        return self._policy.cache_bytes if obj.spec.type is VolumeType.CACHE else self._policy.default_bytes

    def _problem(self, obj: Volume, wanted: int, *, is_made: bool) -> Problem | None:
        if is_made:
            return None
        if wanted > self._policy.most_bytes:
            why = f"it is to hold {obj.spec.size}, and {self._forbidden()}"
            return Problem(VolumeReason.SIZE_FORBIDDEN, why)
        return None if obj.status.made else self._sources.problem(obj)

    def _forbidden(self) -> str:
        most = quantity.from_bytes(self._policy.most_bytes)
        return f"the setting volumes.most_size lets it hold {most}: ask for less"

    def _path_problem(self, obj: Volume) -> Problem | None:
        path = obj.spec.path or ""
        within = host_paths.allowed(self._policy.host_paths, obj.meta.namespace, path)
        if not within:
            fix = f"add it to policy.host_paths.{obj.meta.namespace}, or use another type of volume"
            why = f"the setting policy.host_paths gives the namespace {obj.meta.namespace} no {path}: {fix}"
            return Problem(VolumeReason.PATH_FORBIDDEN, why)
        try:
            host_paths.look(within, path)
        except OSError as error:
            return Problem(VolumeReason.PATH_UNUSABLE, host_paths.told(path, error))
        return None
