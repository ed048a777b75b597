"""Limits as a job meets them, measured twice: from its cgroup's own files and from what its status says."""

import os
import signal
import time
from pathlib import Path

import pytest

from api.cli.output import size
from controller.cgroup import choose
from controller.cgroup.disks import Disks, NoDisk
from controller.daemon.paths import Paths
from controller.daemon.settings import Settings
from controller.sandbox.legacy import legacy_binds
from support import host
from support.daemon import a_daemon

pytestmark = pytest.mark.needs_root

MiB = 1 << 20
HOST = choose.hierarchies_of_host()
EAT = "import mmap\nb = mmap.mmap(-1, 1 << 30)\nfor at in range(0, 1 << 30, 4096):\n    b[at] = 1\n    {every}\n"


@pytest.fixture(scope="module")
def daemon():
    before = host.snapshot()
    with a_daemon() as daemon:
        yield daemon
    host.assert_as_before(before)


def run_of(status):
    return status["runs"][-1]


def value(daemon, job, v1, v2):
    """Read one number of a job's cgroup: `v1` and `v2` are (controller, file)."""
    cgroups = daemon.cgroups_of(job)
    is_v1 = "freezer" in cgroups
    controller, file = v1 if is_v1 else v2
    return (cgroups[controller] / file).read_text()


def cpu_seconds(daemon, job):
    text = value(daemon, job, ("cpuacct", "cpuacct.usage"), ("cpu", "cpu.stat"))
    return int(text) / 1e9 if text.strip().isdigit() else int(text.split()[1]) / 1e6


@pytest.mark.invariant("J5")
def test_a_job_over_its_memory_is_killed_at_it(daemon):
    limit = 96 * MiB
    say = "if at % (1 << 20) == 0: print(at, flush=True)"
    files = [{"path": "eat.py", "text": EAT.format(every=say)}]
    job = daemon.apply("hog", command=["python3", "eat.py"], files=files, resources={"limits": {"memory": "96Mi"}})

    status = daemon.ended("hog")

    run = run_of(status)
    assert (status["phase"], run["reason"], run["exitCode"]) == ("Failed", "OOMKilled", 137)
    assert 0.95 * limit <= run["usage"]["memoryPeakBytes"] <= 1.05 * limit
    touched = int(daemon.log_of("hog").split()[-1])
    interpreter = 16 * MiB
    assert limit - interpreter <= touched <= limit
    assert daemon.cgroups_of(job) == {}


def test_memory_is_counted_for_all_processes_and_files_of_a_job_together(daemon):
    daemon.shell(
        "together",
        "for n in 1 2 3 4; do head -c 20M /dev/zero > /tmp/$n & done; wait; echo all",
        resources={"limits": {"memory": "48Mi"}},
    )

    run = run_of(daemon.ended("together"))

    assert run["reason"] == "OOMKilled"
    assert 0.95 * 48 * MiB <= run["usage"]["memoryPeakBytes"] <= 1.05 * 48 * MiB


def test_a_job_below_its_memory_is_left_alone(daemon):
    daemon.apply(
        "modest",
        command=["python3", "-c", "b = bytearray(60 << 20); print(len(b))"],
        resources={"limits": {"memory": "96Mi"}},
    )

    status = daemon.ended("modest")

    assert (status["phase"], status["reason"]) == ("Succeeded", "Completed")
    assert 60 * MiB <= run_of(status)["usage"]["memoryPeakBytes"] <= 96 * MiB


@pytest.mark.invariant("J5")
def test_a_job_of_half_a_core_gets_half_a_core(daemon):
    """By two busy processes, over five seconds; from the cgroup's counter, the metrics, and the status afterwards."""
    spin = "while :; do :; done & while :; do :; done"
    job = daemon.shell("half", spin, resources={"limits": {"cpu": "500m"}}, terminationGracePeriodSeconds=0)
    daemon.running("half")
    daemon.until("it spins", lambda: cpu_seconds(daemon, job) > 0.1)

    used, since = cpu_seconds(daemon, job), time.monotonic()
    daemon.until("five seconds have passed", lambda: time.monotonic() - since >= 5, 10)
    cores = (cpu_seconds(daemon, job) - used) / (time.monotonic() - since)
    metric = daemon.metric("runwright_job_cpu_seconds_total", job="half")
    throttled = daemon.metric("runwright_job_cpu_throttled_seconds_total", job="half")
    now = cpu_seconds(daemon, job)
    daemon.stop("half")
    usage = run_of(daemon.ended("half"))["usage"]

    assert 0.45 <= cores <= 0.55
    assert metric == pytest.approx(now, abs=0.3)
    assert throttled > 1
    assert usage["cpuSeconds"] == pytest.approx(now, abs=0.6)
    assert usage["throttledSeconds"] > 1


