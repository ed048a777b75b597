"""Metrics of volumes, read from their statuses at the moment of the scrape; nothing is sampled."""

from collections.abc import Callable, Iterable, Iterator

from prometheus_client.core import GaugeMetricFamily

from api.meta import Document
from controller.engine.scraped import Families, Sample, ScrapedCollector

_LABELS = ["namespace", "volume"]


class VolumesCollector(ScrapedCollector):
    """Size, use and users of each volume."""

    def __init__(self, volumes: Callable[[], Iterable[Document]]) -> None:
        """Read `volumes()` each time."""
        self._volumes = volumes

    def samples(self) -> Iterator[Sample]:
        """Yield those of each volume; one that was not made yet has no size."""
        for volume in self._volumes():
            metadata, status = volume["metadata"], volume.get("status", {})
            values = status.get("capacityBytes"), status.get("usedBytes"), len(status.get("usedBy", ()))
            yield (metadata["namespace"], metadata["name"]), values

    @staticmethod
    def families() -> Families:
        """Return the families, empty."""
        return (
            GaugeMetricFamily("runwright_volume_capacity_bytes", "How much it can hold.", labels=_LABELS),
            GaugeMetricFamily("runwright_volume_used_bytes", "How much of that was last seen in use.", labels=_LABELS),
            GaugeMetricFamily("runwright_volume_users", "Runs that have it.", labels=_LABELS),
        )
