"""Between two kinds that do not know each other: what volumes mean to jobs, and which runs have a volume.

A run's volumes are in its record, `status.runs[].volumes`, which is stored before the run is started, and it has them
until nothing of it is left on the host (`controller.job.held`).
Invariants: access modes are kept, whoever crashes or comes in between; what is being deleted is given to nobody.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from api.conditions import ConditionStatus, find
from api.errors import AlreadyExists
from api.kinds import VOLUME
from api.meta import API_VERSION, Document, ObjectKey
from api.objects.verbs import Verbs, WriteOptions
from api.ports import Storage
from api.types.job import Job, Reason, RunVolume
from api.types.job_spec import VolumeMount
from api.types.volume import Volume, VolumeType
from controller.engine.errors import TransientError
from controller.job.held import Held, Holding
from controller.job.run_dirs import RunDirs
from controller.job.volumes import VolumesMissing, VolumesReady
from controller.sandbox.spec import VolumeBind
from controller.volume import host_paths, modes
from controller.volume.backing import Backing
from controller.volume.found import Damaged
from controller.volume.modes import User

REQUEST_MANAGER = "runwright-jobs"
_WORDS = ('"volumes":[{',)
_Held: TypeAlias = Sequence[Holding[tuple[RunVolume, ...]]]


@dataclass(frozen=True, slots=True)
class AutoCreate:
    """Whether a volume that nobody declared is made for a job, and how many a namespace may have for that."""

    enabled: bool
    most: int


class VolumesForJobs:
    """Implements `controller.job.volumes.Volumes`, and `controller.volume.kind.Users`."""

    def __init__(
        self,
        storage: Storage,
        verbs: Verbs,
        dirs: RunDirs,
        backing: Backing,
        allowed_paths: Mapping[str, tuple[str, ...]],
        auto_create: AutoCreate,
        wake: Callable[[ObjectKey], None],
    ) -> None:
        """Runs are on record in `storage`, and on the host in `dirs`; volumes are in `backing`.

        `wake` is called for jobs that wait and for volumes that nobody has any more.
        """
        self._storage = storage
        self._verbs = verbs
        self._backing = backing
        self._allowed_paths = allowed_paths
        self._auto_create = auto_create
        self._wake = wake
        self._held = Held(storage, dirs, _WORDS, _volumes_of, self._concerned, wake, outlives_job=True)
        self._waiting: dict[ObjectKey, frozenset[str]] = {}  # Uids of the volumes they want; in the order they came.

    def find(self, job: Job) -> VolumesReady | VolumesMissing:
        """Return the volumes that a next run of `job` would have now, or why it cannot; then it waits for them."""
        if not job.spec.volume_mounts:
            return VolumesReady()
        with self._held.alone():
            found = self._find(job)
            if isinstance(found, VolumesReady):
                self._waiting.pop(job.key, None)
            return found

    def claim(self, job: Job, attempt: int, volumes: Sequence[RunVolume]) -> None:
        """Hold these for run `attempt`, until it is on record that it has them. Raises TransientError."""
        if not volumes:
            return
        with self._held.alone():
            found = self._find(job)
            if isinstance(found, VolumesMissing):
                raise TransientError(found.reason, found.message)
            if found.volumes != tuple(volumes):
                raise TransientError(Reason.VOLUME_NOT_READY, f"a volume of {job.key} has just been made anew")
            self._held.hold(job, attempt, found.volumes)

    def mounted(self, job: Job, volumes: Sequence[RunVolume]) -> tuple[VolumeBind, ...]:
        """Have them mounted, and return what a run of `job` sees of them. Raises TransientError."""
        binds = []
        by_name = {volume.name: volume for volume in volumes}
        for mount in job.spec.volume_mounts:
            volume, given = self._volume(job, mount.name), by_name.get(mount.name)
            if volume is None or given is None or volume.meta.uid != given.uid:
                raise TransientError(Reason.FAILED_MOUNT, f"cannot mount volume {mount.name}: it is gone: declare it")
            try:
                self._backing_of(volume)
                binds.append(self._bind(volume, mount))
            except OSError as error:
                self._wake(ObjectKey(VOLUME.name, job.meta.namespace, mount.name))  # Which says why it is not ready.
                told = error.why if isinstance(error, Damaged) else error
                why = f"cannot mount volume {mount.name}: {told}: see rnx describe volume {mount.name}"
                raise TransientError(Reason.FAILED_MOUNT, why) from error
        for given_one in volumes:  # Who asks it is told at once who has it.
            self._wake(ObjectKey(VOLUME.name, job.meta.namespace, given_one.name))
        return tuple(binds)

    def shown(self, job: Job) -> tuple[VolumeBind, ...]:
        """Return what a run of `job` would see of its volumes, as far as there are any, without mounting anything."""
        binds = []
        for mount in job.spec.volume_mounts:
            volume = self._volume(job, mount.name)
            try:
                binds += [self._bind(volume, mount)] if volume is not None else []
            except OSError:
                continue  # Why, the volume tells.
        return tuple(binds)

    def free(self, job: Job, attempt: int) -> None:
        """Know that nothing of run `attempt` is left on the host: others may have its volumes, and are woken."""
        with self._held.alone():
            self._held.let_go(job.meta.uid, attempt)

    def users(self, volume_uid: str) -> tuple[User, ...]:
        """Return the runs that have the volume, or are about to."""
        with self._held.alone():
            return _users(volume_uid, self._held.all())

    def request(self, job: Job, name: str) -> None:
        """Declare a volume that the job names and nobody has."""
        metadata = {"name": name, "namespace": job.meta.namespace}
        document = {
            "apiVersion": API_VERSION,
            "kind": VOLUME.name,
            "metadata": metadata,
            "spec": {"type": VolumeType.FILESYSTEM},
        }
        try:
            self._verbs.create(VOLUME, job.meta.namespace, document, WriteOptions(field_manager=REQUEST_MANAGER))
        except AlreadyExists:
            return  # Somebody was faster.

    def _concerned(self, freed: _Held) -> tuple[ObjectKey, ...]:
        volumes = {
            volume.uid: ObjectKey(VOLUME.name, each.key.namespace, volume.name)
            for each in freed
            for volume in each.what
        }
        jobs = [key for key, wanted in self._waiting.items() if wanted & volumes.keys()]
        for key in jobs:
            del self._waiting[key]
        return (*volumes.values(), *jobs)

    def _find(self, job: Job) -> VolumesReady | VolumesMissing:
        others = self._held.others(job)
        lacking = [mount.name for mount in job.spec.volume_mounts if self._volume(job, mount.name) is None]
        if lacking:
            return self._undeclared(job, lacking)
        found = []
        for mount in job.spec.volume_mounts:
            volume = self._volume(job, mount.name)
            if volume is None:
                return self._undeclared(job, [mount.name])
            if missing := _why_not(mount, volume, others):
                self._waiting[job.key] = frozenset({volume.meta.uid})
                return missing
            found.append(RunVolume(name=mount.name, uid=volume.meta.uid, read_only=mount.read_only))
        return VolumesReady(tuple(found))

    def _undeclared(self, job: Job, names: list[str]) -> VolumesMissing:
        told, namespace = ", ".join(names), job.meta.namespace
        if not self._auto_create.enabled:
            fix = f"rnx volume create {names[0]} --size=1Gi, or set volumes.auto_create"
            return VolumesMissing(Reason.VOLUME_NOT_FOUND, f"there is no volume {told} in namespace {namespace}: {fix}")
        there = sum(1 for _ in self._storage.keys(VOLUME.name, namespace))
        if there + len(names) > self._auto_create.most:
            fix = "declare it, or remove some"
            why = f"namespace {namespace} has {there} volumes, volumes.most_auto_created is {self._auto_create.most}"
            return VolumesMissing(Reason.VOLUME_NOT_FOUND, f"no volume {told} is made for the job: {why}: {fix}")
        return VolumesMissing(Reason.VOLUME_NOT_READY, f"volume {told} is not there: asking for it", tuple(names))

    def _volume(self, job: Job, name: str) -> Volume | None:
        document = self._storage.get(ObjectKey(VOLUME.name, job.meta.namespace, name))
        return None if document is None else Volume.model_validate(document)

    def _backing_of(self, volume: Volume) -> None:
        if volume.spec.type is not VolumeType.HOST_PATH:
            self._backing.attach(volume.meta.uid, volume.spec.type)

    def _bind(self, volume: Volume, mount: VolumeMount) -> VolumeBind:
        """Return what a run sees of the volume. Raises OSError for a directory of the host that it may not have."""
        only_read = mount.read_only
        if volume.spec.type is not VolumeType.HOST_PATH:
            source = self._backing.data(volume.meta.uid, volume.spec.type)
            return VolumeBind(str(source), mount.place, only_read)
        path = volume.spec.path or ""
        within = host_paths.allowed(self._allowed_paths, volume.meta.namespace, path)
        if not within:
            raise PermissionError(
                f"policy.host_paths does not give it to the namespace {volume.meta.namespace} any more"
            )
        there = host_paths.look(within, path)
        if why := host_paths.why_not(there, read_only=only_read):
            raise PermissionError(why)
        owned = bool(there.host_uid and there.host_gid)  # What is root's is shown as nobody's.
        uid, gid = (there.host_uid, there.host_gid) if owned else (None, None)
        return VolumeBind(there.path, mount.place, only_read, within, uid, gid, ids=1)


def _volumes_of(run: Document) -> tuple[RunVolume, ...] | None:
    return tuple(map(RunVolume.model_validate, run["volumes"])) if run.get("volumes") else None


def _why_not(mount: VolumeMount, volume: Volume, held: _Held) -> VolumesMissing | None:
    ready = find(volume.status.conditions, "Ready")
    if volume.meta.is_deleting:
        return VolumesMissing(Reason.VOLUME_NOT_READY, f"waiting for volume {mount.name} to be removed")
    if ready is None or ready.status is not ConditionStatus.TRUE:
        why = f"{ready.reason}: {ready.message}" if ready else "it is about to be made"
        return VolumesMissing(Reason.VOLUME_NOT_READY, f"waiting for volume {mount.name}: {why}")
    allowed = volume.spec.access_modes
    if not modes.may_ever(allowed, read_only=mount.read_only):
        fix = "mount it with readOnly: true, or change its spec.accessModes"
        told = ", ".join(allowed)
        return VolumesMissing(Reason.VOLUME_MODE, f"volume {mount.name} is {told}: nobody writes to it: {fix}")
    others = _users(volume.meta.uid, held)
    if user := modes.in_the_way(allowed, others, read_only=mount.read_only):
        told = ", ".join(allowed)
        return VolumesMissing(Reason.VOLUME_IN_USE, f"volume {mount.name} is {told}, and {user} has it")
    return None


def _users(uid: str, held: _Held) -> tuple[User, ...]:
    return tuple(
        User(str(each.key), each.attempt, volume.read_only)
        for each in held
        for volume in each.what
        if volume.uid == uid
    )
