"""Which addresses networks and runs get."""

from ipaddress import IPv4Address, IPv4Network, IPv6Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.network import addresses

SMALL = IPv4Network("10.0.0.0/29")


@pytest.mark.invariant("N4")
@given(st.sets(st.integers(2, 6)), st.integers(0, 7))
def test_an_address_is_given_to_one_only_and_as_long_as_there_are_any(taken, after):
    used = {SMALL[number] for number in taken}
    found = addresses.choose_address(SMALL, used, SMALL[after])

    assert (found is None) == (len(taken) == 5)
    if found is not None:
        assert found not in used
        assert SMALL[1] < found < SMALL[7]


def test_an_address_just_freed_is_given_last():
    given_, last = [], None
    for _ in range(6):
        last = addresses.choose_address(SMALL, (), last)
        given_.append(str(last)[-1])

    assert "".join(given_) == "234562"


def test_networks_of_a_pool_do_not_overlap_and_end():
    pool, taken = IPv4Network("10.0.0.0/28"), [IPv4Network("10.0.0.4/32")]
    first = addresses.choose_network(pool, 29, taken)

    assert first == IPv4Network("10.0.0.8/29")
    assert addresses.choose_network(pool, 29, [*taken, first]) is None
    assert addresses.overlapping(first, [IPv6Network("fd00::/8"), IPv4Network("10.0.0.0/8")]) == IPv4Network(
        "10.0.0.0/8"
    )


def test_a_run_has_the_same_number_in_both_versions():
    assert str(addresses.twin(IPv4Address("10.0.0.5"), SMALL, IPv6Network("fd00::/64"))) == "fd00::5"