def test_what_a_run_is_held_to_is_told_while_it_runs_and_if_it_is_lost(daemon):
    daemon.shell("served", "exec sleep 1000", resources={"limits": {"memory": "32Mi"}})
    daemon.running("served")

    receipt = daemon.until("there is a receipt", lambda: run_of(daemon.status("served")).get("receipt"))
    described = daemon.rnx("describe", "job", "served").stdout
    os.kill(run_of(daemon.status("served"))["pid"], signal.SIGKILL)
    run = run_of(daemon.ended("served"))

    assert (receipt["memoryBytes"], receipt["pids"], receipt["seccompMode"]) == (32 * MiB, 512, 2)
    assert f"memory {size(32 * MiB)}, pids 512" in described
    assert (run["reason"], run["receipt"]) == ("RunLost", receipt)


def test_a_job_that_does_not_say_how_much_memory_is_held_to_the_settings_share_of_the_hosts(daemon):
    daemon.shell("unsaid", "true")

    enforced = run_of(daemon.ended("unsaid"))["receipt"]["memoryBytes"]

    assert enforced == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") * 90 // 100
    assert f"memory {size(enforced)}" in daemon.rnx("describe", "job", "unsaid").stdout


@pytest.mark.invariant("J5")
def test_a_fork_bomb_stops_at_its_pids(daemon):
    bomb = """
import os, signal
made = 1
while True:
    try:
        if os.fork() == 0:
            signal.pause()
    except OSError as error:
        print(made, error.errno, flush=True)
        signal.pause()
    made += 1
"""
    files = [{"path": "bomb.py", "text": bomb}]
    job = daemon.apply("bomb", command=["python3", "bomb.py"], files=files, resources={"limits": {"pids": 24}})

    said = daemon.printed("bomb", "\n")

    assert said == "24 11\n"
    assert int(value(daemon, job, ("pids", "pids.current"), ("pids", "pids.current"))) == 24
    assert int(value(daemon, job, ("pids", "pids.max"), ("pids", "pids.max"))) == 24
    assert daemon.metric("runwright_job_processes", job="bomb") == 24
    daemon.delete("bomb", grace_seconds=0)
    daemon.gone("bomb", 5)


def test_a_job_that_says_nothing_gets_the_default_pids(daemon):
    job = daemon.shell("default-pids", "echo ready; exec sleep 60")
    daemon.printed("default-pids", "ready")

    limit = int(value(daemon, job, ("pids", "pids.max"), ("pids", "pids.max")))
    daemon.delete("default-pids", grace_seconds=0)

    assert limit == 512
    daemon.gone("default-pids", 5)


def test_a_job_cannot_change_its_own_limits(daemon):
    names = "-name memory.limit_in_bytes -o -name memory.max -o -name pids.max"
    find = (
        f"find / -path /usr -prune -o -path /proc -prune -o {names} 2>/dev/null | grep -v -e ^/usr$ -e ^/proc$ | wc -l"
    )
    daemon.shell("prisoner", f"{find}; ls /sys 2>/dev/null | wc -l; mount -t cgroup x /tmp 2>/dev/null || echo no")

    daemon.ended("prisoner")

    assert daemon.log_of("prisoner").split() == ["0", "0", "no"]


def test_a_job_that_says_nothing_has_limits_of_everything_it_can_use_up(daemon):
    daemon.shell("silent", "ulimit -n; ulimit -Hc")

    receipt = run_of(daemon.ended("silent"))["receipt"]

    assert all(receipt[name] > 0 for name in ("memoryBytes", "pids", "workBytes", "tmpBytes", "shmBytes"))
    assert daemon.log_of("silent").split() == ["1024", "0"]


