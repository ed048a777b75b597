"""Metrics of snapshots, read from their statuses at the moment of the scrape; nothing is sampled."""

from collections.abc import Callable, Iterable, Iterator

from prometheus_client.core import GaugeMetricFamily

from api import quantity
from api.meta import Document
from controller.engine.scraped import Families, Sample, ScrapedCollector

_LABELS = ["namespace", "snapshot"]


class SnapshotsCollector(ScrapedCollector):
    """Whether each snapshot can be used, how large it is, and what it takes of the disk."""

    def __init__(self, snapshots: Callable[[], Iterable[Document]]) -> None:
        """Read `snapshots()` each time."""
        self._snapshots = snapshots

    def samples(self) -> Iterator[Sample]:
        """Yield those of each snapshot; one that was not taken yet has no size."""
        for snapshot in self._snapshots():
            metadata, status = snapshot["metadata"], snapshot.get("status", {})
            size = status.get("restoreSize")
            restored = None if size is None else quantity.to_bytes(size)
            ready = int(bool(status.get("readyToUse")))
            yield (metadata["namespace"], metadata["name"]), (ready, restored, status.get("diskBytes"))

    @staticmethod
    def families() -> Families:
        """Return the families, empty."""
        return (
            GaugeMetricFamily("runwright_volume_snapshot_ready", "1 if volumes can be made of it.", labels=_LABELS),
            GaugeMetricFamily(
                "runwright_volume_snapshot_restore_size_bytes", "The least size of a volume of it.", labels=_LABELS
            ),
            GaugeMetricFamily("runwright_volume_snapshot_disk_bytes", "What it takes of the disk.", labels=_LABELS),
        )
