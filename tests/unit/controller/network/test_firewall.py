"""The rules, read as a packet would."""

from ipaddress import IPv4Address, IPv4Network, ip_address, ip_network

import pytest

from api.types.network_rules import parse_egress, parse_ports
from controller.netlink.words import (
    Accept,
    Count,
    Destination,
    Drop,
    From,
    Into,
    Jump,
    Log,
    Masquerade,
    PairIn,
    Protocol,
    Redirect,
    Reject,
    Reset,
    Return,
    Source,
    Version,
    WasRedirected,
)
from controller.network.firewall import Guest, Published, Uplink, Wanted, chains, pairs_of, sets

PREFIX = "rwaaaab"
A = Wanted(f"{PREFIX}1", (IPv4Network("10.1.0.0/24"),), (IPv4Address("10.1.0.1"),))
B = Wanted(f"{PREFIX}2", (IPv4Network("10.2.0.0/24"),), (IPv4Address("10.2.0.1"),), (parse_egress("any:443"),))


def by_name(*networks, published=(), **more):
    return {chain.name: chain for chain in chains(networks, published, PREFIX, **more)}


@pytest.mark.invariant("N2")
def test_what_no_rule_lets_pass_is_refused_at_the_end_of_each_chain():
    made = by_name(A, B)

    for name in ("from-jobs", "to-jobs", "to-host", f"no-{A.bridge}", f"lost-{A.bridge}"):
        assert isinstance(made[name].rules[-1][-1], Drop | Reject), name
    for network in (A, B):
        assert made[f"of-{network.bridge}"].rules[-1] == (Jump(f"no-{network.bridge}"),)


@pytest.mark.invariant("N1")
def test_other_networks_and_the_link_are_refused_before_any_egress_is_looked_at():
    rules = by_name(B)[f"of-{B.bridge}"].rules
    let_out = next(at for at, rule in enumerate(rules) if rule[-1] == Accept() and not isinstance(rule[0], Into))
    refused = [rule for rule in rules[:let_out] if rule[-1] == Jump(f"no-{B.bridge}")]

    assert any(rule[0] == Into(PREFIX, prefix=True) for rule in refused)
    assert any(rule[0] == Destination(ip_network("169.254.0.0/16")) for rule in refused)


def test_a_network_without_egress_is_not_masqueraded():
    sources = [rule[0].network for rule in by_name(A, B)["outgoing"].rules if rule[-1] == Masquerade()]

    assert A.ranges[0] not in sources
    assert B.ranges[0] in sources


def test_peers_are_reached_on_the_ports_that_ingress_names():
    shop = Wanted(A.bridge, A.ranges, A.gateways, ingress=(parse_ports("5432"),))
    among = [rule for rule in by_name(shop)[f"of-{A.bridge}"].rules if rule[0] == Into(A.bridge)]

    assert [rule[-1] for rule in among] == [Accept(), Jump(f"no-{A.bridge}")]
    assert len(among[0]) == 4


@pytest.mark.parametrize("address", ["10.1.0.2", "fd00:1::2"])
def test_a_published_port_leads_to_its_run_from_anywhere_but_from_jobs(address):
    published = Published("tcp", 8080, ip_address(address), 80)
    made = by_name(A, published=(published,))

    for name in ("incoming", "own"):
        (rule,) = made[name].rules
        assert rule[0].inverted
        assert Version(published.address.version) in rule
        assert rule[-1] == Redirect(published.address, 80)


def test_what_is_for_the_loopback_or_a_link_of_ipv6_alone_is_not_led_on_as_no_answer_would_find_back():
    (rule,) = by_name(A, published=(Published("tcp", 8080, ip_address("fd00:1::2"), 80),))["own"].rules

    kept = [str(word.network) for word in rule if isinstance(word, Destination) and word.inverted]
    assert kept == ["::1/128", "fe80::/10"]


