"""Which devices a run gets, and what is said where there are too few."""

import pytest

from controller.devices import cdi
from controller.devices.allocation import Chosen, Short, Taken, choose
from controller.devices.inventory import Inventory, merge
from controller.devices.sharing import nothing_there
from support.cdi import KIND, a_device, a_node, a_spec

OTHER = "other.com/x"


def an_inventory(*names, kind=KIND, nodes="/dev/{}"):
    devices = [a_device(name, a_node("/dev/x", nodes.format(name))) for name in names]
    return merge([[cdi.parse(a_spec(*devices, kind=kind), f"/etc/cdi/{kind.replace('/', '-')}.json")]])


def both(one, other):
    return Inventory({**one.devices, **other.devices}).on_host(nothing_there)


def taken(inventory, holders):
    """What is held by these names, as what it is in `inventory`."""
    return [Taken(name, inventory.nodes.get(name, frozenset()), who) for name, who in holders.items()]


def q(*names, kind=KIND):
    return tuple(f"{kind}={name}" for name in names)


def test_the_first_free_ones_are_chosen_always_in_the_same_order():
    inventory = an_inventory("2", "10", "0", "1")

    assert choose({KIND: 2}, inventory, []) == Chosen(q("0", "1"))
    assert choose({KIND: 2}, inventory, taken(inventory, {q("0")[0]: "job/x"})) == Chosen(q("1", "2"))


def test_nothing_is_chosen_where_nothing_is_wanted():
    assert choose({}, an_inventory("0"), []) == choose({KIND: 0}, Inventory(), []) == Chosen()


def test_all_that_is_wanted_is_chosen_or_nothing():
    inventory = both(an_inventory("0", "1"), an_inventory("a", kind=OTHER, nodes="/dev/other/{}"))

    assert choose({KIND: 2, OTHER: 1}, inventory, []) == Chosen((*q("0", "1"), *q("a", kind=OTHER)))
    found = choose({KIND: 2, OTHER: 1}, inventory, taken(inventory, {q("a", kind=OTHER)[0]: "job/x"}))
    assert found == Short(OTHER, 1, 0, 1, ("job/x",))


def test_who_waits_is_told_of_how_many_there_are_and_who_has_them():
    inventory = an_inventory("0", "1", "2", "3")
    held = {q("0")[0]: "job/default/x", q("1")[0]: "job/default/y", q("3")[0]: "job/default/x"}

    found = choose({KIND: 2}, inventory, taken(inventory, held))

    assert str(found) == f"2 of {KIND} wanted, 1 free of 4, held by job/default/x, job/default/y"


def test_only_some_holders_are_named_where_there_are_many():
    inventory = an_inventory(*(str(n) for n in range(8)))
    held = {q(str(n))[0]: f"job/default/{n}" for n in range(8)}

    found = choose({KIND: 1}, inventory, taken(inventory, held))

    assert str(found).endswith(
        ", held by job/default/0, job/default/1, job/default/2, job/default/3, job/default/4, 3 more"
    )


def test_a_device_that_is_held_by_its_second_name_is_not_free():
    one, other = a_device("0", a_node("/dev/a")), a_device("uuid", a_node("/dev/a"))
    inventory = merge([[cdi.parse(a_spec(one, other), "/etc/cdi/a.json")]])

    found = choose({KIND: 1}, inventory, taken(inventory, {q("uuid")[0]: "job/x"}))
    assert found == Short(KIND, 1, 0, 1, ("job/x",))


def test_one_device_of_two_kinds_is_given_once():
    inventory = both(an_inventory("0"), an_inventory("zero", kind=OTHER, nodes="/dev/0"))

    found = choose({KIND: 1}, inventory, taken(inventory, {q("zero", kind=OTHER)[0]: "job/x"}))
    assert found == Short(KIND, 1, 0, 1, ("job/x",))
    assert choose({KIND: 1, OTHER: 1}, inventory, []) == Short(OTHER, 1, 0, 1)


def of_nodes(kind=KIND, **nodes):
    """An inventory with devices of these nodes: `p="g0 g1"`."""
    devices = [
        a_device(name, *(a_node(f"/dev/x/{n}", f"/dev/{n}") for n in own.split())) for name, own in nodes.items()
    ]
    return merge([[cdi.parse(a_spec(*devices, kind=kind), f"/etc/cdi/{kind.replace('/', '-')}.json")]])


@pytest.mark.parametrize(("held", "wanted"), [("p", "g"), ("g", "p")])
def test_a_device_of_which_a_part_is_held_is_not_free_nor_a_part_of_one_that_is_held(held, wanted):
    kinds = {"p": of_nodes("v.com/pair", p="g0 g1"), "g": of_nodes("v.com/gpu", g="g0")}
    inventory = both(kinds["p"], kinds["g"])
    name = {"p": "v.com/pair=p", "g": "v.com/gpu=g"}[held]
    kind = {"p": "v.com/pair", "g": "v.com/gpu"}[wanted]

    assert choose({kind: 1}, inventory, taken(inventory, {name: "job/x"})) == Short(kind, 1, 0, 1, ("job/x",))
    assert isinstance(choose({"v.com/pair": 1, "v.com/gpu": 1}, inventory, []), Short)


def test_a_device_that_is_held_is_not_free_by_another_name_of_a_spec_written_since():
    then, now = of_nodes(a="g0", b="g1"), of_nodes(**{"GPU-aa": "g0", "GPU-bb": "g1"})

    assert choose({KIND: 1}, now, taken(then, {q("a")[0]: "job/x"})) == Chosen(q("GPU-bb"))
    assert choose({KIND: 2}, now, taken(then, {q("a")[0]: "job/x"})) == Short(KIND, 2, 1, 2, ("job/x",))


def test_what_nobody_can_have_is_passed_over_and_is_in_nobodys_way():
    inventory = both(of_nodes(a="g0", b="g1"), of_nodes(OTHER, zero="g0"))

    assert choose({KIND: 1, OTHER: 1}, inventory, [], q("a")) == Chosen((*q("b"), *q("zero", kind=OTHER)))


def test_what_is_held_and_not_declared_any_more_takes_nothing_away():
    held = [Taken(q("gone")[0], frozenset({"c9:9"}), "job/x")]

    assert choose({KIND: 1}, an_inventory("0"), held) == Chosen(q("0"))


def test_a_kind_that_is_not_there_and_more_than_there_ever_are_can_be_told():
    none, many = choose({OTHER: 1}, an_inventory("0"), []), choose({KIND: 2}, an_inventory("0"), [])

    assert (none.is_absent, many.is_absent, many.is_too_many) == (True, False, True)
