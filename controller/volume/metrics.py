"""Metrics of volumes, read from their statuses at the moment of the scrape; nothing is sampled."""

from collections.abc import Callable, Iterable, Iterator

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from api.meta import Document

_LABELS = ["namespace", "volume"]


class VolumesCollector(Collector):
    """Size, use and users of each volume."""

    def __init__(self, volumes: Callable[[], Iterable[Document]]) -> None:
        """Read `volumes()` each time."""
        self._volumes = volumes

    def describe(self) -> Iterable[Metric]:
        """Return the families without samples, so that registering reads nothing."""
        return self._families()

    def collect(self) -> Iterator[Metric]:
        """Yield the families with a sample for each volume."""
        families = self._families()
        for volume in self._volumes():
            metadata, status = volume["metadata"], volume.get("status", {})
            values = status.get("capacityBytes"), status.get("usedBytes"), len(status.get("usedBy", ()))
            for family, value in zip(families, values, strict=True):
                if value is not None:
                    family.add_metric([metadata["namespace"], metadata["name"]], value)
        yield from families

    @staticmethod
    def _families() -> tuple[GaugeMetricFamily, ...]:
        return (
            GaugeMetricFamily("runwright_volume_capacity_bytes", "How much it can hold.", labels=_LABELS),
            GaugeMetricFamily("runwright_volume_used_bytes", "How much of that was last seen in use.", labels=_LABELS),
            GaugeMetricFamily("runwright_volume_users", "Runs that have it.", labels=_LABELS),
        )
