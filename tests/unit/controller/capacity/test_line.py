from controller.capacity.amounts import need
from controller.capacity.line import Line, Order
from support.capacity import key, waiting

HOUR = 3600 * 1_000_000


def in_order(line):
    return [
        one.key.name
        for tier in line.tiers()
        for one in sorted(
            (one for space in line.namespaces(tier).values() for bucket in space.values() for one in bucket),
            key=lambda one: one.place,
        )
    ]


def test_higher_priorities_come_first_and_of_one_who_came_first():
    line = Line()
    for one in (waiting("b", 2), waiting("a", 1), waiting("high", 9, 5), waiting("low", 0, -5)):
        line.add(one)

    assert in_order(line) == ["high", "a", "b", "low"]


def test_a_period_of_waiting_makes_up_for_one_step_of_priority():
    line = Line(Order((0, 5, 7), 3600))
    line.add(waiting("old", 10))
    line.add(waiting("next-class-an-hour-later", HOUR + 10, 5))
    line.add(waiting("next-class-two-hours-later", 2 * HOUR + 10, 5))
    line.add(waiting("top-two-hours-later", 2 * HOUR + 10, 7))

    assert in_order(line) == [
        "top-two-hours-later",
        "next-class-an-hour-later",
        "old",
        "next-class-two-hours-later",
    ]


def test_without_ageing_the_lowest_waits_however_long():
    line = Line(Order((0, 5), 0))
    line.add(waiting("old", 0))
    line.add(waiting("new", 1000 * HOUR, 5))

    assert in_order(line) == ["new", "old"]


def test_who_is_removed_leaves_nothing_behind():
    line = Line()
    line.add(waiting("a", 1, cpu=1))
    line.add(waiting("a", 2, cpu=2))

    assert line.remove(key("a")).need == need({"cpu": 2, "pods": 1})
    assert (line.remove(key("a")), len(line), line.tiers(), line.may_fit({"cpu": 9})) == (None, 0, [], False)


def test_how_many_come_before_is_counted_across_namespaces():
    line = Line()
    for one in (waiting("a", 1), waiting("b", 2, 0, "other", cpu=4), waiting("c", 3), waiting("high", 4, 1)):
        line.add(one)

    assert [line.ahead_of(line.get(key(name))) for name in ("high", "a", "c")] == [0, 1, 3]


def test_new_priorities_put_everybody_in_their_place_again():
    line = Line(Order((0,), 3600))
    line.add(waiting("a", 10))
    line.add(waiting("b", HOUR + 10, 5))
    before = line.tiers()

    line.reorder((0, 1, 2, 3, 5))

    assert line.tiers() != before
    assert in_order(line) == ["b", "a"]


def test_nobody_may_fit_where_all_want_more_than_is_free_and_that_stays_right_when_many_go():
    line = Line()
    for number in range(1, 30):
        line.add(waiting(f"w{number}", number, cpu=number * 100))

    assert line.may_fit({"cpu": 100, "pods": 1})
    assert not line.may_fit({"cpu": 99, "pods": 1})
    assert not line.may_fit({"cpu": 9999, "pods": 0})
    for number in range(1, 25):
        line.remove(key(f"w{number}"))
    assert not line.may_fit({"cpu": 2400, "pods": 1})
    assert line.may_fit({"cpu": 2500, "pods": 1})


def test_a_resource_that_not_all_want_keeps_nobody_back_who_does_not():
    line = Line()
    line.add(waiting("gpu", 1, gpu=1))
    line.add(waiting("plain", 2))

    assert line.may_fit({"pods": 1, "gpu": 0})
