"""Metrics of networks, read from their statuses and their bridges at the moment of the scrape; nothing is sampled."""

from collections.abc import Callable, Iterable, Iterator
from ipaddress import IPv4Network

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from api.meta import Document, ObjectKey
from controller.netlink import links

_LABELS = ["namespace", "network"]


class NetworksCollector(Collector):
    """Runs, room, traffic and refusals of each network."""

    def __init__(
        self, networks: Callable[[], Iterable[Document]], users: Callable[[ObjectKey], tuple[str, ...]]
    ) -> None:
        """Read `networks()` each time; `users` tells whose runs are in one."""
        self._networks = networks
        self._users = users

    def describe(self) -> Iterable[Metric]:
        """Return the families without samples, so that registering reads nothing."""
        return self._families()

    def collect(self) -> Iterator[Metric]:
        """Yield the families with a sample for each network that has addresses."""
        families = self._families()
        there = [each for each in self._networks() if each.get("status", {}).get("cidr")]
        traffic = links.traffic(each["status"]["bridge"] for each in there) if there else {}
        for network in there:
            metadata, status = network["metadata"], network["status"]
            received, sent = traffic.get(status["bridge"], (None, None))
            runs = len(self._users(ObjectKey.of(network)))
            room = IPv4Network(status["cidr"]).num_addresses - 3  # Its own, the host's, and that of everybody.
            values = runs, room, status.get("refused", 0), received, sent
            for family, value in zip(families, values, strict=True):
                if value is not None:
                    family.add_metric([metadata["namespace"], metadata["name"]], value)
        yield from families

    @staticmethod
    def _families() -> tuple[GaugeMetricFamily | CounterMetricFamily, ...]:
        said = "as the host's end of it counts them."
        return (
            GaugeMetricFamily("runwright_network_runs", "Runs that are in it.", labels=_LABELS),
            GaugeMetricFamily("runwright_network_addresses", "How many runs it has room for.", labels=_LABELS),
            CounterMetricFamily("runwright_network_refused_packets", "Packets that were refused.", labels=_LABELS),
            CounterMetricFamily("runwright_network_received_bytes", f"Sent by its runs, {said}", labels=_LABELS),
            CounterMetricFamily("runwright_network_sent_bytes", f"Sent to its runs, {said}", labels=_LABELS),
        )
