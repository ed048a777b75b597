from controller.capacity.giving_way import victims
from controller.capacity.line import Order
from support.capacity import promised, waiting

TIER = Order((0, 1, 5, 9), 0).tier
HOUR = 3600 * 1_000_000


def named(runs):
    return [run.key.name for run in runs]


def test_the_lowest_priority_gives_way_first_and_of_those_the_youngest():
    runs = [promised("old", 1, 0, cpu=1), promised("young", 2, 0, cpu=1), promised("higher", 3, 1, cpu=1)]

    assert named(victims(waiting("w", 9, 5, cpu=1), runs, {"pods": 5}, (), TIER)) == ["young"]
    assert named(victims(waiting("w", 9, 5, cpu=3), runs, {"pods": 5}, (), TIER)) == ["young", "old", "higher"]


def test_nobody_gives_way_to_the_same_or_a_lower_priority():
    runs = [promised("same", 1, 5, cpu=1), promised("higher", 1, 9, cpu=1)]

    assert victims(waiting("w", 9, 5, cpu=1), runs, {"pods": 5}, (), TIER) == ()


def test_nobody_gives_way_where_that_would_not_be_enough():
    runs = [promised("low", 1, 0, cpu=1), promised("high", 1, 9, cpu=3)]

    assert victims(waiting("w", 9, 5, cpu=2), runs, {"pods": 5}, (), TIER) == ()


def test_who_is_not_needed_after_all_is_spared():
    runs = [promised("small", 9, 0, cpu=1), promised("large", 1, 0, cpu=4)]

    assert named(victims(waiting("w", 9, 5, cpu=4), runs, {"pods": 5}, (), TIER)) == ["large"]


def test_who_has_nothing_of_what_is_missing_is_spared():
    runs = [promised("memory", 9, 0, memory=5), promised("cpu", 1, 0, cpu=1)]

    assert named(victims(waiting("w", 9, 5, cpu=1), runs, {"pods": 5}, (), TIER)) == ["cpu"]


def test_those_that_leave_already_are_waited_for():
    leaving = [promised("leaving", 1, 0, cpu=2)]
    runs = [*leaving, promised("other", 2, 0, cpu=2)]

    assert victims(waiting("w", 9, 5, cpu=2), runs, {"pods": 5}, leaving, TIER) == ()
    assert named(victims(waiting("w", 9, 5, cpu=4), runs, {"pods": 5}, leaving, TIER)) == ["other"]


def test_who_began_because_it_had_waited_long_is_not_stopped_for_who_came_after():
    aged = Order((0, 5), 3600).tier
    runs = [promised("waited", 5 * HOUR, 0, queued=0, cpu=1)]

    assert victims(waiting("w", 5 * HOUR, 5, cpu=1), runs, {"pods": 5}, (), aged) == ()
    assert named(victims(waiting("w", HOUR // 2, 5, cpu=1), runs, {"pods": 5}, (), aged)) == ["waited"]
