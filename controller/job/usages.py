"""What the running runs use at this moment, read from their cgroups; what `api.ports.RunUsages` asks for."""

from collections.abc import Callable, Iterable

from api.meta import Document, ObjectKey, read_time
from api.ports import RunUsage, Storage
from controller.cgroup.lifecycle import CgroupError, Lifecycle
from controller.cgroup.usage import Usage
from controller.engine.clock import Clock
from controller.job import run_io
from controller.job.run_io import RunIo


class Usages:
    """Reads the cgroups of runs; nothing is kept. Thread-safe."""

    def __init__(
        self,
        cgroups: Lifecycle,
        cgroup_parent: str,
        running: Callable[[], Iterable[tuple[str, ObjectKey]]],
        storage: Storage,
        clock: Clock,
    ) -> None:
        """Read from `cgroups`, below `cgroup_parent`; `running` gives run ids (cgroup names) and their jobs."""
        self._cgroups = cgroups
        self._cgroup_parent = cgroup_parent
        self._running = running
        self._storage = storage
        self._clock = clock

    def usages(self, namespace: str | None) -> tuple[RunUsage, ...]:
        """Return the usage of all runs that are running, of one namespace or all."""
        found = []
        for identity, key in self._running():
            if namespace is not None and key.namespace != namespace:
                continue
            try:
                used = self._cgroups.usage(identity)
            except (CgroupError, OSError, ValueError):
                continue  # It ended between being listed and being read.
            moved = run_io.of_run(self._cgroup_parent, identity)
            found.append(self._usage(key, int(identity.rpartition("-")[2]), used, moved))
        return tuple(sorted(found, key=lambda usage: (usage.namespace, usage.job, usage.attempt)))

    def _usage(self, key: ObjectKey, attempt: int, used: Usage, moved: RunIo | None) -> RunUsage:
        runs = (self._storage.get(key) or {}).get("status", {}).get("runs", ())
        run: Document = next((run for run in runs if run["attempt"] == attempt), {})
        return RunUsage(
            namespace=key.namespace,
            job=key.name,
            attempt=attempt,
            running_seconds=self._seconds(run.get("startedAt")),
            cpu_seconds=used.cpu_seconds,
            memory_bytes=used.memory_bytes,
            memory_peak_bytes=used.memory_peak_bytes,
            processes=used.pids,
            read_bytes=None if moved is None else moved.read_bytes,
            written_bytes=None if moved is None else moved.written_bytes,
            index=run.get("index"),
        )

    def _seconds(self, started: str | None) -> float:
        if not started:
            return 0.0
        return max(0.0, (self._clock.now() - read_time(started)).total_seconds())
