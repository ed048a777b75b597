"""Runs a command in a runtime as a job of it would be run: the same sandbox, the same limits, another object.

Between two kinds that do not know each other: the Runtime kind asks whether a tree works, the Job kind knows how runs
are made. What a probe leaves when the daemon dies is swept at the next start: its uid belongs to no job.
"""

import os
import select
import uuid
from collections.abc import Callable
from pathlib import Path

from api.meta import API_VERSION
from api.packages.manifest import Manifest
from api.types.job import Job
from api.types.runtime import RuntimeReason
from controller.cgroup.lifecycle import Lifecycle
from controller.engine.errors import TransientError
from controller.job import remains, run_spec
from controller.job.log_files import LogFiles
from controller.job.observed import RuntimeMount, RuntimeReady
from controller.job.run_dirs import RunDirs
from controller.job.run_spec import RunDefaults, RunPlaces
from controller.launcher import records
from controller.launcher.client import LauncherClient, LauncherError, RunRefused
from controller.launcher.records import Exited, Running
from controller.launcher.runspec import RunSpec
from controller.runtime.health.check import ProbeResult

_ATTEMPT = 1
_SPARE_SECONDS = 30
"""A supervisor holds its run to the deadline; after that and so many seconds more, something is wrong with it."""
_LIMITS = {"memory": "1Gi", "cpu": "1", "pids": 256}
_MOST_OUTPUT = 16_384


class RuntimeProber:
    """Implements `controller.runtime.health.check.Prober` with the launcher that jobs are run by."""

    def __init__(
        self,
        launcher: LauncherClient,
        cgroups: Lifecycle,
        dirs: RunDirs,
        defaults: RunDefaults,
        why_not: Callable[[], str] = lambda: "",
    ) -> None:
        """Use these parts, none of which is owned; `why_not` says why no run may begin now, empty if one may."""
        self._why_not = why_not
        self._launcher = launcher
        self._cgroups = cgroups
        self._dirs = dirs
        self._defaults = defaults

    def run(self, tree: Path, manifest: Manifest, argv: tuple[str, ...], timeout_seconds: float) -> ProbeResult:
        """Return how `argv` ended in the runtime whose tree is `tree`, which need not be in its place yet.

        Raises:
            TransientError: the launcher cannot start it now, or the host could not be protected from it.
        """
        if why := self._why_not():
            raise TransientError(RuntimeReason.LIMIT_UNENFORCEABLE, why)
        job = _job(argv, timeout_seconds)
        uid = job.meta.uid
        run_dir = self._dirs.make(uid, _ATTEMPT)
        log_dir = run_dir / "log"
        log_dir.mkdir(mode=0o700)
        try:
            runtime = _runtime(tree, manifest)
            spec = run_spec.run_spec(
                job, _ATTEMPT, runtime, RunPlaces(run_dir, log_dir, None), self._defaults, timeout_seconds
            )
            self._launch(spec)
            return _result(_wait(run_dir, timeout_seconds + _SPARE_SECONDS), log_dir)
        except (ValueError, RunRefused) as error:
            return ProbeResult(None, "", str(error))
        finally:
            remains.remove(self._cgroups, self._dirs, uid, _ATTEMPT)

    def _launch(self, spec: RunSpec) -> None:
        try:
            self._launcher.start(spec)
        except LauncherError:
            try:
                self._launcher.ensure_running()
                self._launcher.start(spec)
            except LauncherError as error:
                raise TransientError("LauncherUnavailable", f"cannot look whether a runtime works: {error}") from error


def _job(argv: tuple[str, ...], timeout_seconds: float) -> Job:
    document = {
        "apiVersion": API_VERSION,
        "kind": "Job",
        "metadata": {"name": "health-check", "namespace": "default", "uid": str(uuid.uuid4())},
        "spec": {
            "command": list(argv),
            "resources": {"limits": _LIMITS},
            "activeDeadlineSeconds": timeout_seconds,
            "terminationGracePeriodSeconds": 0,
        },
    }
    return Job.model_validate(document)


def _runtime(tree: Path, manifest: Manifest) -> RuntimeReady:
    environment = dict(manifest.environment)
    if manifest.path_prepend:
        environment["PATH_PREPEND"] = manifest.path_prepend
    return RuntimeReady(
        name=manifest.name,
        version="",
        path=str(tree),
        mounts=tuple(RuntimeMount(m.source, m.target, m.readonly, m.selective) for m in manifest.mounts),
        environment=environment,
    )


def _wait(run_dir: Path, seconds: float) -> records.Observed:
    observed = records.observe(run_dir)
    while isinstance(observed, Running):
        try:
            fd = observed.open_end()
        except ProcessLookupError:
            observed = records.observe(run_dir)
            continue
        try:
            if not _readable(fd, seconds):
                return observed
        finally:
            os.close(fd)
        observed = records.observe(run_dir)
    return observed


def _result(observed: records.Observed, log_dir: Path) -> ProbeResult:
    output = _output(log_dir)
    if not isinstance(observed, Exited):
        return ProbeResult(None, output, "its supervisor was killed" if not isinstance(observed, Running) else "hangs")
    record = observed.record
    if record.exit_code is None:
        return ProbeResult(None, output, f"{record.reason}: {record.message}")
    reason = "" if record.reason == records.Reason.COMPLETED else f"{record.reason}: {record.message}"
    return ProbeResult(record.exit_code, output, reason)


def _output(log_dir: Path) -> str:
    with LogFiles(log_dir) as log:
        text = b"".join(line.content + (b"\n" if line.ends else b"") for line in log.fresh())
    return text[-_MOST_OUTPUT:].decode(errors="replace")


def _readable(fd: int, seconds: float) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(seconds * 1000))
