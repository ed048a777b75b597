"""Metrics of snapshots, read from their statuses at the moment of the scrape; nothing is sampled."""

from collections.abc import Callable, Iterable, Iterator

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from api import quantity
from api.meta import Document

_LABELS = ["namespace", "snapshot"]


class SnapshotsCollector(Collector):
    """Whether each snapshot can be used, how large it is, and what it takes of the disk."""

    def __init__(self, snapshots: Callable[[], Iterable[Document]]) -> None:
        """Read `snapshots()` each time."""
        self._snapshots = snapshots

    def describe(self) -> Iterable[Metric]:
        """Return the families without samples, so that registering reads nothing."""
        return self._families()

    def collect(self) -> Iterator[Metric]:
        """Yield the families with a sample for each snapshot."""
        families = self._families()
        for snapshot in self._snapshots():
            metadata, status = snapshot["metadata"], snapshot.get("status", {})
            size = status.get("restoreSize")
            values = (
                int(bool(status.get("readyToUse"))),
                None if size is None else quantity.to_bytes(size),
                status.get("diskBytes"),
            )
            for family, value in zip(families, values, strict=True):
                if value is not None:
                    family.add_metric([metadata["namespace"], metadata["name"]], value)
        yield from families

    @staticmethod
    def _families() -> tuple[GaugeMetricFamily, ...]:
        return (
            GaugeMetricFamily("runwright_volume_snapshot_ready", "1 if volumes can be made of it.", labels=_LABELS),
            GaugeMetricFamily(
                "runwright_volume_snapshot_restore_size_bytes", "The least size of a volume of it.", labels=_LABELS
            ),
            GaugeMetricFamily("runwright_volume_snapshot_disk_bytes", "What it takes of the disk.", labels=_LABELS),
        )
