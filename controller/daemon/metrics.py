"""The exposition of all metrics, and what the API and the store count of themselves, which know no Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

_REQUEST_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_COMMIT_BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1)


class DaemonMetrics:
    """Implements `api.ports.Exposition`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Expose what is in `registry`."""
        self._registry = registry

    def render(self) -> bytes:
        """Return all metrics in Prometheus' text format 0.0.4."""
        return generate_latest(self._registry)


class HttpMetrics:
    """Counts the API's requests; plugged in as its `on_request`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Register with `registry`."""
        labels = ["verb", "resource", "code"]
        self._requests = Counter("runwright_api_requests", "Requests to the API.", labels, registry=registry)
        self._seconds = Histogram(
            "runwright_api_request_duration_seconds",
            "Until the answer began.",
            ["verb"],
            registry=registry,
            buckets=_REQUEST_BUCKETS,
        )

    def __call__(self, verb: str, resource: str, code: int, seconds: float) -> None:
        """Count one request."""
        self._requests.labels(verb, resource, str(code)).inc()
        self._seconds.labels(verb).observe(seconds)


class StoreMetrics:
    """Counts the store's writes; plugged in as its `on_commit`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Register with `registry`."""
        self._writes = Counter("runwright_store_writes", "Rows written to the journal.", registry=registry)
        self._seconds = Histogram(
            "runwright_store_commit_seconds",
            "Duration of a commit, to the disk.",
            registry=registry,
            buckets=_COMMIT_BUCKETS,
        )

    def __call__(self, seconds: float, rows: int) -> None:
        """Count one commit."""
        self._writes.inc(rows)
        self._seconds.observe(seconds)
