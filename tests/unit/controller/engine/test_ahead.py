"""Places in the time before moments at which very many things are due."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from controller.engine.ahead import LONGEST_SECONDS, Ahead

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
MOMENT = NOW + timedelta(seconds=100)


def leads(count, ahead=None, moment=MOMENT, now=NOW):
    ahead = Ahead(cpus=1) if ahead is None else ahead
    found = [ahead.begins_at(number, moment, now) for number in range(count)]
    return [None if each is None else round((moment - each).total_seconds(), 3) for each in found]


def test_few_that_are_due_together_are_begun_when_they_are_due():
    ahead = Ahead(cpus=1)

    assert leads(8, ahead) == [1.0] * 8
    assert leads(8, ahead, now=MOMENT - timedelta(seconds=1)) == [None] * 8


def test_each_of_many_has_a_place_of_its_own_and_the_last_come_is_the_first():
    assert leads(12)[8:] == [0.9, 1.0, 1.1, 1.2]


def test_the_first_of_many_are_made_ready_a_second_before():
    ahead = Ahead(cpus=1)
    leads(9, ahead)

    assert leads(9, ahead, now=MOMENT - timedelta(seconds=1)) == [*[1.0] * 8, 0.9]


def test_more_cpus_make_more_ready_in_the_same_time():
    assert leads(100, Ahead(cpus=4))[-1] == 2.5


def test_what_does_not_fit_into_the_longest_time_ahead_is_begun_when_it_is_due():
    found = leads(700)

    assert max(each for each in found if each is not None) < LONGEST_SECONDS
    assert found[600:] == [None] * 100


def test_those_of_two_moments_share_the_time_before_both():
    ahead = Ahead(cpus=1)
    leads(20, ahead)
    later = MOMENT + timedelta(seconds=1)
    found = [ahead.begins_at(f"later-{number}", later, NOW) for number in range(20)]

    assert round((later - found[-1]).total_seconds(), 3) == 4.0


def test_one_that_is_due_at_another_moment_gives_its_place_to_others():
    ahead = Ahead(cpus=1)
    leads(20, ahead)
    ahead.begins_at(15, MOMENT + timedelta(hours=1), NOW)

    assert round((MOMENT - ahead.begins_at("new", MOMENT, NOW)).total_seconds(), 3) == 1.6


def test_one_that_is_forgotten_does_too():
    ahead = Ahead(cpus=1)
    leads(20, ahead)
    ahead.forget(12)
    ahead.forget("nobody")

    assert round((MOMENT - ahead.begins_at("new", MOMENT, NOW)).total_seconds(), 3) == 1.3


def test_what_was_due_long_ago_is_not_remembered():
    ahead = Ahead(cpus=1)
    for number in range(1000):
        ahead.begins_at(number, NOW + timedelta(seconds=number), NOW + timedelta(seconds=number))

    assert len(ahead) <= 256


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 9000)), max_size=60))
def test_no_two_have_the_same_place_and_asking_again_changes_nothing(asked):
    ahead, moments = Ahead(cpus=2), {}
    for key, tenths in asked:
        moments[key] = NOW + timedelta(milliseconds=tenths)
        first = ahead.begins_at(key, moments[key], NOW)
        assert ahead.begins_at(key, moments[key], NOW) == first
    found = [ahead.begins_at(key, moment, NOW) for key, moment in moments.items()]
    together = list(zip(found, moments.values(), strict=True))
    own = [each for each, moment in together if each is not None and moment - each != timedelta(seconds=1)]

    assert len(set(own)) == len(own)
    assert all(each < moment for each, moment in together if each is not None)
