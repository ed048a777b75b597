import pytest

from controller.cgroup.limits import IoLimit, Limits, Write, writes_v1, writes_v2
from controller.cgroup.readback import as_plain, problems


def read(file, value, text):
    return [(Write("memory", file, value), text)]


@pytest.mark.parametrize(
    "file, value, text",
    [
        ("pids.max", "10", "10\n"),
        ("memory.limit_in_bytes", "1000000", "999424\n"),
        ("memory.max", "max", "max\n"),
        ("cpu.max", "50000 100000", "50000 100000\n"),
        (
            "io.max",
            "8:0 rbps=4096 wbps=max riops=max wiops=max",
            "8:16 rbps=1 \n8:0 rbps=4096 wbps=max riops=max wiops=max\n",
        ),
        ("blkio.throttle.read_bps_device", "8:0 4096", "8:16 1\n8:0 4096\n"),
    ],
)
def test_what_the_kernel_says_in_its_own_way_is_what_was_written(file, value, text):
    assert problems(read(file, value, text)) == []


@pytest.mark.parametrize(
    "file, value, text, said",
    [
        ("pids.max", "10", "11\n", "pids.max of its cgroup is 11, not 10"),
        ("pids.max", "100000", "99999\n", "pids.max of its cgroup is 99999, not 100000"),
        ("memory.limit_in_bytes", "1000000", "9223372036854771712\n", "is 9223372036854771712, not 1000000"),
        ("memory.max", "1000000", "max\n", "memory.max of its cgroup is max, not 1000000"),
        ("memory.swap.max", "0", "max\n", "memory.swap.max of its cgroup is max, not 0"),
        ("io.max", "8:0 rbps=4096 wbps=max riops=max wiops=max", "\n", "io.max of its cgroup is , not 8:0"),
    ],
)
def test_what_is_otherwise_is_named(file, value, text, said):
    assert said in problems(read(file, value, text))[0]


@pytest.mark.parametrize("writes", [lambda limits: writes_v1(limits, counts_swap=True), writes_v2])
def test_every_write_that_is_read_as_it_was_written_agrees(writes):
    limits = Limits(1 << 26, 500, 100, 200, (0, 1), (IoLimit("8:0", read_bytes=1 << 20, write_operations=10),))
    found = [(write, f"{write.value}\n") for write in writes(limits)]

    assert problems(found) == []
    assert as_plain(found)["pids.max"] == "100"
