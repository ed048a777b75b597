import os

import pytest

from controller.cgroup import usage
from controller.cgroup.usage import Usage, UsageReader

CPU_STAT_V2 = (
    "usage_usec 2500000\nuser_usec 2000000\nsystem_usec 500000\nnr_periods 9\nnr_throttled 4\nthrottled_usec 250000\n"
)
EVENTS_V2 = "low 0\nhigh 0\nmax 31\noom 2\noom_kill 3\noom_group_kill 1\n"
CPU_STAT_V1 = "nr_periods 9\nnr_throttled 4\nthrottled_time 250000000\nnr_bursts 0\nburst_time 0\n"
OOM_V1 = "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n"
EXPECTED = Usage(2.5, 0.25, 4, 4096, 8192, 7, 3)


def test_both_versions_come_to_the_same_numbers():
    assert usage.parse_v1(("2500000000\n", CPU_STAT_V1, "4096\n", "8192\n", "7\n", OOM_V1)) == EXPECTED
    assert usage.parse_v2((CPU_STAT_V2, "4096\n", "8192\n", "7\n", EVENTS_V2)) == EXPECTED


def test_a_kernel_without_a_peak_has_none():
    assert usage.parse_v2((CPU_STAT_V2, "4096\n", "", "7\n", EVENTS_V2)).memory_peak_bytes is None


def test_without_bandwidth_control_nothing_was_throttled():
    seen = usage.parse_v2(("usage_usec 1\n", "0\n", "0\n", "0\n", "oom_kill 0\n"))

    assert (seen.cpu_throttled_seconds, seen.cpu_throttled_periods) == (0, 0)


def test_a_torn_text_is_refused():
    with pytest.raises(ValueError, match="zip"):
        usage.flat_keyed("usage_usec 1\nuser_usec")


def test_a_reader_reads_what_is_there_now_and_closes_once(tmp_path):
    file = tmp_path / "pids.current"
    file.write_text("3\n")
    reader = UsageReader(
        (os.open(file, os.O_RDONLY), -1), lambda texts: Usage(0, 0, 0, len(texts[1]), None, int(texts[0]), 0)
    )
    before = reader.read().pids
    file.write_text("5\n")

    assert (before, reader.read().pids, reader.read().memory_bytes) == (3, 5, 0)
    reader.close()
    reader.close()
    assert reader.fds == ()
