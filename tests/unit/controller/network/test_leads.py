"""Who may ask for names, and what that lets through."""

from ipaddress import ip_address, ip_network

import pytest

from api.types.network_rules import parse_egress
from controller.network import firewall, leads
from controller.network.firewall import Guest, Wanted
from controller.network.leads import Leads, TooManyNames
from controller.network.records import Led
from support.hand_clock import HandClock

ONE, OTHER = ip_address("10.1.0.2"), ip_address("10.1.0.3")
SIX = ip_address("fd00::2")


def a_network(*egress: str, own: tuple[str, ...] | None = None) -> Wanted:
    said = None if own is None else tuple(map(parse_egress, own))
    return Wanted(
        "rwb1",
        (ip_network("10.1.0.0/24"), ip_network("fd00::/64")),
        (ip_address("10.1.0.1"),),
        tuple(map(parse_egress, egress)),
        guests=(Guest((ONE, SIX), ("one",), said), Guest((OTHER,), ("other",))),
    )


@pytest.mark.parametrize(
    ("network", "own", "may"),
    [
        (("any:443",), None, True),
        (("a.example:443",), None, True),
        (("b.example",), None, False),
        (("10.0.0.0/8",), None, False),
        ((), ("any",), False),
        (("any",), (), False),
        (("any",), ("a.example",), True),
        (("a.example",), ("any:443",), True),
        (("b.example",), ("a.example",), False),
        (("any",), ("peers", "10.0.0.0/8"), False),
    ],
)
def test_a_name_is_asked_for_where_network_and_job_both_let_it_out(network, own, may):
    assert leads.may_ask(a_network(*network, own=own), ONE, "a.example") is may


def test_who_is_in_no_run_asks_for_nothing():
    assert not leads.may_ask(a_network("any"), ip_address("10.1.0.9"), "a.example")


def test_what_was_told_to_one_is_let_through_for_that_one_by_each_rule_of_the_name():
    network = a_network("a.example:443", "any:80", own=("a.example", "b.example"))

    found = leads.pairs(network, ONE, "a.example", [Led(ip_address("192.0.2.1"), 5), Led(ip_address("2001:db8::1"), 6)])

    rules = [parse_egress("a.example:443"), parse_egress("a.example")]
    assert [(each.pairs, each.packed, each.milliseconds) for each in found] == [
        (firewall.pairs_of("rwb1", rule, version), source.packed + ip_address(to).packed, seconds * 1000)
        for rule in rules
        for version, source, to, seconds in ((4, ONE, "192.0.2.1", 5), (6, SIX, "2001:db8::1", 6))
    ]
    assert leads.pairs(network, OTHER, "b.example", [Led(ip_address("192.0.2.1"), 5)]) == ()


def test_a_job_that_asks_for_too_much_gets_no_more_and_others_do():
    clock = HandClock()
    taken = Leads(clock)
    several = [Led(ip_address(int(ip_address("192.0.2.0")) + number), 60) for number in range(leads.MOST_OF_ONE)]
    network = a_network("a.example")
    taken.take(ONE, leads.pairs(network, ONE, "a.example", several))
    more = leads.pairs(network, ONE, "a.example", [Led(ip_address("198.51.100.1"), 60)])

    with pytest.raises(TooManyNames):
        taken.take(ONE, more)
    taken.take(OTHER, leads.pairs(network, OTHER, "a.example", several[:1]))
    clock.advance(61)
    taken.take(ONE, more)
    assert leads.belongs_to(more[0], [ONE])
    assert not leads.belongs_to(more[0], [OTHER, SIX])
