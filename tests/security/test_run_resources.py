"""What a run may use beside memory, processors and processes: files, disks, room; and what all runs may together."""

import json
import os
import signal
from pathlib import Path

import pytest

from controller.cgroup import choose
from controller.cgroup.limits import IoLimit, Limits
from controller.cgroup.slice import RUNS, Slice
from controller.cgroup.slice_caps import Caps
from controller.job import host_limits
from controller.launcher import control
from controller.linux import inotify
from controller.sandbox.confine import ProcessLimits
from controller.sandbox.spec import Bind, PrivateCopy, Scratch
from support.disks import mounted_disk
from support.launching import MIB

pytestmark = pytest.mark.needs_root

EAT = "x = []\nwhile True: x.append(bytearray(1 << 20))"
MOST_FILES = host_limits.most_open_files()
PAGE = os.sysconf("SC_PAGE_SIZE")


def python(launching, script, **fields):
    """Run a script of Python; return the record and what it printed, as JSON if it did end well."""
    record, output = launching.run("/usr/bin/python3", "-c", script, stderr=True, **fields)
    return record, json.loads(output) if record.reason == "Completed" else output


FILL = """
import json, os
found = {}
for line in open("/proc/self/mountinfo"):
    mount, _, kind = line.rstrip().partition(" - ")
    place, options = mount.split()[4:6]
    if "rw" not in options.split(",") or kind.split()[0] in ("proc", "devpts"):
        continue
    size = dict(option.partition("=")[::2] for option in kind.split()[2].split(",")).get("size")
    written, file = 0, os.open(f"{place}/fill", os.O_CREAT | os.O_WRONLY)
    try:
        while True:
            written += os.write(file, bytes(4096))
    except OSError as error:
        found[place] = [size, written, error.errno]
    os.unlink(f"{place}/fill")
print(json.dumps(found))
"""


@pytest.mark.invariant("J5")
def test_every_place_that_a_run_can_write_has_a_size_and_holds_that_many_bytes(launching):
    tree = launching.root / "tree"
    (tree / "conf").mkdir(parents=True)
    sandbox = launching.sandbox(
        work_bytes=5 * MIB,
        tmp_bytes=3 * MIB,
        shm_bytes=2 * MIB,
        private_copies=(PrivateCopy("conf", "/opt/conf", MIB + PAGE, within=str(tree)),),
        scratches=(Scratch("/volumes/cache", MIB),),
    )

    _, found = python(launching, FILL, sandbox=sandbox)

    sizes = {place: written for place, (_, written, _) in found.items()}
    assert sizes == {
        "/work": 5 * MIB,
        "/tmp": 3 * MIB,
        "/dev/shm": 2 * MIB,
        "/opt/conf": MIB + PAGE,
        "/volumes/cache": MIB,
    }
    assert {errno for _, _, errno in found.values()} == {28}
    assert all(size for size, _, _ in found.values())


@pytest.mark.parametrize("place", ["/work", "/tmp", "/dev/shm"])
def test_what_is_written_to_memory_is_the_runs_memory(launching, place):
    sandbox = launching.sandbox(work_bytes=256 * MIB, tmp_bytes=256 * MIB, shm_bytes=256 * MIB)
    script = f"head -c 200M /dev/zero > {place}/file"

    record, _ = launching.shell(script, sandbox=sandbox, limits=Limits(48 * MIB, None, None))

    assert record.reason == "OOMKilled"
    assert 45 * MIB < record.usage["memory_peak_bytes"] <= 48 * MIB


def test_a_run_that_reads_more_files_than_its_memory_is_not_killed_for_it(launching, tmp_path):
    (directory := tmp_path / "disk").mkdir()
    with mounted_disk(directory, 160 * MIB):
        with open(directory / "large", "wb") as file:
            for _ in range(128):
                file.write(os.urandom(4096) * 256)
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        sandbox = launching.sandbox()
        sandbox = launching.sandbox(binds=(*sandbox.binds, Bind(str(directory), "/data")))

        record, output = launching.shell(
            "cat /data/large | wc -c; cat /data/large | wc -c", sandbox=sandbox, limits=Limits(32 * MIB, None, None)
        )
        launching.client.shutdown()  # Sandboxes made ahead keep the disk.

    assert (record.reason, output) == ("Completed", f"{128 * MIB}\n" * 2)


LOOK_AT_LIMITS = """
import json, resource
kinds = ("RLIMIT_NOFILE", "RLIMIT_FSIZE", "RLIMIT_CORE")
print(json.dumps([resource.getrlimit(getattr(resource, kind)) for kind in kinds]))
"""


def test_a_run_that_asks_for_nothing_has_safe_limits_of_its_processes(launching):
    _, (files, size, core) = python(launching, LOOK_AT_LIMITS)

    assert (files, size, core) == ([1024, min(524288, MOST_FILES)], [-1, -1], [1, 1])


