"""Limits as a job meets them, measured twice: from its cgroup's own files and from what its status says."""

import os
import time

import pytest

from api.cli.output import size
from support import host
from support.daemon import a_daemon

pytestmark = pytest.mark.needs_root

MiB = 1 << 20
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
