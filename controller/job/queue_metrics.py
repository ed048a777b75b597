"""Metrics of the queue, counted at the moment of the scrape: who waits, by class, and what is promised."""

from collections.abc import Callable, Iterator

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from controller.capacity.amounts import CPU


class QueueCollector(Collector):
    """Reads the book of what is promised."""

    def __init__(self, pending: Callable[[], dict[str, int]], promised: Callable[[], dict[str, int]]) -> None:
        """Read who waits, by class, and what is promised, by resource."""
        self._counts = pending
        self._amounts = promised

    def describe(self) -> Iterator[Metric]:
        """Yield what there is, without values."""
        yield from (_pending(), _promised())

    def collect(self) -> Iterator[Metric]:
        """Yield what there is now."""
        pending, promised = _pending(), _promised()
        for class_name, count in sorted({"": 0, **self._counts()}.items()):
            pending.add_metric([class_name], count)
        for name, amount in sorted(self._amounts().items()):
            promised.add_metric([name], amount / 1000 if name == CPU else amount)
        yield from (pending, promised)


def _pending() -> GaugeMetricFamily:
    return GaugeMetricFamily(
        "runwright_jobs_queued", "Jobs that wait for their turn, by priority class.", labels=["priority_class"]
    )


def _promised() -> GaugeMetricFamily:
    return GaugeMetricFamily(
        "runwright_promised", "What runs were promised: cores, bytes, devices, places.", labels=["resource"]
    )
