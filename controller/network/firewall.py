"""Who may reach whom, as packet rules: of all networks of a daemon together. Pure.

Every packet between two jobs, and between a job and anything else, passes through the host (ports of bridges are
isolated from each other), so all of it is decided here. What is not allowed is refused and counted.
What a single job says narrows that: it is looked at first, and what passes there goes on to what its network says.
Invariant: a job reaches its peers and what `egress` says; its peers reach it, and others by ports that it publishes.
"""

import hashlib
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

from api.types.network_rules import Egress, IpNetwork, Ports
from controller.netlink.words import (
    Accept,
    Chain,
    Count,
    Destination,
    Drop,
    From,
    Hook,
    IcmpType,
    InState,
    Into,
    Jump,
    Limit,
    Log,
    Masquerade,
    PairIn,
    Pairs,
    Port,
    Protocol,
    Redirect,
    Reject,
    Reset,
    Return,
    Source,
    State,
    ToThisHost,
    Version,
    WasRedirected,
    Word,
)

_OURS_FIRST = -5
"""Before the host's own filter, at 0: what is dropped here stays so, and what is accepted here it may still drop."""
_DESTINATION_NAT, _SOURCE_NAT = -100, 100
_DNS = 53
_NEIGHBOURS = IcmpType(135, 136)
_NEVER = tuple(
    ip_network(text)
    for text in ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3", "fe80::/10", "ff00::/8", "::/127",
                 "fd00:ec2::254/128", "64:ff9b::a9fe:0/112", "64:ff9b::7f00:0/104")
)  # fmt: skip
"""Where no egress leads: this host, its link, everybody at once, and what clouds tell a machine of itself."""
_EVERYBODY = tuple(ip_network(text) for text in ("224.0.0.0/4", "ff00::/8"))
_STAYS = tuple(ip_network(text) for text in ("::1/128", "fe80::/10"))
"""Of IPv6 what is for these leaves no link for another, nor does an answer find back: it is refused and not led on.

Source: rt6_need_strict() in net/ipv6/route.c; ip6_forward().
"""
_KNOWN = InState(State.ESTABLISHED | State.RELATED)
_CHATTER = ((130, 134), (137, 137), (143, 143))
"""What kernels say to their links by themselves: who listens to what, is there a router, or a shorter way. Nobody asked
for it."""
_TOLD_EACH_SECOND, _TOLD_AT_ONCE = 20, 40

Address = IPv4Address | IPv6Address
Rule = tuple[Word, ...]


@dataclass(frozen=True, slots=True)
class Wanted:
    """One network as its rules need it: `gateways` are the host's addresses in it, `ranges` all of its addresses."""

    bridge: str
    ranges: tuple[IpNetwork, ...]
    gateways: tuple[Address, ...]
    egress: tuple[Egress, ...] = ()
    ingress: tuple[Ports, ...] | None = None
    peers: bool = True
    guests: tuple["Guest", ...] = ()


@dataclass(frozen=True, slots=True)
class Guest:
    """One run in a network: `names` are what peers call it; rules of its job are None where it has none."""

    addresses: tuple[Address, ...]
    names: tuple[str, ...] = ()
    egress: tuple[Egress, ...] | None = None
    ingress: tuple[Ports, ...] | None = None


@dataclass(frozen=True, slots=True)
class Published:
    """A port of this host, by one version of its addresses, that leads to one of a run."""

    protocol: str
    host_port: int
    address: Address
    port: int


@dataclass(frozen=True, slots=True)
class Uplink:
    """A link of the host's own that passes on what comes in by it, of one version of IP."""

    version: int
    name: str


def chains(
    networks: tuple[Wanted, ...],
    published: tuple[Published, ...],
    prefix: str,
    guarded: tuple[Uplink, ...] = (),
    *,
    group: int | None = None,
) -> tuple[Chain, ...]:
    """Return all chains; `prefix` begins the names of all our bridges, and of no other link.

    By the links that are `guarded`, as they pass packets on for jobs' sake, nobody else comes in but who is answered.
    Who listens to `group` is told what is refused, a little of it.
    """
    ours_in, ours_out = From(prefix, prefix=True), Into(prefix, prefix=True)
    known: tuple[Rule, ...] = ((InState(State.INVALID), Drop()), (_KNOWN, Accept()))
    strangers = tuple((From(each.name), Version(each.version), Jump("strangers")) for each in guarded)
    return (
        *(chain for network in networks for chain in _refusals(network, group)),
        *(chain for network in networks for chain in _guests(network)),
        *(_of(network, ours_out) for network in networks),
        Chain("from-jobs", (*known, *((From(one.bridge), Jump(_name(one))) for one in networks), (Count(), Drop()))),
        Chain("to-jobs", (
            *known, (WasRedirected(), Accept()), *((Into(one.bridge), Jump(_lost(one))) for one in networks), (Drop(),),
        )),
        Chain("to-host", (
            *known, *_chatter(), *(rule for one in networks for rule in _host_of(one)), (Count(), Reject()),
        )),
        # Those of others who have this host answer for them, as another daemon of ours, or an engine of containers.
        Chain("strangers", ((_KNOWN, Accept()), (WasRedirected(), Accept()), (Drop(),))),
        Chain(
            "forward",
            ((ours_in, Jump("from-jobs")), (ours_out, Jump("to-jobs")), *strangers),
            hook=Hook.FORWARD, priority=_OURS_FIRST,
        ),
        Chain("input", ((ours_in, Jump("to-host")),), hook=Hook.INPUT, priority=_OURS_FIRST),
        Chain("output", _from_host(networks, ours_out), hook=Hook.OUTPUT, priority=_OURS_FIRST),
        Chain("incoming", _redirects(published, prefix), "nat", Hook.PREROUTING, _DESTINATION_NAT),
        Chain("own", _redirects(published, prefix), "nat", Hook.OUTPUT, _DESTINATION_NAT),
        Chain("outgoing", _masquerades(networks, prefix), "nat", Hook.POSTROUTING, _SOURCE_NAT),
    )  # fmt: skip