def test_all_limits_that_a_job_asks_for_reach_its_processes(daemon):
    limits = {"openFiles": 40, "fileSize": "1Mi", "coreSize": "4Ki", "tmp-storage": "5Mi", "shm-storage": "6Mi"}
    script = (
        "ulimit -n; ulimit -f; df -k --output=size /tmp /dev/shm | grep -v K; grep Cpus_allowed_l /proc/self/status"
    )
    daemon.shell("asking", script, resources={"limits": limits, "cpuSet": "0", "cpuWeight": 50})

    run = run_of(daemon.ended("asking"))

    assert daemon.log_of("asking").split() == ["40", "2048", "5120", "6144", "Cpus_allowed_list:", "0"]
    assert (run["receipt"]["cpuSet"], run["receipt"]["cpuWeight"]) == ("0", 50)
    described = daemon.rnx("describe", "job", "asking").stdout
    assert "openFiles 40, fileSize 1Mi, coreSize 4Ki, cpuWeight 50, cpuSet 0" in described
    assert "openFiles 40, fileSize 1048576, coreSize 4096, cpuWeight 50, cpuSet 0" in described


@pytest.mark.invariant("J8")
def test_a_job_whose_limits_this_host_cannot_hold_waits_and_says_which(daemon):
    daemon.shell("elsewhere", "true", resources={"cpuSet": "0,4000"})

    status = waiting(daemon, "elsewhere", "LimitUnenforceable")

    assert status["phase"] == "Pending"
    assert "spec.resources.cpuSet: this host has no CPU 4000: it has " in status["message"]
    daemon.patch("elsewhere", resources={"cpuSet": "0"})
    assert daemon.ended("elsewhere")["phase"] == "Succeeded"


def test_io_of_a_job_is_limited_on_the_disks_of_the_hosts_programs_or_it_waits(daemon):
    """Whether there are such disks is the host's: in a container, or on memory, there are none to be seen."""
    binds, _ = legacy_binds(_links("/"), _links("/etc"))
    try:
        disks = Disks.of_host().behind(bind.source for bind in binds)
    except NoDisk:
        disks = ()
    daemon.shell("reader", "true", resources={"limits": {"io": {"readBytesPerSecond": "50Mi"}}})

    if not disks:
        assert waiting(daemon, "reader", "LimitUnenforceable")
        return
    told = run_of(daemon.ended("reader"))["receipt"]["io"]
    assert told == [{"device": disk, "readBytesPerSecond": 50 * MiB} for disk in disks]


def waiting(daemon, name, reason):
    """Wait until a job says that it waits for `reason`; return the whole status that says so."""
    return daemon.until(f"{name} waits: {reason}", lambda: (s := daemon.status(name)).get("reason") == reason and s)


def _links(directory):
    return {each.name: os.readlink(each) if each.is_symlink() else None for each in os.scandir(directory)}


def test_everything_that_runs_is_in_one_cgroup_with_caps_that_settings_say(daemon):
    """Another daemon, whose caps change while it is down and are lowered by somebody else."""
    file = "memory.limit_in_bytes" if HOST.version == 1 else "memory.max"
    with a_daemon("cgroup.memory=256Mi", "cgroup.cpu=1.5", "cgroup.pids=200") as capped:
        name = Paths.of(capped.root, Settings()).cgroup_slice(Settings())
        memory, pids = Path(HOST.mounts["memory"], name, file), Path(HOST.mounts["pids"], name, "pids.max")
        first = (memory.read_text(), pids.read_text())
        capped.shell("big", "cat /proc/1/comm; sleep 0.1", resources={"limits": {"cpu": "4", "memory": "1Gi"}})
        receipt = run_of(capped.ended("big"))["receipt"]
        launcher = Path(HOST.mounts["memory"], name, "launcher/cgroup.procs").read_text().split()
        names = {Path(f"/proc/{pid}/comm").read_text().strip() for pid in launcher}
        capped.stop_daemon()
        capped.settings = ("cgroup.memory=512Mi",)
        capped.start()
        second = memory.read_text()
        capped.stop_daemon()
        memory.write_text(str(100 * MiB))
        capped.start()
        third, log = memory.read_text(), capped.log.read_text()

    assert (first, second, third) == ((f"{256 * MiB}\n", "200\n"), f"{512 * MiB}\n", f"{100 * MiB}\n")
    assert receipt["cpuMillicpu"] == 1500  # No more than all have together.
    assert "rnx-run" in names  # Supervisors that are ready.
    assert "which somebody else set: it is lower than cgroup.memory, and kept" in log
