import threading

import pytest

from controller.daemon.clock_steps import ClockSteps
from controller.engine.clock import SystemClock
from support import clock_setting


@pytest.mark.invariant("T1")
@pytest.mark.needs_root
@pytest.mark.elsewhere("a process that may set the clock")
@pytest.mark.skipif(not clock_setting.can_step(), reason="needs CAP_SYS_TIME")
def test_who_waits_for_a_time_is_told_of_each_step_of_the_clock():
    told = threading.Semaphore(0)
    steps = ClockSteps(SystemClock(), told.release)
    steps.start()
    try:
        for _ in range(2):
            clock_setting.step()

            assert told.acquire(timeout=10)
    finally:
        steps.stop()


def test_it_can_be_stopped_before_anything_happened_and_before_it_was_started():
    steps = ClockSteps(SystemClock(), lambda: None)
    steps.stop()
    steps.start()
    steps.stop()

    assert "clock-steps" not in [thread.name for thread in threading.enumerate()]