def sets(networks: tuple[Wanted, ...]) -> tuple[Pairs, ...]:
    """Return the sets that the rules with names look into: of who asked for the name, and what it was told."""
    wanted = {
        Pairs(pairs_of(network.bridge, rule, each.version), each.version): None
        for network in networks
        for rule in named_rules(network)
        for each in network.ranges
    }
    return tuple(wanted)


def named_rules(network: Wanted) -> tuple[Egress, ...]:
    """Return the rules of a network and of its guests that name something of the world."""
    of_guests = (rule for guest in network.guests for rule in guest.egress or ())
    return tuple(rule for rule in (*network.egress, *of_guests) if is_of_the_world(rule.name))


def is_of_the_world(name: str) -> bool:
    """Whether others know the name; one without a dot is a peer's."""
    return "." in name


def pairs_of(bridge: str, rule: Egress, version: int) -> str:
    """Return the name of the set of a rule: another for another name and other ports, to outlive no rule."""
    digest = hashlib.sha256(f"{rule.name} {rule.ports}".encode()).hexdigest()[:12]
    return f"led-{bridge}-{digest}-{version}"


def _from_host(networks: tuple[Wanted, ...], ours_out: Into) -> tuple[Rule, ...]:
    """Return what of this host reaches jobs: answers, ports that they publish, and that something was refused."""
    return (
        (ours_out, _KNOWN, Accept()),
        (ours_out, WasRedirected(), Accept()),
        (ours_out, Protocol("icmpv6"), _NEIGHBOURS, Accept()),
        (ours_out, Protocol("icmpv6"), IcmpType(1, 4), Accept()),
        (ours_out, Protocol("icmp"), IcmpType(3, 3), Accept()),
        *((ours_out, Destination(each), Drop()) for each in _EVERYBODY),
        *((ours_out, *rule) for rule in _chatter()),  # That peers are nearer than this host, above all: they are not.
        *((Into(one.bridge), Jump(_refused(one))) for one in networks),
        (ours_out, Reject()),
    )


def _chatter() -> tuple[Rule, ...]:
    return tuple((Protocol("icmpv6"), IcmpType(*types), Drop()) for types in _CHATTER)


def chains_of(bridge: str) -> tuple[str, str]:
    """Return the names of the chains that count what is refused of and to the jobs of a network."""
    return f"no-{bridge}", f"lost-{bridge}"


def _name(network: Wanted) -> str:
    return f"of-{network.bridge}"


def _refused(network: Wanted) -> str:
    return chains_of(network.bridge)[0]


def _lost(network: Wanted) -> str:
    return chains_of(network.bridge)[1]


def _refusals(network: Wanted, group: int | None) -> tuple[Chain, Chain]:
    """Return what becomes of what is refused: it is counted, told, and its sender is answered; or lost, if forged.

    Among peers TCP is answered by TCP: of ICMP the host has so much for each neighbour, and spends it on telling
    them of a shorter way, where net.ipv4.conf.all.send_redirects is true, as it is by default.
    """
    tell: tuple[Rule, ...] = ()
    if group is not None:
        tell = ((Limit(_TOLD_EACH_SECOND, _TOLD_AT_ONCE), Log(group, network.bridge)),)
    return (
        Chain(
            _refused(network),
            (*tell, (Into(network.bridge), Protocol("tcp"), Count(), Reset()), (Count(), Reject())),
        ),
        Chain(_lost(network), (*tell, (Count(), Drop()))),
    )


def _of(network: Wanted, ours_out: Into) -> Chain:
    """Return what becomes of new connections from jobs of a network."""
    refuse: Rule = (Jump(_refused(network)),)
    forged = tuple((Source(each, inverted=True), Jump(_lost(network))) for each in network.ranges)
    no_version = () if len(network.ranges) > 1 else ((Version(6), Jump(_lost(network))),)
    never = tuple((Destination(each), *refuse) for each in _NEVER)
    allowed = tuple(rule for one in network.egress for rule in _allowed(network, one, Accept()))
    return Chain(
        _name(network),
        (*forged, *no_version, *_to_guests(network), *_peers(network), (ours_out, *refuse), *never, *allowed, refuse),
    )


