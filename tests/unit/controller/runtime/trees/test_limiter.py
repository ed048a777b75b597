"""So many bytes a second, and no more."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from controller.engine.clock import SystemClock
from controller.runtime.trees.limiter import Limiter, Stopped
from support.hand_clock import HandClock


class Waits:
    """Stands for the event that a limiter waits on; time passes as it is waited for."""

    def __init__(self, clock: HandClock) -> None:
        self.clock = clock
        self.seconds = 0.0

    def wait(self, seconds: float) -> bool:
        self.seconds += seconds
        self.clock.advance(seconds)
        return False


def test_a_seconds_worth_is_free_and_the_rest_comes_at_the_rate():
    clock = HandClock()
    limiter = Limiter(1000, clock)
    waits = Waits(clock)
    limiter._stopped = waits

    limiter.spend(1000)
    assert waits.seconds == 0
    for _ in range(10):
        limiter.spend(500)
    assert waits.seconds == pytest.approx(5.0)


def test_time_that_was_not_used_is_kept_for_a_second_only():
    clock = HandClock()
    limiter = Limiter(1000, clock)
    waits = Waits(clock)
    limiter._stopped = waits
    clock.advance(3600)

    limiter.spend(3000)

    assert waits.seconds == pytest.approx(2.0)


def test_who_waits_is_told_at_once_when_it_is_stopped():
    limiter = Limiter(1, SystemClock())
    waiting = threading.Event()

    def spend() -> None:
        waiting.set()
        limiter.spend(1 << 30)

    with ThreadPoolExecutor(1) as pool:
        spending = pool.submit(spend)
        assert waiting.wait(10)
        limiter.stop()
        with pytest.raises(Stopped):
            spending.result(10)
