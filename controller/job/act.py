"""Doing the steps of a job's plan: each a few lines that work or raise, and may be repeated."""

import contextlib
import os
import shutil
import signal
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from api.meta import wire_time
from api.ports import Storage
from api.types.job import Job, Reason
from api.types.job_file import JobFile
from controller.cgroup.lifecycle import Lifecycle
from controller.contents.store import Contents, Missing
from controller.devices.errors import Unusable
from controller.devices.fitting import Fitting
from controller.engine.clock import Clock
from controller.engine.errors import TerminalError, TransientError
from controller.job import history, host_limits, references, remains, run_spec
from controller.job.announce import JobMetrics
from controller.job.artifacts import KeptArtifacts
from controller.job.capacity import Capacity
from controller.job.devices import Devices
from controller.job.host_files import CannotCopy, CannotCopyNow, HostFiles
from controller.job.logs import log_directory
from controller.job.memory_place import NoMemoryPlace
from controller.job.networks import Networks, given_network
from controller.job.observe import Observer, given_devices, given_nodes, given_volumes
from controller.job.observed import RuntimeMissing, RuntimeReady, Runtimes
from controller.job.run_dirs import GIVEN, RunDirs, run_id
from controller.job.run_spec import Place, RunDefaults, RunPlaces, work_bytes
from controller.job.steps import (
    AbandonRun,
    BeginRun,
    DeleteJob,
    FreezeRun,
    KillRun,
    RemoveArtifacts,
    RemoveLogs,
    RemoveRun,
    RequestNetwork,
    RequestRuntime,
    RequestVolume,
    SetDeadline,
    StartRun,
    StopRun,
    TakeBackRun,
    ThawRun,
)
from controller.job.volumes import Volumes
from controller.launcher import control, recording, records
from controller.launcher.client import LauncherClient, LauncherError, RunRefused
from controller.launcher.records import ExitRecord, Running
from controller.launcher.runspec import RunSpec
from controller.network.switchboard import host_resolvers

_UNKNOWN_DISK = ("0:0",)


class RuntimeRequests(Protocol):
    """Declares runtimes that jobs need and nobody declared."""

    def request(self, name: str, version: str) -> None:
        """See to it that a Runtime asks for this version."""
        ...


