"""Which supervisor a run is given, and what is made ready for the next."""

import pytest

from controller.launcher.children import Child
from controller.launcher.pool import (
    FIRST_PAUSE_SECONDS,
    KEEP_SECONDS,
    LONGEST_PAUSE_SECONDS,
    Fork,
    Make,
    Pool,
    Retire,
)

A, B = b'{"a"}', b'{"b"}'
NOW = 1000.0


def a_child(made=None):
    child = Child(1, 1, None, "/control")  # Nothing is said to it here.
    child.made = made
    return child


def a_pool(*made):
    pool = Pool(4)
    for one in made:
        pool.add(a_child(one))
    return pool


def ask(pool, shared, now=NOW, *, ahead=True):
    """Take a supervisor for a run; None if there is none."""
    pool.note(shared, now, ahead=ahead)
    return next(pool.candidates(shared), None)


def settle(pool, now=NOW):
    """Take every step there is; return what each ready supervisor has made, sorted."""
    for _ in range(50):
        match pool.next_step(now):
            case Fork():
                pool.add(a_child())
            case Make(child, shared):
                child.made = shared
            case Retire(child):
                pool.remove(child)
            case None:
                return sorted(child.made or b"" for child in pool._ready)
    raise AssertionError("there is always something left to do")


def test_supervisors_are_forked_until_there_are_enough():
    assert settle(a_pool()) == [b""] * 4


def test_all_but_one_make_the_sandbox_asked_for_last():
    pool = a_pool(None, None, None, None)
    ask(pool, A)

    assert settle(pool) == [b"", A, A, A]


def test_a_run_is_given_to_who_has_made_its_sandbox_then_to_who_has_made_none():
    pool = a_pool(None, B, A)

    assert [child.made for child in pool.candidates(A)] == [A, None]
    assert len(pool) == 1


def test_who_has_made_another_sandbox_is_never_given_the_run():
    assert ask(a_pool(B, B, B), A) is None


def test_after_runs_of_another_sandbox_the_pool_is_of_that_one():
    pool = a_pool(None, None, None, None)
    ask(pool, A)
    settle(pool)

    for _ in range(8):
        ask(pool, B)
        found = settle(pool)

    assert found == [b"", B, B, B]


def test_sandboxes_asked_for_by_turns_retire_nobody():
    pool = a_pool(None, A, A, B)
    for shared in (A, B, A, B):
        pool.note(shared, NOW, ahead=True)

    assert pool.next_step(NOW) is None


def test_nothing_is_made_for_what_was_asked_for_long_ago():
    pool = a_pool(None, None, None, None)
    ask(pool, A)

    assert settle(pool, NOW + KEEP_SECONDS + 1) == [b""] * 4


@pytest.mark.parametrize(("shared", "ahead"), [(A, False), (b"x" * 100_000, True)])
def test_what_is_not_to_be_made_ahead_is_not(shared, ahead):
    pool = a_pool(None, None, None, None)
    ask(pool, shared, ahead=ahead)

    assert settle(pool) == [b""] * 4


def test_what_went_stale_is_taken_out_and_not_made_until_it_is_asked_for_again():
    pool = a_pool(None, A, A, B)
    pool.note(A, NOW, ahead=True)

    assert [child.made for child in pool.forget(A)] == [A, A]
    assert settle(pool) == [b"", b"", b"", B]
    ask(pool, A)
    assert A in settle(pool)


def test_who_has_made_none_is_not_stale():
    pool = a_pool(None, None)

    assert pool.forget(None) == []
    assert len(pool) == 2


def end(pool, now):
    """End one that is ready; return how long no other is forked."""
    pool.ended(pool._ready[0], now)
    return pool.pause_seconds(now)


def test_where_each_ends_as_soon_as_it_is_ready_the_next_is_forked_later_and_later():
    pool = a_pool(*[None] * 12)

    pauses = [end(pool, 0.0) for _ in range(12)]

    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)
    assert pool.pause_seconds(LONGEST_PAUSE_SECONDS) == 0


def test_once_one_is_given_a_run_the_pauses_are_short_again():
    pool = a_pool(*[None] * 9)
    for _ in range(5):
        end(pool, 0.0)
    ask(pool, A)

    assert end(pool, 0.0) == FIRST_PAUSE_SECONDS


def test_the_end_of_one_that_was_let_go_is_no_reason_to_wait():
    pool = a_pool(None)
    gone = pool._ready[0]
    pool.remove(gone)

    pool.ended(gone, 0.0)

    assert pool.pause_seconds(0.0) == 0
