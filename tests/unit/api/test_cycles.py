import pytest

from api import cycles


@pytest.mark.parametrize(
    ("waits_for", "cycle"),
    [
        ({"a": ["b"], "b": []}, ()),
        ({"a": ["a"]}, ("a", "a")),
        ({"a": ["b"], "b": ["a"]}, ("a", "b", "a")),
        ({"z": ["b"], "b": ["c"], "c": ["b"]}, ("b", "c", "b")),
        ({"a": ["b", "c"], "b": ["d"], "c": ["d"], "d": []}, ()),
        ({"a": ["b"], "b": ["c", "a"], "c": ["a"]}, ("a", "b", "a")),
        ({"a": ["nobody"]}, ()),
    ],
)
def test_the_first_ring_is_found_and_nothing_that_only_leads_into_one(waits_for, cycle):
    assert cycles.first(waits_for) == cycle


def test_one_ring_of_several_is_found():
    assert cycles.first({"a": ["b"], "b": ["c"], "c": ["b"], "d": ["d"]}) == ("b", "c", "b")


def test_a_long_chain_and_a_dense_lattice_are_no_work():
    chain = {f"j{number}": [f"j{number + 1}"] for number in range(20_000)} | {"j20000": []}
    dense = {f"j{number}": [f"j{other}" for other in range(number)] for number in range(300)}

    assert (cycles.first(chain), cycles.first(dense)) == ((), ())


def test_the_search_gives_up_after_so_many_looks():
    looked = []

    def waits_for(name):
        looked.append(name)
        return [f"{name}x"]

    assert cycles.through("a", waits_for, most=10) == ()
    assert len(looked) == 10