def test_a_run_has_the_limits_of_processes_that_it_asks_for_up_and_down(launching):
    for wanted in (ProcessLimits(20, 4096, 8192), ProcessLimits(MOST_FILES, 1 << 40, 1 << 30)):
        record, found = python(launching, LOOK_AT_LIMITS, process_limits=wanted)

        assert found == [[each, each] for each in (wanted.open_files, wanted.file_bytes, wanted.core_bytes)]
        told = [record.receipt[name] for name in ("openFiles", "fileSize", "coreSize")]
        assert told == [wanted.open_files, wanted.file_bytes, wanted.core_bytes]


def test_a_file_ends_at_its_size_and_files_at_their_number(launching):
    script = """
import json, os, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
file = os.open("/work/file", os.O_CREAT | os.O_WRONLY)
written, opened = 0, 3
try:
    while True: written += os.write(file, bytes(1000))
except OSError as error: first = error.errno
os.close(file)
try:
    while True: opened = os.open("/dev/null", os.O_RDONLY) + 1
except OSError as error: second = error.errno
print(json.dumps([written, first, opened, second]))
"""
    _, found = python(launching, script, process_limits=ProcessLimits(open_files=50, file_bytes=123_456))

    assert found == [123_456, 27, 50, 24]


RATES = """
import json, mmap, os, time
buffer = memoryview(mmap.mmap(-1, 1 << 16))
rates = []
for way in (os.pwrite, lambda file, buffer, at: os.preadv(file, [buffer], at)):
    file = os.open("/data/file", os.O_CREAT | os.O_RDWR | os.O_DIRECT)
    began = time.monotonic()
    for at in range(0, 16 << 20, 1 << 16): assert way(file, buffer, at) == 1 << 16
    rates.append(16 / (time.monotonic() - began))
print(json.dumps(rates))
"""


@pytest.fixture
def data(tmp_path):
    """A directory on a disk of its own, that any run may write to, and the disk."""
    (directory := tmp_path / "data").mkdir()
    with mounted_disk(directory) as disk:
        directory.chmod(0o777)
        yield directory, disk.device


def with_data(launching, directory):
    sandbox = launching.sandbox()
    return launching.sandbox(binds=(*sandbox.binds, Bind(str(directory), "/data", read_only=False)))


@pytest.mark.invariant("J8")
def test_a_run_reads_and_writes_its_disk_no_faster_than_it_may(launching, data):
    directory, device = data
    limits = Limits(256 * MIB, None, 50, io=(IoLimit(device, read_bytes=16 * MIB, write_bytes=8 * MIB),))

    record, (written, read) = python(launching, RATES, sandbox=with_data(launching, directory), limits=limits)
    launching.client.shutdown()

    assert 0.85 * 8 <= written <= 1.15 * 8
    assert 0.85 * 16 <= read <= 1.15 * 16
    told = {"device": device, "readBytesPerSecond": 16 * MIB, "writeBytesPerSecond": 8 * MIB}
    assert record.receipt["io"] == [told]
    is_version_1 = choose.hierarchies_of_host().version == 1
    assert ("notEnforced" in record.receipt) == is_version_1  # Buffered writes.


def test_a_run_that_waits_for_its_disk_is_stopped_without_waiting(launching, data):
    directory, device = data
    script = (
        "import mmap, os\n"
        "file = os.open('/data/file', os.O_CREAT | os.O_RDWR | os.O_DIRECT)\n"
        "print('ready', flush=True)\n"
        "os.pwrite(file, memoryview(mmap.mmap(-1, 32 << 20)), 0)\n"
    )
    limits = Limits(256 * MIB, None, 50, io=(IoLimit(device, write_bytes=64 << 10),))
    spec = launching.spec("/usr/bin/python3", "-c", script, sandbox=with_data(launching, directory), limits=limits)
    launching.client.start(spec)
    launching.wait_for_output(spec, "ready")

    control.stop(Path(spec.run_dir), "Stopped", 0)

    record = launching.record_of(spec)  # It would have taken 8 minutes.
    assert record.reason == "Stopped"
    assert record.signal in (signal.SIGTERM, signal.SIGKILL)
    launching.client.shutdown()


@pytest.mark.invariant("J8")
def test_a_run_is_on_the_cpus_it_asks_for_and_has_its_weight(launching):
    last = max(os.sched_getaffinity(0))
    limits = Limits(64 * MIB, None, 50, cpu_weight=300, cpus=(last,))

    record, output = launching.shell("grep Cpus_allowed_list /proc/self/status", limits=limits)

    assert output.split() == ["Cpus_allowed_list:", str(last)]
    assert (record.receipt["cpuSet"], record.receipt["cpuWeight"]) == (str(last), 300)


def test_a_run_on_cpus_that_are_not_there_is_not_started(launching):
    record, _ = launching.run("true", limits=Limits(64 * MIB, None, 50, cpus=(4000,)))

    assert (record.reason, record.exit_code) == ("SandboxFailed", None)


def test_a_run_whose_disk_is_not_there_is_not_started(launching):
    record, _ = launching.run("true", limits=Limits(64 * MIB, None, 50, io=(IoLimit("4000:1", read_bytes=MIB),)))

    assert (record.reason, record.exit_code) == ("SandboxFailed", None)
    assert "4000:1" in record.message


