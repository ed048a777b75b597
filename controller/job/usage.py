"""Metrics of running jobs, read from their cgroups at the moment of the scrape; nothing is sampled."""

from collections.abc import Callable, Iterable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from api.meta import ObjectKey
from controller.cgroup.lifecycle import CgroupError, Lifecycle
from controller.cgroup.usage import Usage
from controller.engine.scraped import Families, Sample, ScrapedCollector

_LABELS = ["namespace", "job"]


class RunningJobsCollector(ScrapedCollector):
    """Cpu, memory, processes, throttling and out-of-memory kills of each running job."""

    def __init__(self, cgroups: Lifecycle, running: Callable[[], Iterable[tuple[str, ObjectKey]]]) -> None:
        """Read from `cgroups`; `running` gives the run ids (cgroup names) and jobs that are running."""
        self._cgroups = cgroups
        self._running = running

    def samples(self) -> Iterator[Sample]:
        """Yield those of each running job."""
        for name, key in self._running():
            try:
                usage = self._cgroups.usage(name)
            except CgroupError:
                continue  # It ended between being listed and being read.
            yield (key.namespace, key.name), _values(usage)

    @staticmethod
    def families() -> Families:
        """Return the families, empty."""
        return (
            CounterMetricFamily("runwright_job_cpu_seconds", "Processor time used by the running run.", labels=_LABELS),
            CounterMetricFamily(
                "runwright_job_cpu_throttled_seconds", "Time it was held back by its cpu limit.", labels=_LABELS
            ),
            CounterMetricFamily("runwright_job_oom_kills", "Processes killed for memory.", labels=_LABELS),
            GaugeMetricFamily("runwright_job_memory_bytes", "Memory in use.", labels=_LABELS),
            GaugeMetricFamily("runwright_job_memory_peak_bytes", "The most memory in use at once.", labels=_LABELS),
            GaugeMetricFamily("runwright_job_processes", "Processes and threads there are.", labels=_LABELS),
        )


def _values(usage: Usage) -> tuple[float, ...]:
    return (
        usage.cpu_seconds,
        usage.cpu_throttled_seconds,
        usage.oom_kills,
        usage.memory_bytes,
        usage.memory_peak_bytes or 0,
        usage.pids,
    )
