import os
import select

import pytest

from controller.linux import clock_sets
from support import clock_setting

pytestmark = [
    pytest.mark.needs_root,
    pytest.mark.elsewhere("a process that may set the clock"),
    pytest.mark.skipif(not clock_setting.can_step(), reason="needs CAP_SYS_TIME"),
]


@pytest.fixture
def watch():
    fd = clock_sets.open_watch()
    yield fd
    os.close(fd)


def is_told(fd: int, milliseconds: int) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(milliseconds))


def test_nothing_is_told_while_the_clock_just_runs(watch):
    assert not is_told(watch, 0)
    assert not clock_sets.was_set(watch)


def test_each_setting_of_the_clock_is_told(watch):
    for _ in range(3):
        clock_setting.step()

        assert is_told(watch, 10_000)
        assert clock_sets.was_set(watch)


def test_it_is_told_once(watch):
    clock_setting.step()
    clock_sets.was_set(watch)

    assert not clock_sets.was_set(watch)
