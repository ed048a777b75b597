"""Metrics of networks, read from their statuses and their bridges at the moment of the scrape; nothing is sampled."""

from collections.abc import Callable, Iterable, Iterator
from ipaddress import IPv4Network

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from api.meta import Document, ObjectKey
from controller.engine.scraped import Families, Sample, ScrapedCollector
from controller.netlink import links

_LABELS = ["namespace", "network"]


class NetworksCollector(ScrapedCollector):
    """Runs, room, traffic and refusals of each network."""

    def __init__(
        self, networks: Callable[[], Iterable[Document]], users: Callable[[ObjectKey], tuple[str, ...]]
    ) -> None:
        """Read `networks()` each time; `users` tells whose runs are in one."""
        self._networks = networks
        self._users = users

    def samples(self) -> Iterator[Sample]:
        """Yield those of each network that has addresses."""
        there = [each for each in self._networks() if each.get("status", {}).get("cidr")]
        traffic = links.traffic(each["status"]["bridge"] for each in there) if there else {}
        for network in there:
            metadata, status = network["metadata"], network["status"]
            received, sent = traffic.get(status["bridge"], (None, None))
            runs = len(self._users(ObjectKey.of(network)))
            room = IPv4Network(status["cidr"]).num_addresses - 3  # Its own, the host's, and that of everybody.
            yield (metadata["namespace"], metadata["name"]), (runs, room, status.get("refused", 0), received, sent)

    @staticmethod
    def families() -> Families:
        """Return the families, empty."""
        said = "as the host's end of it counts them."
        return (
            GaugeMetricFamily("runwright_network_runs", "Runs that are in it.", labels=_LABELS),
            GaugeMetricFamily("runwright_network_addresses", "How many runs it has room for.", labels=_LABELS),
            CounterMetricFamily("runwright_network_refused_packets", "Packets that were refused.", labels=_LABELS),
            CounterMetricFamily("runwright_network_received_bytes", f"Sent by its runs, {said}", labels=_LABELS),
            CounterMetricFamily("runwright_network_sent_bytes", f"Sent to its runs, {said}", labels=_LABELS),
        )
