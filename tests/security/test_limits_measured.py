"""Limits measured, not believed: real processes push against memory, cpu, pids and disks."""

import contextlib
import errno
import functools
import mmap
import os
import select
import signal
import time
from pathlib import Path

import pytest

from controller.cgroup.choose import hierarchies_of_host
from controller.cgroup.limits import IoLimit, Limits
from support.cgroups import exit_code, own_cgroups, start_in
from support.disks import loop_disk, mounted_disk

pytestmark = pytest.mark.needs_root

MiB = 1 << 20
PAGE = mmap.PAGESIZE
CORES = len(os.sched_getaffinity(0))


@pytest.fixture
def lifecycle():
    with own_cgroups() as lifecycle:
        yield lifecycle


@pytest.fixture(scope="module")
def disk():
    with loop_disk() as disk:
        yield disk


def shared_counter():
    """Return memory in which a child, which may be killed at any moment, counts for its parent."""
    return mmap.mmap(-1, PAGE)


def count_of(counter):
    return int.from_bytes(counter[:8], "little")


def set_count(counter, value):
    counter[:8] = value.to_bytes(8, "little")


def test_a_process_over_its_memory_is_killed_within_two_percent_of_it(lifecycle):
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
    assert 0.98 * limit <= used.memory_peak_bytes <= limit
    assert 0.98 * limit <= count_of(counter) <= limit


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


def test_what_the_kernel_keeps_for_a_run_is_its_memory(lifecycle):
    """Pipes: a mebibyte of the kernel's memory each, and next to none of the process'."""
    limit = 32 * MiB
    lifecycle.create("run", Limits(limit, None, None))
    counter = shared_counter()

    def fill_pipes():
        for number in range(1, 500):
            _, writing = os.pipe()
            os.set_blocking(writing, False)
            try:
                while True:
                    os.write(writing, bytes(PAGE))
            except BlockingIOError:
                set_count(counter, number)

    with lifecycle.open_usage("run") as reader:
        code = exit_code(start_in(lifecycle, "run", fill_pipes))
        used = reader.read()

    assert code != 0  # Killed, or out of descriptors for their memory.
    assert count_of(counter) * 64 * 1024 <= limit
    assert 0.9 * limit <= used.memory_peak_bytes <= limit


def spin():
    while True:
        pass


def measure(lifecycle, names, seconds):
    """Return what the runs used of processors in so many seconds, each by one core, and how long that really was."""
    with contextlib.ExitStack() as stack:
        readers = [stack.enter_context(lifecycle.open_usage(name)) for name in names]
        began, before = time.monotonic(), [reader.read() for reader in readers]
        select.poll().poll(seconds * 1000)
        took, after = time.monotonic() - began, [reader.read() for reader in readers]
    return [(late.cpu_seconds - early.cpu_seconds) / took for early, late in zip(before, after, strict=True)]


@contextlib.contextmanager
def spinning(lifecycle, name, count):
    pids = [start_in(lifecycle, name, spin) for _ in range(count)]
    try:
        yield
    finally:
        lifecycle.kill(name)
        assert [exit_code(pid) for pid in pids] == [-signal.SIGKILL] * count


def cores_used(lifecycle, wanted, seconds, spinners):
    lifecycle.create("run", Limits(None, round(wanted * 1000), None))
    with spinning(lifecycle, "run", spinners):
        (cores,) = measure(lifecycle, ["run"], seconds)
    return cores, lifecycle.usage("run")


def test_a_cpu_limit_is_held_for_two_spinning_processes():
    with own_cgroups(favoured=True) as favoured:
        cores, used = cores_used(favoured, 0.2, 2.5, 2)

    assert 0.18 <= cores <= 0.22
    assert used.cpu_throttled_periods > 10
    assert used.cpu_throttled_seconds > 0


@pytest.mark.slow
@pytest.mark.parametrize("wanted", [0.1, 0.5, 1.5])
def test_a_cpu_limit_is_held_within_five_percent_over_five_seconds(wanted):
    if wanted > CORES - 0.3:
        pytest.skip(f"{CORES} CPUs are too few for {wanted} beside the test")

    with own_cgroups(favoured=True) as favoured:
        cores, _ = cores_used(favoured, wanted, 5, 3)

    assert 0.95 * wanted <= cores <= 1.05 * wanted


def test_a_weight_is_a_share_of_a_busy_cpu(lifecycle):
    lifecycle.create("light", Limits(None, None, None, cpu_weight=50, cpus=(0,)))
    lifecycle.create("heavy", Limits(None, None, None, cpu_weight=200, cpus=(0,)))

    with spinning(lifecycle, "light", 1), spinning(lifecycle, "heavy", 1):
        light, heavy = measure(lifecycle, ["light", "heavy"], 2)

    assert 3 <= heavy / light <= 5.3


def test_a_run_is_on_its_own_cpus_and_on_no_others(lifecycle):
    last = max(os.sched_getaffinity(0))
    lifecycle.create("run", Limits(None, None, None, cpus=(last,)))
    counter = shared_counter()

    def look():
        set_count(counter, sum(1 << cpu for cpu in os.sched_getaffinity(0)))
        try:
            os.sched_setaffinity(0, range(last))  # None of them is its own.
        except OSError as error:
            os._exit(error.errno)

    code = exit_code(start_in(lifecycle, "run", look))

    assert count_of(counter) == 1 << last
    assert code == (errno.EINVAL if last else 0)


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