@pytest.fixture
def together(launching):
    """A launcher whose runs are in a slice of 128 MiB and 40 processes."""
    name = launching.cgroup_parent
    everything = Slice(choose.hierarchies_of_host(), name)
    assert everything.hold(Caps(memory_bytes=128 * MIB, cpu_millicpu=1500, pids=40)) == ()
    launching.cgroup_parent = f"{name}/{RUNS}"
    yield launching
    launching.until(lambda: launching.client.status()["running"] == 0)
    launching.client.shutdown()  # Its supervisors have cgroups ready.
    launching.cgroup_parent = name
    everything.remove()


@pytest.mark.invariant("J9")
def test_two_runs_together_do_not_get_more_memory_than_all_may_have(together):
    hold = "import signal\nblock = bytearray(b'x') * (80 << 20)\nprint('ready', flush=True)\nsignal.pause()"
    bystander = together.spec("sh", "-c", "echo ready; exec sleep 600", limits=Limits(100 * MIB, None, 10))
    first = together.spec("/usr/bin/python3", "-c", hold, limits=Limits(100 * MIB, None, 10))
    for spec in (bystander, first):
        together.client.start(spec)
        together.wait_for_output(spec, "ready")

    second = together.spec("/usr/bin/python3", "-c", hold, limits=Limits(100 * MIB, None, 10))
    together.client.start(second)
    together.until(lambda: any(has_ended(together, spec) for spec in (first, second)))
    for spec in (bystander, first, second):
        together.stop(spec)

    assert together.record_of(bystander).reason == "Stopped"
    records = [together.record_of(spec) for spec in (first, second)]
    killed = [record for record in records if record.reason == "OOMKilled"]
    # Mostly one. The kernel looks for the next one before the last pages of a killed process are counted as free:
    # exit_mmap() in mm/mmap.c sets MMF_OOM_SKIP before tlb_finish_mmu().
    assert killed
    assert {record.reason for record in records} <= {"OOMKilled", "Stopped"}
    for record in killed:
        assert record.message.startswith("the run was within its limit, but all that runs here together needed more")
        assert record.usage["memory_peak_bytes"] < 100 * MIB


def has_ended(launching, spec):
    return type(launching.observe(spec)).__name__ == "Exited"


@pytest.mark.invariant("J9")
def test_two_runs_together_do_not_get_more_processes_than_all_may_have(together):
    script = (
        "import os, signal\n"
        "try:\n"
        "    for _ in range(30):\n"
        "        if os.fork() == 0: signal.pause()\n"
        "except BlockingIOError: pass\n"
        "print('ready', flush=True)\n"
        "signal.pause()\n"
    )
    specs = [together.spec("/usr/bin/python3", "-c", script, limits=Limits(None, None, 100)) for _ in range(2)]
    for spec in specs:
        together.client.start(spec)
        together.wait_for_output(spec, "ready")
    lifecycle = choose.open_lifecycle(choose.hierarchies_of_host(), together.cgroup_parent)

    total = sum(lifecycle.usage(spec.cgroup).pids for spec in specs)
    for spec in specs:
        together.stop(spec)
        together.record_of(spec)
    lifecycle.close()

    assert total == 35  # An eighth of the 40 is for supervisors.


def test_what_a_run_reads_from_and_writes_to_disks_is_counted(launching, data):
    directory, _ = data
    script = "import os\nfile = os.open('/data/file', os.O_CREAT | os.O_WRONLY)\nos.write(file, bytes(3 << 20))"
    inner = f'python3 -c "{script}" && head -c 10M /dev/zero > /work/memory && (setsid cat /data/old > /dev/null &)'
    with open(directory / "old", "wb") as old:
        old.write(bytes(2 * MIB))
        os.fsync(old.fileno())
        os.posix_fadvise(old.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)

    record, _ = launching.shell(f"{inner}; sleep 0.5", sandbox=with_data(launching, directory))
    launching.client.shutdown()

    directories = 1 * MIB  # And what else the file system keeps on its disk.
    assert 0 <= record.usage["written_bytes"] - 3 * MIB <= directories
    assert record.usage["read_bytes"] >= 2 * MIB


WATCH_ALL = """
import ctypes, os, signal
libc, made = ctypes.CDLL(None, use_errno=True), 0
while libc.inotify_init1(0) >= 0:
    made += 1
print(f"made all {made}: {os.strerror(ctypes.get_errno())}", flush=True)
signal.pause()
"""


def test_what_the_kernel_counts_by_user_is_no_runs_to_use_up_for_root_or_for_others(launching):
    """inotify instances: 128 of each user by default, and the owner of a user namespace has those that are in it."""
    first, second = (launching.spec("/usr/bin/python3", "-c", WATCH_ALL) for _ in range(2))
    launching.client.start(first)
    launching.wait_for_output(first, "made all")
    launching.client.start(second)
    launching.wait_for_output(second, "made all")

    os.close(inotify.watch_modified(str(launching.root)))
    said = [launching.output_of(each) for each in (first, second)]
    launching.stop(first)
    launching.stop(second)

    assert [text for text in said if "made all 0" in text] == []
    assert all("Too many open files" in text for text in said)
