"""The engine's metrics, under controller-runtime's names, so that its dashboards work unchanged.

Every series is exported as 0 from the start: a rate over one that appears late is wrong. They live
in the registry that is passed in; there is no global one.

Source: controller-runtime pkg/internal/controller/metrics/metrics.go and pkg/metrics/workqueue.go,
    v0.20: names, labels and buckets.
"""

from enum import StrEnum

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from controller.engine.workqueue import QueueObserver, WorkQueue

_RECONCILE_BUCKETS = (
    0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.25, 1.5,
    1.75, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5, 6, 7, 8, 9, 10, 15, 20, 25, 30, 40, 50, 60,
)  # fmt: skip
_QUEUE_BUCKETS = tuple(10.0**exponent for exponent in range(-8, 4))


class Outcome(StrEnum):
    """How a pass ended, as controller-runtime counts it."""

    SUCCESS = "success"
    REQUEUE = "requeue"
    REQUEUE_AFTER = "requeue_after"
    ERROR = "error"


class EngineMetrics:
    """All of the engine's metrics in one registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Register them with `registry`, which must not have them yet."""
        self._registry = registry
        controller = ["controller"]
        self.reconciles = self._counter(
            "controller_runtime_reconcile", "Passes of the reconcile loop, by result.", [*controller, "result"]
        )
        self.errors = self._counter("controller_runtime_reconcile_errors", "Passes that failed.", controller)
        self.terminal_errors = self._counter(
            "controller_runtime_terminal_reconcile_errors",
            "Passes that failed for good: the spec must change.",
            controller,
        )
        self.bugs = self._counter(
            "controller_runtime_reconcile_panics", "Passes that ended in a bug of runwright: see the log.", controller
        )
        self.seconds = Histogram(
            "controller_runtime_reconcile_time_seconds",
            "Duration of a pass.",
            controller,
            registry=registry,
            buckets=_RECONCILE_BUCKETS,
        )
        self.active = self._gauge("controller_runtime_active_workers", "Workers that are in a pass.", controller)
        self.workers = self._gauge("controller_runtime_max_concurrent_reconciles", "Workers there are.", controller)
        self.rests = self._counter(
            "runwright_worker_rests", "Rests after a pass, for requests that waited for the processor.", controller
        )
        self._queues = _QueueMetrics(registry)
        self.events = self._counter(
            "runwright_events", "Events that were recorded, by what became of them.", ["result"]
        )

    def controller(self, name: str, workers: int) -> "ControllerMetrics":
        """Return the metrics of the controller `name`, all of them at 0."""
        return ControllerMetrics(self, name, workers)

    def queue_observer(self, name: str) -> QueueObserver:
        """Return what counts the events of the queue `name`."""
        return self._queues.observer(name)

    def watch_queue(self, name: str, queue: WorkQueue) -> None:
        """Read depth and unfinished work of `queue` whenever metrics are asked for."""
        self._queues.watch(name, queue)

    def _counter(self, name: str, text: str, labels: list[str]) -> Counter:
        return Counter(name, text, labels, registry=self._registry)

    def _gauge(self, name: str, text: str, labels: list[str]) -> Gauge:
        return Gauge(name, text, labels, registry=self._registry)


class ControllerMetrics:
    """The metrics of one controller, each at 0 from the start."""

    def __init__(self, metrics: EngineMetrics, name: str, workers: int) -> None:
        """Preset every outcome."""
        self._results = {outcome: metrics.reconciles.labels(name, outcome.value) for outcome in Outcome}
        self._errors = metrics.errors.labels(name)
        self.terminal_errors = metrics.terminal_errors.labels(name)
        self.bugs = metrics.bugs.labels(name)
        self.seconds = metrics.seconds.labels(name)
        self.active = metrics.active.labels(name)
        self.rests = metrics.rests.labels(name)
        metrics.workers.labels(name).set(workers)

    def passed(self, outcome: Outcome, seconds: float) -> None:
        """Count a pass that ended in `outcome`."""
        self._results[outcome].inc()
        self.seconds.observe(seconds)
        if outcome is Outcome.ERROR:
            self._errors.inc()


class _QueueMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        labels = ["name", "controller"]

        def gauge(name: str, text: str) -> Gauge:
            return Gauge(name, text, labels, registry=registry)

        def histogram(name: str, text: str) -> Histogram:
            return Histogram(name, text, labels, registry=registry, buckets=_QUEUE_BUCKETS)

        self.adds = Counter("workqueue_adds", "Keys that became due.", labels, registry=registry)
        self.retries = Counter("workqueue_retries", "Keys that were added for later.", labels, registry=registry)
        self.depth = gauge("workqueue_depth", "Keys that are due and wait for a worker.")
        self.waited = histogram("workqueue_queue_duration_seconds", "How long a key waited for a worker.")
        self.worked = histogram("workqueue_work_duration_seconds", "How long a worker had a key.")
        self.unfinished = gauge("workqueue_unfinished_work_seconds", "Time spent so far on keys that workers have now.")
        self.longest = gauge(
            "workqueue_longest_running_processor_seconds", "Time spent so far on the key a worker has had longest."
        )

    def observer(self, name: str) -> QueueObserver:
        return _Counting(self, name)

    def watch(self, name: str, queue: WorkQueue) -> None:
        self.depth.labels(name, name).set_function(queue.__len__)
        self.unfinished.labels(name, name).set_function(queue.unfinished_seconds)
        self.longest.labels(name, name).set_function(queue.longest_seconds)


class _Counting(QueueObserver):
    def __init__(self, metrics: _QueueMetrics, name: str) -> None:
        self._adds = metrics.adds.labels(name, name)
        self._retries = metrics.retries.labels(name, name)
        self._waited = metrics.waited.labels(name, name)
        self._worked = metrics.worked.labels(name, name)

    def added(self) -> None:
        self._adds.inc()

    def taken(self, waited_seconds: float) -> None:
        self._waited.observe(waited_seconds)

    def finished(self, worked_seconds: float) -> None:
        self._worked.observe(worked_seconds)

    def retried(self) -> None:
        self._retries.inc()
