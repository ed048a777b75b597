"""Metrics that are read at the moment of the scrape, a sample of each family for each thing; nothing is sampled."""

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

Families = tuple[CounterMetricFamily | GaugeMetricFamily, ...]
Sample = tuple[Sequence[str], Sequence[float | None]]
"""The labels of one thing, and its value in each family; None has no sample there."""


class ScrapedCollector(Collector):
    """Asks for the families and for the samples each time."""

    def describe(self) -> Iterable[Metric]:
        """Return the families without samples, so that registering reads nothing."""
        return self.families()

    def collect(self) -> Iterator[Metric]:
        """Yield the families with a sample for each thing."""
        families = self.families()
        for labels, values in self.samples():
            for family, value in zip(families, values, strict=True):
                if value is not None:
                    family.add_metric(labels, value)
        yield from families

    @staticmethod
    @abstractmethod
    def families() -> Families:
        """Return the families, empty."""

    @abstractmethod
    def samples(self) -> Iterator[Sample]:
        """Yield the samples of each thing."""
