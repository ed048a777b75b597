"""The volumes of this host, put together: what they are made of, the kinds, and what jobs see of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from api import quantity
from api.kinds import VOLUME, VOLUME_SNAPSHOT, Kind
from api.meta import ObjectKey
from api.objects.verbs import Verbs
from api.ports import Change
from controller.daemon.paths import Paths
from controller.daemon.settings import Settings
from controller.daemon.volumes_for_jobs import AutoCreate, VolumesForJobs
from controller.engine.clock import Clock
from controller.engine.controller import Also
from controller.engine.recorder import Recorder
from controller.job.run_dirs import RunDirs
from controller.volume.backing import Backing
from controller.volume.kind import VolumeKind, VolumePolicy
from controller.volume.metrics import VolumesCollector
from controller.volume.snapshot.announce import Announcer
from controller.volume.snapshot.kind import VolumeSnapshotKind
from controller.volume.snapshot.metrics import SnapshotsCollector
from controller.volume.sources import Sources
from state.store import Store


@dataclass(frozen=True, slots=True)
class VolumesHere:
    """All parts of volumes."""

    backing: Backing
    for_jobs: VolumesForJobs
    kind: VolumeKind
    also: Sequence[Also]
    snapshots: VolumeSnapshotKind
    also_of_snapshots: Sequence[Also]
    store: Store

    def sweep(self) -> tuple[str, ...]:
        """Clear what volumes left that nobody knows; return what was cleared."""
        return self.backing.sweep({volume["metadata"]["uid"] for volume in self.store.each(VOLUME.name)})


def open_volumes(
    settings: Settings,
    paths: Paths,
    store: Store,
    verbs: Verbs,
    dirs: RunDirs,
    clock: Clock,
    wake: Callable[[ObjectKey], None],
    registry: CollectorRegistry,
    recorder: Recorder,
) -> VolumesHere:
    """Return the volumes of this host; `wake` is called for who is to look again, `registry` has their metrics.

    Their events are recorded with `recorder`.

    Raises:
        OSError: there may be no more user namespaces on this host.
    """
    allowed, wanted = settings.policy.host_paths, settings.volumes
    backing = Backing(paths.volumes, clock)
    auto_create = AutoCreate(wanted.auto_create, wanted.most_auto_created)
    for_jobs = VolumesForJobs(store, verbs, dirs, backing, allowed, auto_create, wake)
    policy = VolumePolicy(
        default_bytes=quantity.to_bytes(wanted.default_size),
        most_bytes=quantity.to_bytes(wanted.most_size),
        cache_bytes=quantity.to_bytes(settings.jobs.cache_size),
        host_paths=allowed,
    )
    registry.register(VolumesCollector(lambda: store.each(VOLUME.name)))
    registry.register(SnapshotsCollector(lambda: store.each(VOLUME_SNAPSHOT.name)))
    sources = Sources(store, backing)
    return VolumesHere(
        backing,
        for_jobs,
        VolumeKind(clock, backing, for_jobs, policy, sources),
        _woken(sources, VOLUME),
        VolumeSnapshotKind(clock, backing, sources),
        (*_woken(sources, VOLUME_SNAPSHOT), (VOLUME_SNAPSHOT.name, Announcer(recorder).keys)),
        store,
    )


def _woken(sources: Sources, kind: Kind) -> tuple[Also, ...]:
    """Return whose changes wake objects of `kind`: what they are made of, and what is made of them."""

    def keys(change: Change) -> tuple[ObjectKey, ...]:
        return tuple(key for key in sources.wake(change) if key.kind == kind.name)

    return (VOLUME.name, keys), (VOLUME_SNAPSHOT.name, keys)
