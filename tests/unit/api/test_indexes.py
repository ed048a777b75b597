import pytest

from api.indexes import Indexes


@pytest.mark.parametrize("text", ["", "0", "0-3,5", "7-7", "1,3,5-9"])
def test_indexes_are_printed_as_they_were_read(text):
    assert str(Indexes.parse(text)) == text.replace("7-7", "7")


@pytest.mark.parametrize("text", ["3-1", "a", "-1", "1,,2", "1-", "0x1"])
def test_what_is_no_set_of_indexes_is_refused(text):
    with pytest.raises(ValueError, match=r"indexes|invalid literal"):
        Indexes.parse(text)


def test_ranges_that_touch_become_one():
    assert str(Indexes.parse("0-1,4") | Indexes.of([2, 3, 9])) == "0-4,9"


def test_membership_and_size_are_those_of_the_numbers():
    some = Indexes.parse("2-4,8")

    assert [number for number in range(10) if number in some] == [2, 3, 4, 8]
    assert len(some) == 4


def test_what_lacks_is_found_in_order_up_to_an_end():
    assert list(Indexes.parse("1-2,4").lacking(6)) == [0, 3, 5]
    assert list(Indexes().lacking(2)) == [0, 1]
    assert list(Indexes.parse("0-9").lacking(3)) == []


def test_a_hundred_thousand_indexes_cost_what_their_gaps_do():
    assert Indexes.parse("0-99999").ranges == ((0, 99999),)
