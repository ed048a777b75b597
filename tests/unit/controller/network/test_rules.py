"""When the kernel's table of rules is read, when it is replaced, and what it has counted."""

from ipaddress import ip_address, ip_network

import pytest

from controller.netlink.words import Accept, Chain
from controller.network import rules as module
from controller.network.firewall import Guest, Wanted
from controller.network.rules import Rules, Ruling
from support.hand_clock import HandClock

EACH = 2.5


class Table:
    """A table as the kernel would have it; `looks` counts how often it was read, rule by rule."""

    def __init__(self, name):
        self.there, self.at, self.looks, self.next = {}, 1, 0, 1

    def changed_by_somebody(self):
        self.at += 1

    def generation(self):
        return self.at

    def look(self):
        self.looks += 1
        return dict(self.there)

    def replace(self, chains, sets=(), pairs=()):
        self.at += 1
        self.there = {}
        for chain in chains:
            for _ in chain.rules:
                self.there[chain.name, self.next] = 0
                self.next += 1

    def pairs(self):
        return ()

    def drop(self, pairs):
        self.changed_by_somebody()


def a_network(number, *guests):
    return Wanted(f"b{number}", (ip_network(f"10.1.{number}.0/24"),), (ip_address(f"10.1.{number}.1"),), guests=guests)


def a_ruling(*networks, rules=1):
    return Ruling(tuple(Chain(each.bridge, ((Accept(),),) * rules) for each in networks), (), networks)


class World:
    """Rules of three networks, put there; `wanted` may be set to others."""

    def __init__(self, counts):
        self.networks, self.counts = tuple(map(a_network, range(3))), counts
        self.wanted, self.clock = a_ruling(*self.networks), HandClock()
        self.begin()

    def begin(self):
        """Begin as a daemon does, on the table that one before it may have left."""
        left = self.table.there if hasattr(self, "table") else {}
        self.rules = Rules("t", lambda: self.wanted, self.clock, self.counts)
        self.table = self.rules._table
        self.table.there = left
        self.rules.put()
        self.table.looks = 0

    def are_whole(self):
        return [self.rules.are_whole(each, EACH) for each in self.networks]


@pytest.fixture
def world(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "Table", Table)
    return World(tmp_path / "counts")


def test_the_table_is_read_once_for_all_networks_however_many_look_at_it(world):
    assert world.are_whole() == [True] * 3
    for _ in range(5):
        world.rules.put()
        assert world.rules.are_untouched()
    assert world.table.looks == 1

    world.clock.advance(EACH)
    assert world.are_whole() == [True] * 3
    assert world.table.looks == 2


def test_rules_of_others_have_it_read_once_more(world):
    world.are_whole()
    world.table.changed_by_somebody()

    assert world.rules.are_untouched()
    assert world.are_whole() == [True] * 3
    assert world.table.looks == 2


@pytest.mark.invariant("N5")
def test_a_rule_that_somebody_removes_is_missed_at_once_and_made_again(world):
    world.are_whole()
    world.table.there.popitem()
    world.table.changed_by_somebody()

    assert not world.rules.are_untouched()
    assert world.are_whole() == [False] * 3
    world.rules.put()
    assert len(world.table.there) == 3
    assert world.are_whole() == [True] * 3


@pytest.mark.invariant("N5")
def test_what_is_wanted_of_a_network_is_seen_by_itself_at_once_and_by_all_in_time(world):
    world.are_whole()
    own = a_network(0, Guest((ip_address("10.1.0.2"),)))
    world.wanted = a_ruling(own, *world.networks[1:], rules=2)

    assert not world.rules.are_whole(own, EACH)
    assert world.rules.are_whole(world.networks[1], EACH)
    world.clock.advance(EACH)
    assert not world.rules.are_whole(world.networks[1], EACH)


def test_who_is_forgotten_has_all_of_it_looked_at_by_the_next(world):
    world.wanted = Ruling(world.wanted.chains, ("names",), world.networks)
    world.rules.put()
    world.are_whole()
    world.rules.forget([ip_address("10.1.0.2")])
    world.wanted = a_ruling(*world.networks, rules=2)

    assert not world.rules.are_whole(world.networks[0], EACH)


@pytest.mark.invariant("N8")
def test_what_was_counted_is_looked_at_for_all_in_time_whatever_else_happens(world):
    chain, number = next(iter(world.table.there))
    assert world.rules.counted(chain, 5) == 5
    world.are_whole()
    world.table.there[chain, number] = 7
    for _ in range(3):
        world.clock.advance(EACH / 2)
        world.rules.put()
        world.are_whole()

    assert world.rules.counted(chain, 0) == 12


@pytest.mark.invariant("N8")
def test_what_was_counted_since_the_last_look_is_not_lost_when_rules_are_replaced(world):
    (chain, number), *_ = world.table.there
    assert world.rules.counted(chain, 5) == 5
    world.table.there[chain, number] = 7
    world.wanted = a_ruling(*world.networks, rules=2)
    world.rules.put()
    assert world.rules.counted(chain, 5) == 12

    (chain, number), *_ = world.table.there
    world.table.there[chain, number] = 3
    world.are_whole()
    world.table.there.popitem()
    world.table.changed_by_somebody()
    world.rules.put()
    assert world.rules.counted(chain, 5) == 15


@pytest.mark.invariant("N8")
def test_nor_before_anybody_has_asked_or_when_the_kernel_refuses(world, monkeypatch):
    (chain, number), *_ = world.table.there
    world.table.there[chain, number] = 7

    def refuse(*_):
        raise OSError("no")

    with monkeypatch.context() as patched:
        patched.setattr(world.table, "replace", refuse)
        world.wanted = a_ruling(*world.networks, rules=2)
        with pytest.raises(OSError, match="no"):
            world.rules.put()
    world.table.there[chain, number] = 8
    world.rules.put()

    assert world.rules.counted(chain, 5) == 13


@pytest.mark.invariant("N8")
def test_nor_what_is_counted_between_the_last_status_and_the_next_daemons_rules(world):
    (chain, number), *_ = world.table.there
    assert world.rules.counted(chain, 5) == 5  # This is what a status has.
    world.table.there[chain, number] = 7

    world.begin()
    assert world.rules.counted(chain, 5) == 12
    (chain, number), *_ = world.table.there
    world.table.there[chain, number] = 1
    world.begin()  # Before anybody asked this one, as its other networks were asked of.
    world.begin()
    assert world.rules.counted(chain, 5) == 13


@pytest.mark.invariant("N8")
def test_counts_that_are_gone_or_not_to_be_read_leave_what_the_status_had(world):
    (chain, number), *_ = world.table.there
    assert world.rules.counted(chain, 5) == 5
    world.table.there[chain, number] = 7

    for said in ("", "[1]", '{"b0": "x"}'):
        world.counts.write_text(said)
        world.begin()
        assert world.rules.counted(chain, 5) == 5
    world.counts.unlink()
    world.table.there = {}  # As when the host was restarted.
    world.begin()
    assert world.rules.counted(chain, 5) == 5
