"""Networks put together: the kind, what jobs get of them, who answers for names, and who notices what others change."""

import hashlib
from collections.abc import Callable
from ipaddress import IPv4Network

from prometheus_client import CollectorRegistry

from api.errors import AlreadyExists
from api.kinds import NETWORK
from api.meta import API_VERSION, ObjectKey
from api.objects.verbs import Verbs, WriteOptions
from api.types.network import BUILT_IN
from controller.daemon.network_settings import NetworkSettings
from controller.daemon.paths import Paths
from controller.engine.clock import Clock, SystemClock
from controller.job.networks import Networks
from controller.job.run_dirs import RunDirs
from controller.netlink.monitor import Monitor
from controller.netlink.refusals import RefusalLog
from controller.network.kind import NetworkKind, NetworkPolicy
from controller.network.metrics import NetworksCollector
from controller.network.refusals import Refusals
from controller.network.resolver import Resolver
from controller.network.switchboard import Switchboard
from state.store import Store

_MANAGER = "runwrightd"


class Networking:
    """All of the daemon that is about networks."""

    def __init__(
        self, settings: NetworkSettings, paths: Paths, store: Store, verbs: Verbs, clock: Clock, dirs: RunDirs,
        wake: Callable[[ObjectKey], None], registry: CollectorRegistry,
    ) -> None:  # fmt: skip
        """Put it together; `wake` has a network or a job looked at, `registry` is told of what is measured."""
        self._verbs = verbs
        self.refusals = Refusals(clock, lambda address: self.networks.at(address))
        self._refusal_log = _told_to(self.refusals, paths)
        self.networks = Networks(store, dirs, settings.defaults(), wake, self._create)
        self.networks.refusals = self.refusals
        self.networks.board = self._board = Switchboard(
            str(paths.root.resolve()), lambda: store.each(NETWORK.name), paths.run / "forwards",
            self.networks.published, self.networks.guests, clock,
            may_leave=settings.egress, resolvers=settings.resolvers,
            group=self._refusal_log.group if self._refusal_log else None,
        )  # fmt: skip
        self._store, self._wake = store, wake
        registry.register(NetworksCollector(lambda: store.each(NETWORK.name), self.networks.users))
        self._monitor = Monitor(self._board.bridge_prefix, self._look_again, self._look_at_rules)
        self._resolver = Resolver(servers=settings.resolvers)
        self.kind = NetworkKind(
            clock, self._board, _policy(settings), self.networks.users, self.networks.links,
            self._resolver, self.networks.named, self.refusals, wake,
        )  # fmt: skip

    def sweep(self) -> tuple[str, ...]:
        """Remove links that nobody knows, and say which; have the rules be there."""
        if self._store.keys(NETWORK.name):
            self._board.put_rules()
        return self._board.sweep(self.networks.all_links)

    def start(self) -> None:
        """Answer for names, and notice changes."""
        self._monitor.start()
        if self._refusal_log:
            self._refusal_log.start()
        self._resolver.start()

    def stop(self) -> None:
        """End both. Networks stay as they are, and so do their jobs."""
        self._monitor.stop()
        if self._refusal_log:
            self._refusal_log.stop()
        self._resolver.stop()

    def problems(self) -> dict[str, str]:
        """Return each thread of it with an empty string when it runs, else what is wrong with it."""
        parts: dict[str, Resolver | Monitor | RefusalLog] = {"names": self._resolver, "network-monitor": self._monitor}
        if self._refusal_log:
            parts["network-refusals"] = self._refusal_log
        ended = "its thread does not run: see the log, and restart the daemon"
        return {name: "" if part.is_alive() else ended for name, part in parts.items()}

    def _look_again(self) -> None:
        for key in self._store.keys(NETWORK.name):
            self._wake(key)

    def _look_at_rules(self) -> None:
        """Look once, for all networks: it may have been ourselves, or rules of somebody else's."""
        if not self._board.are_rules_untouched():
            self._look_again()

    def _create(self, namespace: str, name: str) -> None:
        document = {
            "apiVersion": API_VERSION, "kind": NETWORK.name, "metadata": {"name": name, "namespace": namespace},
            "spec": BUILT_IN[name],
        }  # fmt: skip
        try:
            self._verbs.create(NETWORK, namespace, document, WriteOptions(field_manager=_MANAGER))
        except AlreadyExists:
            return


def _told_to(refusals: Refusals, paths: Paths) -> RefusalLog | None:
    """Return what tells `refusals`; None where the kernel tells nobody, and only counts."""
    digest = hashlib.sha256(str(paths.root.resolve()).encode()).digest()
    try:
        return RefusalLog(int.from_bytes(digest[:2]) or 1, refusals.note)
    except OSError:
        return None


def _policy(settings: NetworkSettings) -> NetworkPolicy:
    allowed = tuple(IPv4Network(text) for text in settings.cidrs)
    return NetworkPolicy(IPv4Network(settings.pool), settings.prefix, allowed, may_leave=settings.egress)


def clean(paths: Paths) -> tuple[str, ...]:
    """Remove all links and rules of this root; return what was removed.

    Raises:
        OSError: something cannot be removed.
    """
    nobody: tuple[()] = ()
    root, mark = str(paths.root.resolve()), paths.run / "forwards"
    return Switchboard(root, tuple, mark, tuple, lambda _: nobody, SystemClock()).clean()
