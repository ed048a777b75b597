"""What is counted of CronJobs; every series starts at 0."""

from prometheus_client import CollectorRegistry, Counter, Histogram

from controller.cron_job.steps import Missed

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200, 86400)


class CronMetrics:
    """Counters and a histogram of starts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Register them with `registry`."""
        self.started = Counter("runwright_cron_jobs_started", "Jobs that were made by CronJobs.", registry=registry)
        self.missed = Counter(
            "runwright_cron_times_missed",
            "Times of CronJobs that had no job, by why: too_late is startingDeadlineSeconds, superseded that a later "
            "one had come too. Of each look, at most 101 are counted.",
            ["reason"],
            registry=registry,
        )
        self.lateness_seconds = Histogram(
            "runwright_cron_start_lateness_seconds",
            "From a CronJob's time to the job for it being made; 0 of one that was made ahead of it.",
            registry=registry,
            buckets=_SECONDS,
        )
        for reason in Missed:
            self.missed.labels(reason.value)
