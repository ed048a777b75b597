"""Limits measured, not believed: real processes push against memory, cpu and pids."""

import errno
import mmap
import os
import signal
import time

import pytest

from controller.cgroup.limits import Limits
from support.cgroups import exit_code, own_cgroups, start_in

pytestmark = pytest.mark.needs_root

MiB = 1 << 20
PAGE = mmap.PAGESIZE


@pytest.fixture
def lifecycle():
    with own_cgroups() as lifecycle:
        yield lifecycle


def shared_counter():
    """Return memory in which a child, which may be killed at any moment, counts for its parent."""
    return mmap.mmap(-1, PAGE)


def count_of(counter):
    return int.from_bytes(counter[:8], "little")


def set_count(counter, value):
    counter[:8] = value.to_bytes(8, "little")


def test_a_process_over_its_memory_is_killed_within_five_percent_of_it(lifecycle):
    limit = 128 * MiB
    lifecycle.create("run", Limits(limit, None, None))
    counter = shared_counter()

    def eat():
        block = mmap.mmap(-1, 4 * limit, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        for at in range(0, 4 * limit, PAGE):
            block[at] = 1
            set_count(counter, at + PAGE)

    with lifecycle.open_usage("run") as reader:
        code = exit_code(start_in(lifecycle, "run", eat))
        used = reader.read()

    assert code == -signal.SIGKILL
    assert used.oom_kills >= 1  # Version 2 may count one process twice.
    assert 0.95 * limit <= used.memory_peak_bytes <= limit
    assert 0.95 * limit <= count_of(counter) <= limit


def test_memory_is_limited_for_all_processes_of_a_run_together(lifecycle):
    limit = 64 * MiB
    lifecycle.create("run", Limits(limit, None, None))
    each = limit * 3 // 4

    def hold():
        block = bytearray(os.urandom(1)) * each
        signal.pause()
        return block

    pids = [start_in(lifecycle, "run", hold) for _ in range(2)]
    pid, status = os.wait()

    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL
    assert lifecycle.usage("run").memory_peak_bytes <= limit
    (other,) = set(pids) - {pid}
    lifecycle.kill("run")
    assert exit_code(other) == -signal.SIGKILL


def test_a_cpu_limit_is_held_within_ten_percent_for_two_spinning_processes(lifecycle):
    wanted, seconds = 0.2, 2.5
    lifecycle.create("run", Limits(None, int(wanted * 1000), None))

    def spin():
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            pass

    with lifecycle.open_usage("run") as reader:
        began = time.monotonic()
        pids = [start_in(lifecycle, "run", spin) for _ in range(2)]
        codes = [exit_code(pid) for pid in pids]
        took, used = time.monotonic() - began, reader.read()

    assert codes == [0, 0]
    assert 0.9 * wanted <= used.cpu_seconds / took <= 1.1 * wanted
    assert used.cpu_throttled_periods > 10
    assert used.cpu_throttled_seconds > 0


def test_a_fork_bomb_stops_at_exactly_its_pids(lifecycle):
    lifecycle.create("run", Limits(None, None, 16))
    counter = shared_counter()

    def bomb():
        made = 1
        while True:
            try:
                if os.fork() == 0:
                    signal.pause()
            except OSError as error:
                set_count(counter, made)
                os._exit(error.errno)
            made += 1

    pid = start_in(lifecycle, "run", bomb)

    assert exit_code(pid) == errno.EAGAIN
    assert count_of(counter) == 16
    # Its first process has ended by now.
    assert lifecycle.usage("run").pids == 15
