"""The networks of this host as they are: their bridges, the one table of rules, what is on record of them in the store.

Invariant: the rules are made from all that is on record, never from a part of it, and are replaced in one piece; what
is found otherwise than it was left is made again. How they are kept in the kernel: `rules`.
"""

import contextlib
import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network, ip_address, ip_interface, ip_network
from pathlib import Path

from api.kinds import NETWORK
from api.meta import Document, ObjectKey
from api.types.network import Network, NetworkSpec
from api.types.network_rules import IpNetwork, parse_egress, parse_ports
from controller.engine.clock import Clock
from controller.netlink import links
from controller.network import addresses, firewall
from controller.network.firewall import Address, Guest, Published, Wanted
from controller.network.records import Led
from controller.network.rules import Rules, Ruling
from controller.network.uplinks import Uplinks

_ID_DIGITS = 4
_NAME_DIGITS = 8


class NoRouter(OSError):
    """This host does not pass packets on, and cannot be made to."""


class Switchboard:
    """Makes networks and their rules. Safe to use from several threads.

    Args:
        documents: all Networks on record.
        root: what tells this daemon's links and rules from those of others on the host.
        mark: what has the names of the links that we had pass packets on, gone with a restart of the host: `Uplinks`.
        published: the ports of runs on this host, as they are on record.
        guests: the runs in a network.
        may_leave: whether any network may have egress, whatever it says.
        resolvers: who is asked for names, beside those of the host: their addresses are no network's.
        group: where what is refused is told to; None tells nobody.
    """

    def __init__(
        self, root: str, documents: Callable[[], Iterable[Document]], mark: Path,
        published: Callable[[], Iterable[Published]],
        guests: Callable[[ObjectKey], Iterable[Guest]],
        clock: Clock,
        *,
        may_leave: bool = True,
        resolvers: tuple[str, ...] = (),
        group: int | None = None,
    ) -> None:  # fmt: skip
        digest = hashlib.sha256(root.encode()).hexdigest()
        self.root_id = digest
        self.prefix = self._prefix = f"rw{digest[:_ID_DIGITS]}"
        self._all = documents
        self._uplinks = Uplinks(mark)
        self._published = published
        self._guests = guests
        self._may_leave = may_leave
        self._group = group
        self._named_resolvers = tuple(map(ip_network, resolvers))
        self._clock = clock
        self._was_router_at: float | None = None
        self.rules = Rules(f"runwright-{digest[:8]}", self._wanted, clock, mark.with_name(f"{mark.name}-counts"))

    @property
    def bridge_prefix(self) -> str:
        """What the names of all our bridges begin with, and of no other link."""
        return f"{self._prefix}b"

    def bridge_of(self, uid: str) -> str:
        """Return the name of the bridge of the network of that uid."""
        return f"{self.bridge_prefix}{_short(uid)}"

    def link_of(self, run_id: str) -> str:
        """Return the name of the host's end of a run's link."""
        return f"{self._prefix}v{_short(run_id)}"

    def taken(self, but: str) -> tuple[IpNetwork, ...]:
        """Return the addresses that a network cannot have: of others on record, and those that the host has ways to.

        Args:
            but: the uid of the network that is to have them.

        Raises:
            OSError: the kernel refused.
        """
        own = self.bridge_of(but)
        others = [document for document in self._documents() if document["metadata"]["uid"] != but]
        on_record = [ip_network(document["status"]["cidr"]) for document in others]
        mine = links.find(own)
        kept = {ip_network(text, strict=False) for text in mine.addresses} if mine else set[IpNetwork]()
        ways = [way for way in links.routed() if not any(_within(way, each) for each in kept)]
        return (*on_record, *ways, *map(ip_network, host_resolvers()), *self._named_resolvers)

    def is_whole(self, network: Network) -> bool:
        """Whether the bridge is as it should be.

        Raises:
            OSError: the kernel refused.
        """
        found = links.find(self.bridge_of(network.meta.uid))
        if found is None or not found.is_up or not network.status.cidr:
            return False
        wanted = {str(each) for each in _interfaces(network.status.cidr, network.status.ipv6_cidr)}
        return found.addresses == wanted and links.passes_on(4, found.name)

    def is_ruled(self, network: Network, within_seconds: float) -> bool:
        """Whether the rules are those that are wanted, untouched; and this host passes packets on, if jobs may leave.

        What is not this network's alone is looked at once `within_seconds`, for all of them.

        Raises:
            OSError: the kernel refused.
        """
        if not self.rules.are_whole(self._wanted_of(network.model_dump(by_alias=True, mode="json")), within_seconds):
            return False
        return not network.spec.egress or self._is_router(within_seconds)

    def are_rules_untouched(self) -> bool:
        """Whether nobody has touched the rules since they were put there; not if that cannot be seen."""
        with contextlib.suppress(OSError):
            return self.rules.are_untouched()
        return False

    def is_there(self, uid: str) -> bool:
        """Whether there is anything of the network of that uid.

        Raises:
            OSError: the kernel refused.
        """
        return links.find(self.bridge_of(uid)) is not None

    def make(self, network: Network, cidr: IPv4Network, ports: Iterable[str]) -> None:
        """Have its bridge be there, with the links `ports` of runs that are in it.

        Raises:
            OSError: it cannot be made.
        """
        bridge = self.bridge_of(network.meta.uid)
        links.make_bridge(bridge, _interfaces(str(cidr), self.ipv6_of(network.meta.uid)))
        links.put_into(bridge, ports)

    def ipv6_of(self, uid: str) -> str:
        """Return the IPv6 addresses of a network; empty where this host has none to give."""
        return str(addresses.ipv6_of(f"{self.root_id}/{uid}")) if links.has_ipv6() else ""

    def remove(self, uid: str) -> None:
        """Remove the bridge of a network; it may be gone.

        Raises:
            OSError: the kernel refused.
        """
        links.remove(self.bridge_of(uid))

    def remove_link(self, run_id: str) -> None:
        """Remove the link of a run that has ended; it may be gone.

        Raises:
            OSError: the kernel refused.
        """
        links.remove(self.link_of(run_id))

    def put_rules(self) -> None:
        """Have the rules be those that are wanted, unless they are.

        Raises:
            OSError: the kernel refused, or this host cannot pass packets on.
        """
        self.rules.put()

    def refused(self, network: Network) -> int:
        """Return how many packets of and to its jobs were refused, those of before this daemon's start too."""
        of, to = firewall.chains_of(self.bridge_of(network.meta.uid))
        return self.rules.counted(of, network.status.refused) + self.rules.counted(to, 0)

    def gate_of(self, uid: str) -> "Gate":
        """Return what the jobs of a network may know and reach of the world."""
        return Gate(self.rules, self.bridge_of(uid))

    def be_a_router(self) -> None:
        """Have this host pass on what jobs send and are sent, and no more than it does anyway.

        Raises:
            NoRouter: it cannot be made to.
        """
        try:
            if self._uplinks.was_switched_as_a_whole():
                links.be_no_router()
                for bridge in links.names(self.bridge_prefix):
                    links.pass_on(4, bridge, on=True)
            if missing := self._uplinks.missing():
                self._uplinks.note(missing)
                self.put_rules()  # First: no packet of others may pass between.
                self._uplinks.switch(missing)
        except OSError as error:
            fix = "set net.ipv4.ip_forward to 1 yourself, or declare networks without egress"
            raise NoRouter(error.errno, f"cannot let jobs out of this host: {error}: {fix}") from error

    def _is_router(self, within_seconds: float) -> bool:
        now = self._clock.monotonic()
        if self._was_router_at is not None and now < self._was_router_at + within_seconds:
            return True
        missing = self._uplinks.missing()
        self._was_router_at = None if missing else now
        return not missing

    def clean(self) -> tuple[str, ...]:
        """Remove every link and all rules of this daemon, and let the host be as it was; return what was removed.

        Raises:
            OSError: something cannot be removed.
        """
        found = links.names(self._prefix)
        for name in found:
            links.remove(name)
        self.rules.remove(always=bool(found))
        self._uplinks.clean()
        return found

    def sweep(self, known_links: Callable[[], Iterable[str]]) -> tuple[str, ...]:
        """Remove bridges and links that nothing on record has; return which. Who has none is not asked what is known.

        Raises:
            OSError: the kernel refused.
        """
        there = links.names(self._prefix)
        if not there:
            return ()
        kept = {*known_links(), *(self.bridge_of(document["metadata"]["uid"]) for document in self._all())}
        strays = tuple(name for name in there if name not in kept)
        for name in strays:
            links.remove(name)
        return strays

    def _wanted(self) -> Ruling:
        networks = tuple(self._wanted_of(document) for document in self._documents())
        published = tuple(sorted(self._published(), key=_order_of_ports))
        made = firewall.chains(networks, published, self.bridge_prefix, self._uplinks.guarded(), group=self._group)
        return Ruling(made, firewall.sets(networks), networks)

    def _wanted_of(self, document: Document) -> Wanted:
        spec, status = NetworkSpec.model_validate(document.get("spec") or {}), document["status"]
        ranges = firewall.twin_ranges(status["cidr"], status.get("ipv6Cidr", ""))
        guests = self._guests(ObjectKey.of(document))
        return Wanted(
            bridge=self.bridge_of(document["metadata"]["uid"]),
            ranges=ranges,
            gateways=tuple(addresses.gateway(each) for each in ranges),
            egress=tuple(parse_egress(rule) for rule in spec.egress) if self._may_leave else (),
            ingress=None if spec.ingress is None else tuple(parse_ports(port) for port in spec.ingress),
            peers=spec.peers,
            guests=tuple(sorted(guests, key=lambda guest: str(guest.addresses[0]))),
        )

    def _documents(self) -> list[Document]:
        found = [each for each in self._all() if each.get("status", {}).get("cidr")]
        return sorted(found, key=lambda document: str(document["metadata"]["uid"]))


