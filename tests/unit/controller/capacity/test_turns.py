from controller.capacity.line import Line
from controller.capacity.turns import Rules, decide
from support.capacity import promised, waiting

ALL = {"cpu": 4, "memory": 8, "pods": 10}
SECOND = 1_000_000


def line_of(*those):
    line = Line()
    for one in those:
        line.add(one)
    return line


def begun(turns):
    return [one.key.name for one in turns.begin]


def test_all_begin_that_fit_in_order():
    line = line_of(waiting("c", 3, cpu=2), waiting("a", 1, cpu=1), waiting("b", 2, cpu=1))

    turns = decide(line, (), ALL, {}, 9, Rules())

    assert (begun(turns), turns.blocked, turns.kept_for) == (["a", "b", "c"], None, None)


def test_the_higher_class_begins_first_and_the_rest_waits():
    line = line_of(waiting("low", 1, cpu=3), waiting("high", 2, 5, cpu=3))

    turns = decide(line, (), ALL, {}, 9, Rules())

    assert (begun(turns), turns.blocked.key.name) == (["high"], "low")


def test_nobody_passes_the_first_by_what_it_needs():
    runs = [promised("running", cpu=3)]
    line = line_of(waiting("big", 1, cpu=4), waiting("small", 2, cpu=1))

    turns = decide(line, runs, ALL, {"default": {"cpu": 3, "pods": 1}}, 9, Rules())

    assert (begun(turns), turns.kept_for.key.name) == ([], "big")


def test_what_the_first_does_not_need_others_may_have():
    runs = [promised("running", memory=7)]
    line = line_of(waiting("big", 1, cpu=1, memory=4), waiting("fits", 2, cpu=3), waiting("too-much", 3, cpu=4))

    turns = decide(line, runs, ALL, {"default": {"memory": 7, "pods": 1}}, 9, Rules())

    assert (begun(turns), turns.kept_for.key.name) == (["fits"], "big")


def test_no_room_is_kept_for_who_waits_for_a_run_that_never_ends():
    service = promised("service", since=0, cpu=3)
    line = line_of(waiting("big", 100 * SECOND, cpu=4), waiting("small", 101 * SECOND, cpu=1))
    used = {"default": {"cpu": 3, "pods": 1}}

    early = decide(line, [service], ALL, used, 500 * SECOND, Rules(600))
    late = decide(line, [service], ALL, used, 700 * SECOND, Rules(600))

    assert (begun(early), early.kept_for.key.name) == ([], "big")
    assert (begun(late), late.kept_for) == (["small"], None)


def test_a_run_with_a_deadline_is_waited_for():
    run = promised("long", since=0, cpu=3, has_deadline=True)
    line = line_of(waiting("big", 100 * SECOND, cpu=4), waiting("small", 101 * SECOND, cpu=1))

    turns = decide(line, [run], ALL, {"default": {"cpu": 3, "pods": 1}}, 9999 * SECOND, Rules(600))

    assert (begun(turns), turns.kept_for.key.name) == ([], "big")


def test_who_has_waited_long_is_waited_for_by_longer_runs():
    run = promised("hours", since=1000 * SECOND, cpu=3)
    line = line_of(waiting("big", 0, cpu=4), waiting("small", 101 * SECOND, cpu=1))
    used = {"default": {"cpu": 3, "pods": 1}}

    turns = decide(line, [run], ALL, used, 1900 * SECOND, Rules(600))

    assert (begun(turns), turns.kept_for.key.name) == ([], "big")


def test_the_namespace_that_has_least_comes_first_within_a_class():
    line = line_of(*(waiting(f"a{n}", n, 0, "greedy", cpu=1) for n in range(4)), waiting("b", 9, 0, "modest", cpu=1))

    fresh = decide(line, (), ALL, {}, 99, Rules())
    used = decide(line, (), ALL, {"greedy": {"cpu": 1, "pods": 1}}, 99, Rules())

    assert begun(fresh) == ["a0", "b", "a1", "a2"]
    assert begun(used)[0] == "b"


def test_the_share_is_of_what_a_namespace_has_most_of():
    line = line_of(waiting("m", 1, 0, "memory", cpu=1), waiting("c", 2, 0, "cpu", cpu=1))
    used = {"memory": {"memory": 6, "pods": 1}, "cpu": {"cpu": 1, "pods": 1}}

    assert begun(decide(line, (), ALL, used, 99, Rules())) == ["c", "m"]


def test_equal_needs_that_cannot_be_had_are_looked_at_once():
    line = line_of(*(waiting(f"b{n}", n, cpu=4) for n in range(5000)), waiting("small", 9999, memory=1))
    used = {"default": {"cpu": 1, "pods": 1}}

    turns = decide(line, [promised("r", cpu=1)], ALL, used, 9999, Rules())

    assert begun(turns) == ["small"]
