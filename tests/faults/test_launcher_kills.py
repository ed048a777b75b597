"""SIGKILL at any moment: what was begun is found and told truthfully; nothing is lost, and nothing runs twice."""

import contextlib
import fcntl
import os
import random
import select
import signal
import struct
import threading
from pathlib import Path

import pytest

from controller.cgroup import choose
from controller.launcher.client import LauncherClient, LauncherError
from controller.launcher.records import Exited, Lost, Running, Unclaimed
from controller.linux import mount_api
from controller.linux.mount_api import MountAttribute
from support.in_child import in_own_mounts
from support.launching import wait_for_end

pytestmark = pytest.mark.needs_root

JOBS = 60
KILLS = 20
THREADS = 4
FS_IOC_GETFLAGS = 0x80086601
FS_IOC_SETFLAGS = 0x40086602
FS_APPEND_FL = 0x20
MOUNTS = choose.hierarchies_of_host().mounts


def start_until_ended(launching, specs, failures):
    """What a controller does for each run, with nothing but its directory to go by."""
    for spec in specs:
        try:
            while isinstance(launching.observe(spec), Unclaimed):
                with contextlib.suppress(LauncherError):  # It may be killed while it is being started, too.
                    launching.client.ensure_running()
                    launching.client.start(spec)
            wait_for_end(Path(spec.run_dir))
        except Exception as error:  # noqa: BLE001 - told to the test
            failures.append(error)


def test_runs_survive_kills_of_the_launcher_and_each_is_executed_once(launching):
    specs = [
        launching.spec("sh", "-c", f"echo ran; sleep 0.0{number % 5}; exit {number % 3}") for number in range(JOBS)
    ]
    failures: list[Exception] = []
    threads = [
        threading.Thread(target=start_until_ended, args=(launching, specs[first::THREADS], failures))
        for first in range(THREADS)
    ]
    moments = random.Random(7)
    for thread in threads:
        thread.start()
    for _ in range(KILLS):
        select.poll().poll(moments.uniform(0, 60))
        kill_launcher(launching)
    for thread in threads:
        thread.join()

    assert failures == []
    for number, spec in enumerate(specs):
        observed = launching.observe(spec)
        assert isinstance(observed, Exited), (spec.run_id, observed)
        assert observed.record.exit_code == number % 3, observed
        assert launching.output_of(spec) == "ran\n"
        assert launching.observe(spec) == observed


def kill_launcher(launching):
    try:
        os.kill(launching.client.ping(), signal.SIGKILL)
    except (LauncherError, ProcessLookupError):
        return


def test_a_supervisor_that_is_killed_is_lost_and_takes_its_run_along(launching):
    spec = launching.spec("sleep", "600")
    launching.client.start(spec)
    running = launching.observe(spec)
    assert isinstance(running, Running)

    os.kill(running.pid, signal.SIGKILL)

    observed = wait_for_end(Path(spec.run_dir))
    assert isinstance(observed, Lost)
    assert observed.reason == f"its supervisor (process {running.pid}) ended without a record of the run's exit"
    assert launching.client.start(spec) is None


def test_a_launcher_that_is_killed_leaves_no_idle_supervisors(launching):
    launching.until(lambda: launching.client.status()["warm"] > 0)

    kill_launcher(launching)
    launching.client.ensure_running()

    # What is left of the first is seen by `host_is_clean`, as the second ends in order.
    assert launching.run("true")[0].reason == "Completed"


def test_a_controller_that_starts_again_adopts_the_run(launching):
    """A second client knows nothing but the directory."""
    spec = launching.spec("sh", "-c", "sleep 0.2; exit 4")
    launching.client.start(spec)
    launching.client.close()

    running = launching.observe(spec)
    assert isinstance(running, Running)
    fd = running.hold()
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    assert poll.poll(20_000)
    os.close(fd)

    observed = launching.observe(spec)
    assert isinstance(observed, Exited)
    assert observed.record.exit_code == 4


def test_a_full_disk_costs_a_run_its_output_and_not_its_outcome(launching):
    """The log's directory is a file system of one page; the run's own directory is not."""
    spec = launching.spec("sh", "-c", "head -c 100000 /dev/zero | tr '\\0' 'x'; echo; echo end")

    def body():
        with mount_api.new_filesystem("tmpfs", {"size": "4096"}, MountAttribute.NODEV) as tree:
            mount_api.attach(tree, spec.log_dir)
        return own_launcher_runs(launching, spec)

    record = in_own_mounts(body)

    assert (record.reason, record.exit_code) == ("Completed", 0)
    assert record.dropped_log_bytes > 90_000