@dataclass(frozen=True, slots=True)
class Gate:
    """What the jobs of one network may know of the world, and reach of it."""

    rules: Rules
    bridge: str

    def may_ask(self, asker: Address, name: str) -> bool:
        """Say whether the world may be asked for the name."""
        return self.rules.may_ask(self.bridge, asker, name)

    def let_through(self, asker: Address, name: str, led: tuple[Led, ...]) -> None:
        """Let the job reach what it is about to be told.

        Raises:
            OSError: it cannot be let through.
        """
        self.rules.let_through(self.bridge, asker, name, led)


def name_servers(document: Document) -> tuple[str, ...]:
    """Return whom the jobs of a network ask for names."""
    status = document["status"]
    ranges = firewall.twin_ranges(status["cidr"], status.get("ipv6Cidr", ""))
    return (str(addresses.gateway(ranges[0])),)


def key_of(namespace: str, name: str) -> ObjectKey:
    """Return the key of a network."""
    return ObjectKey(NETWORK.name, namespace, name)


def _order_of_ports(port: Published) -> tuple[str, int, int]:
    return port.protocol, port.host_port, port.address.version


def _interfaces(cidr: str, ipv6_cidr: str) -> tuple[links.Interface, ...]:
    ranges = firewall.twin_ranges(cidr, ipv6_cidr)
    return tuple(ip_interface(f"{addresses.gateway(each)}/{each.prefixlen}") for each in ranges)


def host_resolvers() -> tuple[str, ...]:
    """Return the addresses that this host asks for names; none if it does not say."""
    try:
        words = Path("/etc/resolv.conf").read_text().split()
    except OSError:
        return ()
    asked = [words[at + 1] for at, word in enumerate(words[:-1]) if word == "nameserver"]
    return tuple(text for text in asked if is_address(text))


def _within(way: IpNetwork, network: IpNetwork) -> bool:
    with contextlib.suppress(TypeError):  # Of another version.
        return way.subnet_of(network)  # type: ignore[arg-type]
    return False


def _short(identity: str) -> str:
    return hashlib.sha256(identity.encode()).hexdigest()[:_NAME_DIGITS]


def is_address(text: str) -> bool:
    """Whether the text is an address."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