class Actor:
    """Carries out the steps of jobs on this host."""

    def __init__(
        self,
        clock: Clock,
        storage: Storage,
        launcher: LauncherClient,
        cgroups: Lifecycle,
        dirs: RunDirs,
        logs: Path,
        runtimes: Runtimes,
        requests: RuntimeRequests,
        defaults: RunDefaults,
        metrics: JobMetrics,
        devices: Devices,
        capacity: Capacity,
        volumes: Volumes,
        contents: Contents,
        artifacts: KeptArtifacts,
        host_files: HostFiles,
        networks: Networks | None = None,
        stopping: Callable[[Job, StopRun], None] = lambda _job, _step: None,
    ) -> None:
        """Use these parts; none of them is owned. `stopping` is told of each run that is told to end."""
        self._clock = clock
        self._storage = storage
        self._launcher = launcher
        self._cgroups = cgroups
        self._dirs = dirs
        self._logs = logs
        self._runtimes = runtimes
        self._requests = requests
        self._defaults = defaults
        self._metrics = metrics
        self._devices = devices
        self._capacity = capacity
        self._volumes = volumes
        self._contents = contents
        self._artifacts = artifacts
        self._host_files = host_files
        self._networks = networks
        self._stopping = stopping

    def act(self, job: Job, step: Any) -> None:  # noqa: C901  one line a step
        """Carry out one step.

        Raises:
            OSError, TransientError: it did not work now.
            TerminalError: it cannot work until the spec changes.
        """
        uid = job.meta.uid
        match step:
            case RequestRuntime(name, version):
                self._requests.request(name, version)
            case RequestVolume(name):
                self._volumes.request(job, name)
            case RequestNetwork(name) if self._networks:
                self._networks.request(job.meta.namespace, name)
            case BeginRun():
                self._begin(job, step)
            case StartRun():
                self._start(job, step)
            case AbandonRun():
                self._abandon(job, step)
            case StopRun(attempt, reason, grace_seconds):
                control.stop(self._dirs.path(uid, attempt), reason, grace_seconds)
                self._dirs.mark_stop_sent(uid, attempt, self._clock.now(), grace_seconds)
                self._stopping(job, step)
            case TakeBackRun(attempt):
                control.take_back(self._dirs.path(uid, attempt), Reason.RESCHEDULED)
            case KillRun(attempt):
                self._kill(job, attempt)
            case FreezeRun(attempt):
                self._freeze(uid, attempt)
            case ThawRun(attempt, deadline_seconds):
                self._cgroups.thaw(run_id(uid, attempt))
                control.set_deadline(self._dirs.path(uid, attempt), deadline_seconds)
                self._dirs.mark_thawed(uid, attempt)
            case SetDeadline(attempt, deadline_seconds):
                control.set_deadline(self._dirs.path(uid, attempt), deadline_seconds)
            case RemoveRun(attempt):
                self._remove(job, attempt)
                self._artifacts.settle(uid, attempt, history.replaced_by(job, attempt))
            case RemoveArtifacts():
                self._artifacts.remove(uid)
            case RemoveLogs():
                shutil.rmtree(self._log_root(job), ignore_errors=False)
            case DeleteJob():
                # Only as it was looked at: somebody may have changed it to run again meanwhile.
                self._storage.delete(job.key, uid=uid, revision=int(job.meta.resource_version))
            case _:
                raise AssertionError(f"no such step: {step!r}")

    def _begin(self, job: Job, step: BeginRun) -> None:
        self._capacity.claim(job, step.attempt)
        self._devices.claim(job, step.attempt, step.devices, step.device_nodes)
        self._volumes.claim(job, step.attempt, step.volumes)
        if self._networks:
            self._networks.claim(job, step.attempt, step.network)
        self._dirs.make(job.meta.uid, step.attempt)

    def _remove(self, job: Job, attempt: int) -> None:
        # Its devices and volumes are its own that long; and of a job that is gone there is no process.
        to_its_end = job.meta.is_deleting or bool(given_devices(job, attempt) or given_volumes(job, attempt))
        remains.remove(self._cgroups, self._dirs, job.meta.uid, attempt, to_its_end=to_its_end)
        self._devices.free(job, attempt)
        self._volumes.free(job, attempt)
        if self._networks:
            self._networks.free(job, attempt)
        self._capacity.look_after(job)
        if job.has_many_runs:
            on_record = [run.attempt for run in job.status.runs]
            remains.remove_old_logs(self._log_root(job), on_record, job.status.attempts)

    def _start(self, job: Job, step: StartRun) -> None:
        attempt, runtime = step.attempt, self._runtime(job)
        try:
            devices = self._devices.fit(given_devices(job, attempt), given_nodes(job, attempt))
        except Unusable as error:  # The next look sees it too, and gives the run up.
            raise TransientError(Reason.DEVICES_GONE, f"cannot start {job.key}: {error}") from error
        names, nodes = given_devices(job, attempt), given_nodes(job, attempt)
        try:
            with self._devices.held_on_host(job, attempt, names, nodes) as claim:
                self._start_with(job, step, runtime, devices, claim)
        except (
            CannotCopy
        ) as error:  # The run is over, and what was promised to it is free: the next may have more luck.
            why = f"cannot start {job.key}: {error}"
            self._abandon(job, AbandonRun(attempt, Reason.CONFIG_ERROR, why))
        except CannotCopyNow as error:
            raise TransientError(Reason.CONFIG_ERROR, f"cannot start {job.key}: {error}") from error

    def _start_with(self, job: Job, step: StartRun, runtime: RuntimeReady, devices: Fitting, claim: str | None) -> None:
        attempt, declared, job = step.attempt, job.spec.files, self._resolved(job)
        try:
            places = self._places(job, attempt, declared)
        except NoMemoryPlace as error:
            raise TransientError(Reason.CONFIG_ERROR, str(error.strerror)) from error
        try:
            volumes = self._volumes.mounted(job, given_volumes(job, attempt))
            disks = host_limits.disks(job, runtime, devices, self._defaults, volumes)
            spec = run_spec.run_spec(
                job,
                attempt,
                runtime,
                places,
                self._defaults,
                step.deadline_seconds,
                devices,
                disks=disks,
                device_claim=claim,
                volumes=volumes,
                place=self._place(job, attempt),
                not_before=step.not_before,
            )
        except host_limits.Unenforceable as error:
            raise TransientError(Reason.LIMIT_UNENFORCEABLE, f"cannot start {job.key}: {error}") from error
        except ValueError as error:
            raise TerminalError("InvalidRun", f"cannot start {job.key}: {error}") from error
        asked_at = self._clock.monotonic()
        try:
            self._launch(spec)
        except RunRefused as error:
            raise TerminalError("InvalidRun", f"cannot start {job.key}: {error}") from error
        self._metrics.launch_seconds.observe(self._clock.monotonic() - asked_at)

    def _place(self, job: Job, attempt: int) -> Place | None:
        """Return what the run's end of its network is to be. Of a run that has one, it never is none."""
        given = given_network(job, attempt)
        if given is None:
            return Place(None, host_resolvers()) if run_spec.is_on_host(job) else None
        if self._networks is None:
            raise TransientError(Reason.NETWORK_NOT_READY, f"cannot start {job.key}: this daemon has no networks")
        return self._networks.prepare(job, given, attempt)

    def _resolved(self, job: Job) -> Job:
        """Return the job with values in place of its references: for the run alone, never to be stored or shown."""
        try:
            return references.resolve(job, self._storage.get)
        except references.Unresolved as error:
            raise TransientError(Reason.CONFIG_ERROR, str(error)) from error

    def _launch(self, spec: RunSpec) -> None:
        try:
            self._launcher.start(spec)
        except LauncherError:
            # It may have been killed, after or before the run was claimed: asking again starts it once.
            self._launcher.ensure_running()
            self._launcher.start(spec)

    def _runtime(self, job: Job) -> RuntimeReady:
        if job.spec.runtime is None:
            return RuntimeReady()
        found = self._runtimes.find(Observer.pinned_runtime(job) or job.spec.runtime, may_install=False)
        if isinstance(found, RuntimeMissing):
            raise TransientError(found.reason, found.message)
        return found

    def _places(self, job: Job, attempt: int, declared: Sequence[JobFile]) -> RunPlaces:
        run_dir = self._dirs.make(job.meta.uid, attempt)
        log_dir = self._log_root(job) / str(attempt)
        log_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        uid, files = job.meta.uid, job.spec.files
        try:
            given_dir = self._dirs.give(uid, attempt, job.meta.namespace, files, self._contents)
        except Missing as error:
            raise TransientError(Reason.CONFIG_ERROR, f"cannot start {job.key}: {error}: upload it again") from error
        room, at = work_bytes(job, self._defaults), run_dir / GIVEN
        copied = self._host_files.copy(job.meta.namespace, declared, run_dir, at, room)
        staged = self._dirs.stage(uid, attempt, (*files, *copied.staged))
        given_dir = run_dir / GIVEN if copied.given else given_dir
        return RunPlaces(
            run_dir, log_dir, staged, given_dir, self._artifacts.wanted(job, attempt), host_files=copied.given
        )

    def _abandon(self, job: Job, step: AbandonRun) -> None:
        """Claim the run ourselves, so that no supervisor ever can; if one has, the next pass stops it."""
        run_dir = self._dirs.make(job.meta.uid, step.attempt)
        now = wire_time(self._clock.now())
        identity = run_id(job.meta.uid, step.attempt)
        recording.cancel(run_dir, ExitRecord(identity, step.reason, step.message, None, None, "", now))

    def _freeze(self, uid: str, attempt: int) -> None:
        self._dirs.mark_freezing(uid, attempt)
        control.set_deadline(self._dirs.path(uid, attempt), None)
        self._cgroups.freeze(run_id(uid, attempt))
        self._dirs.mark_frozen(uid, attempt)

    def _kill(self, job: Job, attempt: int) -> None:
        record = records.observe(self._dirs.path(job.meta.uid, attempt))
        self._cgroups.kill(run_id(job.meta.uid, attempt))
        if isinstance(record, Running):
            with contextlib.suppress(ProcessLookupError):
                fd = record.hold()
                try:
                    signal.pidfd_send_signal(fd, signal.SIGKILL)
                    remains.await_death(fd)  # So that who looks next sees what became of it.
                finally:
                    os.close(fd)

    def _log_root(self, job: Job) -> Path:
        return log_directory(self._logs, {"namespace": job.meta.namespace, "name": job.meta.name, "uid": job.meta.uid})

    def sandbox_of(self, job: Job, runtime: RuntimeReady, devices: Sequence[str] = ()) -> Any:
        """Return the sandbox that a run of `job` would get with these devices, as data, without making anything."""
        fitting, volumes = self._fitting(devices), self._volumes.shown(job)
        return run_spec.sandbox_spec(job, runtime, None, self._defaults, fitting, volumes)

    def limits_of(self, job: Job, runtime: RuntimeReady, devices: Sequence[str] = ()) -> Any:
        """Return the cgroup limits that a run of `job` would get with these devices."""
        try:
            disks = host_limits.disks(job, runtime, self._fitting(devices), self._defaults)
        except host_limits.Unenforceable:
            disks = _UNKNOWN_DISK  # Why, the plan tells.
        return replace(run_spec.limits(job, self._defaults, disks))

    def _fitting(self, devices: Sequence[str]) -> Fitting:
        try:
            return self._devices.fit(devices)
        except Unusable:
            return Fitting()