def rate_of(lifecycle, limit, path, total, chunk, work):
    """Return what three processes of a run with this limit got done in a second, in units of `chunk`."""
    lifecycle.create("run", Limits(None, None, None, io=(limit,)))

    def body(first):
        buffer = memoryview(mmap.mmap(-1, chunk))
        fd = os.open(path, os.O_RDWR | os.O_DIRECT)
        for at in range(first, total, 3 * chunk):
            work(fd, buffer, at)

    began = time.monotonic()
    pids = [start_in(lifecycle, "run", functools.partial(body, number * chunk)) for number in range(3)]
    assert [exit_code(pid) for pid in pids] == [0, 0, 0]
    return total / chunk / (time.monotonic() - began)


def read_one(fd, buffer, at):
    assert os.preadv(fd, [buffer], at) == len(buffer)


def write_one(fd, buffer, at):
    assert os.pwrite(fd, buffer, at) == len(buffer)


@pytest.mark.parametrize(("work", "field"), [(read_one, "read_bytes"), (write_one, "write_bytes")])
def test_bytes_of_a_disk_are_held_within_fifteen_percent(lifecycle, disk, work, field):
    limit = IoLimit(disk.device, **{field: 8 * MiB})

    chunks = rate_of(lifecycle, limit, disk.path, 16 * MiB, 64 << 10, work)

    assert 0.85 * 8 <= chunks / 16 <= 1.15 * 8  # 16 chunks are a mebibyte.


@pytest.mark.parametrize(("work", "field"), [(read_one, "read_operations"), (write_one, "write_operations")])
def test_operations_of_a_disk_are_held_within_fifteen_percent(lifecycle, disk, work, field):
    limit = IoLimit(disk.device, **{field: 200})

    operations = rate_of(lifecycle, limit, disk.path, 400 * PAGE, PAGE, work)

    assert 170 <= operations <= 230


def test_what_is_not_limited_of_a_disk_is_not_held_back(lifecycle, disk):
    limit = IoLimit(disk.device, write_bytes=64 << 10, write_operations=2)

    chunks = rate_of(lifecycle, limit, disk.path, 16 * MiB, 64 << 10, read_one)

    assert chunks / 16 > 5


def test_reads_through_the_page_cache_are_held_too(lifecycle, disk):
    lifecycle.create("run", Limits(None, None, None, io=(IoLimit(disk.device, read_bytes=8 * MiB),)))
    counter = shared_counter()

    def body():
        fd = os.open(disk.path, os.O_RDONLY)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        began = time.monotonic()
        while os.read(fd, MiB) and os.lseek(fd, 0, os.SEEK_CUR) < 16 * MiB:
            pass
        set_count(counter, round((time.monotonic() - began) * 1e6))

    code = exit_code(start_in(lifecycle, "run", body))

    assert code == 0
    assert 16 / (count_of(counter) / 1e6) <= 1.2 * 8


@pytest.fixture
def file(tmp_path):
    """A file that nobody has written so far, on a disk of its own, and that disk."""
    (directory := tmp_path / "disk").mkdir()
    with mounted_disk(directory) as disk:
        yield directory / "file", disk.device


def test_writes_that_are_waited_for_are_held_too(lifecycle, file):
    path, device = file
    lifecycle.create("run", Limits(None, None, None, io=(IoLimit(device, write_bytes=8 * MiB),)))
    counter = shared_counter()

    def body():
        fd = os.open(path, os.O_WRONLY | os.O_CREAT)
        began = time.monotonic()
        for _ in range(16):
            os.write(fd, bytes(MiB))
        os.fsync(fd)
        set_count(counter, round((time.monotonic() - began) * 1e6))

    code = exit_code(start_in(lifecycle, "run", body))

    assert code == 0
    assert 16 / (count_of(counter) / 1e6) <= 1.2 * 8


def test_writes_that_nobody_waits_for_are_held_on_version_2_alone(lifecycle, file):
    """What the documents say of it: here, so that they are changed when it changes."""
    path, device = file
    lifecycle.create("run", Limits(None, None, None, io=(IoLimit(device, write_bytes=MiB),)))

    def body():
        os.write(os.open(path, os.O_WRONLY | os.O_CREAT), bytes(4 * MiB))

    code = exit_code(start_in(lifecycle, "run", body))
    began = time.monotonic()
    with open(path, "rb+") as again:
        os.fsync(again.fileno())  # By us, who are not limited.
    took = time.monotonic() - began

    assert code == 0
    assert (took > 2) == (hierarchies_of_host().version == 2)


def test_what_waits_for_its_turn_at_a_disk_can_be_killed_at_once(lifecycle, disk):
    lifecycle.create("run", Limits(None, None, None, io=(IoLimit(disk.device, write_bytes=64 << 10),)))

    def body():
        fd = os.open(disk.path, os.O_WRONLY | os.O_DIRECT)
        os.pwrite(fd, memoryview(mmap.mmap(-1, 32 * MiB)), 0)  # 8 minutes of it.

    pid = start_in(lifecycle, "run", body)
    while "D (disk sleep)" not in Path(f"/proc/{pid}/status").read_text():
        os.sched_yield()
    began = time.monotonic()
    lifecycle.kill("run")
    code = exit_code(pid)

    assert code == -signal.SIGKILL
    assert time.monotonic() - began < 5