def test_by_a_link_that_passes_on_for_jobs_sake_nobody_else_comes_in_but_who_is_answered():
    made = by_name(A, guarded=(Uplink(4, "up0"), Uplink(6, "up0")))

    assert made["forward"].rules[2:] == tuple((From("up0"), Version(each), Jump("strangers")) for each in (4, 6))
    assert [rule[-1] for rule in made["strangers"].rules] == [Accept(), Accept(), Drop()]
    assert made["strangers"].rules[1][0] == WasRedirected()
    assert len(by_name(A)["forward"].rules) == 2


ONE, OTHER = IPv4Address("10.1.0.2"), IPv4Address("10.1.0.3")


def with_guests(network, *guests):
    return Wanted(network.bridge, network.ranges, network.gateways, network.egress, guests=guests)


def test_what_a_job_says_is_looked_at_before_what_its_network_says_and_only_goes_on_there():
    said = (parse_egress("db:5432"), parse_egress("peers:80"), parse_egress("10.0.0.0/8"), parse_egress("any:53/udp"))
    guests = Guest((ONE,), ("one",), said, (parse_ports("80"),)), Guest((OTHER,), ("other", "db"))
    made = by_name(with_guests(B, *guests))
    rules = made[f"of-{B.bridge}"].rules
    out, into = f"out-{B.bridge}-{ONE}", f"in-{B.bridge}-{ONE}"

    first_accept = next(at for at, rule in enumerate(rules) if rule[-1] == Accept())
    assert rules.index((Source(ip_network(ONE)), Jump(out))) < first_accept
    assert rules.index((Into(B.bridge), Destination(ip_network(ONE)), Jump(into))) < first_accept
    for name in (out, into):
        assert {rule[-1] for rule in made[name].rules} == {Return(), Jump(f"no-{B.bridge}")}
        assert made[name].rules[-1] == (Jump(f"no-{B.bridge}"),)
    to_db = [rule for rule in made[out].rules if Destination(ip_network(OTHER)) in rule]
    assert [rule[0] for rule in to_db] == [Into(B.bridge)]
    assert not any(str(OTHER) in name for name in made)


def test_a_peers_name_that_nobody_has_lets_nothing_pass():
    made = by_name(with_guests(B, Guest((ONE,), ("one",), (parse_egress("db"),))))

    assert made[f"out-{B.bridge}-{ONE}"].rules == ((Jump(f"no-{B.bridge}"),),)


def test_a_name_of_the_world_lets_pass_what_is_in_its_own_set():
    rule, other = parse_egress("a.example:443"), parse_egress("a.example:80")
    network = Wanted(A.bridge, A.ranges, A.gateways, (rule,), guests=(Guest((ONE,), (), (other,)),))
    made = by_name(network)

    (wanted,) = [each for each in made[f"of-{A.bridge}"].rules if isinstance(each[0], PairIn)]
    assert wanted[0] == PairIn(pairs_of(A.bridge, rule, 4), 4)
    assert wanted[-1] == Accept()
    assert {each.name for each in sets((network,))} == {pairs_of(A.bridge, each, 4) for each in (rule, other)}
    assert len({pairs_of(bridge, each, 4) for bridge in "ab" for each in (rule, other)}) == 4


def test_what_is_refused_is_counted_and_a_little_of_it_told():
    (tell, among, refuse), (tell_of_lost, lose) = (
        by_name(A, group=7)[name].rules for name in (f"no-{A.bridge}", f"lost-{A.bridge}")
    )

    assert tell[-1] == tell_of_lost[-1] == Log(7, A.bridge)
    assert refuse == (Count(), Reject())
    assert lose == (Count(), Drop())
    assert among == (Into(A.bridge), Protocol("tcp"), Count(), Reset())
    assert by_name(A)[f"no-{A.bridge}"].rules == (among, refuse)


def test_what_the_hosts_kernel_says_to_jobs_by_itself_is_no_connection_that_was_refused():
    rules = by_name(A)["output"].rules
    told = rules.index((Into(A.bridge), Jump(f"no-{A.bridge}")))
    dropped = [rule[2] for rule in rules[:told] if rule[:2] == (Into(PREFIX, prefix=True), Protocol("icmpv6"))
               and rule[-1] == Drop()]  # fmt: skip

    assert any(137 in range(each.first, each.last + 1) for each in dropped)  # Of a shorter way to a peer.