def _to_guests(network: Wanted) -> tuple[Rule, ...]:
    """Return the ways to what single jobs say of what they reach, and of who reaches them."""
    out = tuple(
        (Source(ip_network(address)), Jump(_own(network, guest, "out")))
        for guest in network.guests
        if guest.egress is not None
        for address in guest.addresses
    )
    into = tuple(
        (Into(network.bridge), Destination(ip_network(address)), Jump(_own(network, guest, "in")))
        for guest in network.guests
        if guest.ingress is not None
        for address in guest.addresses
    )
    return (*out, *into)


def _guests(network: Wanted) -> tuple[Chain, ...]:
    refuse: Rule = (Jump(_refused(network)),)
    made: list[Chain] = []
    for guest in network.guests:
        if guest.egress is not None:
            may = tuple(rule for one in guest.egress for rule in _allowed(network, one, Return()))
            made.append(Chain(_own(network, guest, "out"), (*may, refuse)))
        if guest.ingress is not None:
            may = tuple((*_ports(each), Return()) for each in guest.ingress)
            made.append(Chain(_own(network, guest, "in"), (*may, refuse)))
    return tuple(made)


def _own(network: Wanted, guest: Guest, way: str) -> str:
    return f"{way}-{network.bridge}-{guest.addresses[0]}"


def _peers(network: Wanted) -> tuple[Rule, ...]:
    among, refuse = Into(network.bridge), Jump(_refused(network))
    if not network.peers:
        return ((among, refuse),)
    if network.ingress is None:
        return ((among, Accept()),)
    return (*((among, *_ports(each), Accept()) for each in network.ingress), (among, refuse))


def _allowed(network: Wanted, rule: Egress, then: Word) -> tuple[Rule, ...]:
    """Return what a rule lets pass: by a peer's name what is called so now, by another what the job was told of it."""
    ports = _ports(rule.ports) if rule.ports is not None else ()
    if rule.peers:
        return ((Into(network.bridge), *ports, then),)
    if rule.to is not None:
        return ((Destination(rule.to), *ports, then),)
    if not rule.name:
        return ((*ports, then),)
    if not is_of_the_world(rule.name):
        called = (address for guest in network.guests if rule.name in guest.names for address in guest.addresses)
        return tuple((Into(network.bridge), Destination(ip_network(each)), *ports, then) for each in called)
    versions = (each.version for each in network.ranges)
    return tuple((PairIn(pairs_of(network.bridge, rule, each), each), *ports, then) for each in versions)


def _ports(ports: Ports) -> Rule:
    return Protocol(ports.protocol), Port(ports.first, ports.last)


def _host_of(network: Wanted) -> tuple[Rule, ...]:
    """Return what of this host the jobs of a network reach: who answers for names, and how to reach anybody at all."""
    asked = tuple(
        (
            From(network.bridge),
            Source(_range_of(network, address)),
            Destination(ip_network(address)),
            Protocol(protocol),
            Port(_DNS, _DNS),
            Accept(),
        )
        for address in network.gateways
        for protocol in ("udp", "tcp")
    )
    neighbours: Rule = (From(network.bridge), Protocol("icmpv6"), _NEIGHBOURS, Accept())
    return (*asked, neighbours, (From(network.bridge), Jump(_refused(network))))


def _range_of(network: Wanted, address: Address) -> IpNetwork:
    return next(each for each in network.ranges if each.version == address.version)


def _redirects(published: tuple[Published, ...], prefix: str) -> tuple[Rule, ...]:
    others = From(prefix, prefix=True, inverted=True)
    own = {4: (), 6: tuple(Destination(each, inverted=True) for each in _STAYS)}
    return tuple(
        (others, Version(each.address.version), ToThisHost(), *own[each.address.version],
         Protocol(each.protocol), Port(each.host_port, each.host_port), Redirect(each.address, each.port))
        for each in published
    )  # fmt: skip


def _masquerades(networks: tuple[Wanted, ...], prefix: str) -> tuple[Rule, ...]:
    outside = Into(prefix, prefix=True, inverted=True)
    leaving = tuple(
        (Source(each), outside, Masquerade()) for network in networks if network.egress for each in network.ranges
    )
    return (*leaving, (Source(IPv4Network("127.0.0.0/8")), Into(prefix, prefix=True), Masquerade()))


def twin_ranges(cidr: str, ipv6_cidr: str) -> tuple[IpNetwork, ...]:
    """Return the ranges of a network as its status has them."""
    second = (IPv6Network(ipv6_cidr),) if ipv6_cidr else ()
    return (IPv4Network(cidr), *second)