def own_launcher_runs(launching, spec):
    """Run `spec` in a launcher of this mount namespace, started and ended here."""
    client = own_launcher(launching)
    client.start(spec)
    record = launching.record_of(spec)
    client.shutdown()
    return record


def own_launcher(launching):
    root = launching.root / "own"
    (root / "launcher").mkdir(parents=True)
    client = LauncherClient(root / "launcher.sock", root / "launcher", root / "launcher.log")
    client.ensure_running()
    return client


def why_refused(client, spec):
    try:
        client.start(spec)
    except LauncherError as error:
        return str(error)
    return ""


def mounted_there(size, place):
    with mount_api.new_filesystem("tmpfs", {"size": str(size)}, MountAttribute.NODEV) as tree:
        mount_api.attach(tree, place)


def test_a_run_without_room_for_its_record_is_not_claimed(launching):
    """The run's directory is a file system of one page, in which its claim has room."""
    spec = launching.spec("true")

    def body():
        mounted_there(4096, spec.run_dir)
        client = own_launcher(launching)
        why = why_refused(client, spec)
        client.shutdown()
        return why, launching.observe(spec), os.listdir(spec.run_dir)

    why, observed, left = in_own_mounts(body)

    disk = "No space left on device: make room on its disk"
    assert why == f"cannot claim the run in {spec.run_dir}: {disk}"
    assert (observed, left) == (Unclaimed(), [])


def test_a_full_disk_ends_no_supervisor_before_its_run_and_runs_begin_when_there_is_room(launching):
    (launching.root / "runs").mkdir()

    def body():
        mounted_there(256 << 10, launching.root / "runs")
        first, second = (launching.spec("true") for _ in range(2))
        client = own_launcher(launching)
        client.start(first)
        launching.record_of(first)
        filler = launching.root / "runs" / "filler"
        fill(filler)
        refused = {why_refused(client, second) for _ in range(10)}
        os.truncate(filler, 0)
        client.start(second)
        record = launching.record_of(second)
        client.shutdown()
        return second.run_dir, refused, record, (launching.root / "own/launcher.log").read_text()

    run_dir, refused, record, log = in_own_mounts(body)

    disk = "No space left on device: make room on its disk"
    assert refused == {f"cannot claim the run in {run_dir}: {disk}"}
    assert record.reason == "Completed"
    assert "Traceback" not in log


def fill(path):
    with contextlib.suppress(OSError), open(path, "wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


def test_a_run_that_cannot_be_supervised_is_killed_before_it_is_recorded(launching):
    """The log's directory may be appended to only, so that the supervisor cannot give it its later owner."""
    spec = launching.spec("sh", "-c", "sleep 600 & sleep 600")

    with append_only(spec.log_dir):
        launching.client.start(spec)
        record = launching.record_of(spec)

    assert (record.reason, record.exit_code, record.signal) == ("Error", 137, signal.SIGKILL)
    assert record.message == "cannot supervise the run: [Errno 1] Operation not permitted: it was killed"
    assert record.receipt["seccompMode"] == 2


@contextlib.contextmanager
def append_only(directory):
    """As `chattr +a` has it."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    (flags,) = struct.unpack("L", fcntl.ioctl(fd, FS_IOC_GETFLAGS, bytes(8)))
    fcntl.ioctl(fd, FS_IOC_SETFLAGS, struct.pack("L", flags | FS_APPEND_FL))
    yield
    fcntl.ioctl(fd, FS_IOC_SETFLAGS, struct.pack("L", flags))
    os.close(fd)


@pytest.mark.elsewhere("cgroup v1: a part of a run's cgroup can be taken away while it runs on version 1 only")
@pytest.mark.skipif("cpuacct" not in MOUNTS, reason="this host counts CPU time by cgroup version 2")
def test_a_run_whose_usage_cannot_be_read_is_recorded_without(launching):
    spec = launching.spec("sh", "-c", "echo ready; exec sleep 600")
    launching.client.start(spec)
    launching.wait_for_output(spec, "ready")
    parent = Path(MOUNTS["cpuacct"], launching.cgroup_parent)
    for pid in (parent / spec.cgroup / "cgroup.procs").read_text().split():
        (parent / "cgroup.procs").write_text(pid)
    (parent / spec.cgroup).rmdir()

    launching.stop(spec)

    record = launching.record_of(spec)
    assert (record.reason, record.signal, record.usage) == ("Stopped", signal.SIGTERM, {})
    assert record.receipt["seccompMode"] == 2
