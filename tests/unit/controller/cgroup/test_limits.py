import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.cgroup.limits import Limits, Write, rewrites_v1, writes_v1, writes_v2

MiB = 1 << 20
NOTHING = Limits(None, None, None)
ALL = Limits(memory_bytes=64 * MiB, cpu_millicpu=1500, pids=20)


def as_pairs(writes):
    return [(write.file, write.value) for write in writes]


def test_version_1_limits_memory_then_memory_and_swap_then_the_rest():
    assert as_pairs(writes_v1(ALL, counts_swap=True)) == [
        ("memory.limit_in_bytes", "67108864"),
        ("memory.memsw.limit_in_bytes", "67108864"),
        ("cpu.cfs_quota_us", "150000"),
        ("pids.max", "20"),
    ]


def test_version_1_without_a_count_of_swap_does_not_swap():
    assert as_pairs(writes_v1(ALL, counts_swap=False))[:2] == [
        ("memory.limit_in_bytes", "67108864"),
        ("memory.swappiness", "0"),
    ]


def test_each_write_goes_to_the_cgroup_controller_that_has_the_file():
    for writes in (writes_v1(ALL, counts_swap=True), rewrites_v1(ALL, counts_swap=True), writes_v2(ALL)):
        assert [write.controller for write in writes] == [write.file.split(".")[0] for write in writes]


def test_no_limit_writes_nothing_into_a_new_version_1_cgroup():
    assert writes_v1(NOTHING, counts_swap=True) == ()


def test_version_2_kills_the_run_whole_and_does_not_swap():
    assert as_pairs(writes_v2(ALL)) == [
        ("memory.max", "67108864"),
        ("memory.swap.max", "0"),
        ("memory.oom.group", "1"),
        ("cpu.max", "150000 100000"),
        ("pids.max", "20"),
    ]


def test_version_2_takes_limits_off():
    assert [write.value for write in writes_v2(NOTHING)] == ["max", "max", "1", "max 100000", "max"]


def apply_to_kernel_rules(files, writes):
    """Keep the one rule version 1 has about order: memory alone is never allowed more than memory and swap."""
    for write in writes:
        value = float("inf") if write.value in ("-1", "max") else int(write.value)
        files = files | {write.file: value}
        assert files["memory.limit_in_bytes"] <= files["memory.memsw.limit_in_bytes"], (files, write)
    return files


limits = st.builds(
    Limits,
    memory_bytes=st.none() | st.integers(4096, 1 << 40),
    cpu_millicpu=st.none() | st.integers(10, 64_000),
    pids=st.none() | st.integers(1, 30_000),
)
UNLIMITED = {"memory.limit_in_bytes": float("inf"), "memory.memsw.limit_in_bytes": float("inf")}


@given(limits, limits)
def test_version_1_limits_can_go_up_and_down_without_breaking_the_kernels_rule(first, second):
    files = apply_to_kernel_rules(UNLIMITED, writes_v1(first, counts_swap=True))

    files = apply_to_kernel_rules(files, rewrites_v1(second, counts_swap=True))

    wanted = float("inf") if second.memory_bytes is None else second.memory_bytes
    assert files["memory.limit_in_bytes"] == files["memory.memsw.limit_in_bytes"] == wanted


@given(limits, st.booleans())
def test_rewriting_a_version_1_cgroup_ends_where_writing_a_new_one_does(wanted, counts_swap):
    rewritten = {write.file: write.value for write in rewrites_v1(wanted, counts_swap=counts_swap)}

    for write in writes_v1(wanted, counts_swap=counts_swap):
        assert rewritten[write.file] == write.value


@pytest.mark.parametrize(
    "numbers, message",
    [
        ((0, None, None), "cannot limit memory to 0 bytes"),
        ((None, 9, None), "cannot limit cpu to 9 millicpu: the kernel grants no less than 10"),
        ((None, None, 0), "cannot limit pids to 0"),
    ],
)
def test_limits_that_cannot_be_are_refused(numbers, message):
    with pytest.raises(ValueError, match=message):
        Limits(*numbers)


def test_a_write_is_plain_data():
    assert Write("pids", "pids.max", "1") == Write("pids", "pids.max", "1")
