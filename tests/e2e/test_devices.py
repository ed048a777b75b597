"""Devices of CDI specs, from the directory to the run: given to one at a time, whoever is killed, and freed at the end."""

import fcntl
import os
import shutil
import signal
from itertools import pairwise

import pytest

from support import cdi, host
from support.cdi import KIND, a_device, a_node, a_spec
from support.daemon import a_daemon

pytestmark = pytest.mark.needs_root

ONE = a_device("0", a_node("/dev/test/zero"), env=["TEST_DEVICE=zero", "TEST_OTHER=device"])
OTHER = a_device("1", a_node("/dev/test/full", "/dev/full"), env=["TEST_DEVICE=full"])
SHOW = "echo $(ls /dev/test) $TEST_DEVICE; "
UNTIL_TOLD = "while ! head -c 1 /dev/test/* >/dev/null || [ ! -e /work/never ]; do sleep 0.1; done"


def limits(count=1, kind=KIND):
    return {"limits": {kind: count}}


@pytest.fixture(scope="module")
def devices_of_the_host():
    """Other runs of these tests on this host would have the same devices, and wait for ours: so they take turns."""
    with open("/run/runwright-test.devices", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="module")
def shared(devices_of_the_host):
    """A daemon for all tests here, and the directory it reads specs from; all of it is gone afterwards."""
    before = host.snapshot()
    root = host.directory_on_disk("runwright-test-")
    root.chmod(0o755)
    with a_daemon(f"devices.cdi_directories=[{root / 'cdi'}]", "runtime.default_registry=") as daemon:
        yield daemon, root
    shutil.rmtree(root)
    host.assert_as_before(before)


@pytest.fixture
def daemon(shared):
    daemon, _ = shared
    yield daemon
    for name in daemon.jobs():
        daemon.delete(name, grace_seconds=0)
    for name in daemon.jobs():
        daemon.gone(name)


@pytest.fixture
def directory(shared):
    _, root = shared
    path = root / "cdi"
    path.mkdir(mode=0o755)
    yield path
    shutil.rmtree(path)


def waits(daemon, name, reason):
    status = daemon.until(f"{name} waits: {reason}", lambda: (s := daemon.status(name)).get("reason") == reason and s)
    return status["message"]


def test_two_jobs_and_one_device_run_one_after_the_other(daemon, directory):
    cdi.write(directory, "a.json", a_spec(ONE))
    daemon.shell("first", SHOW + UNTIL_TOLD, resources=limits())
    daemon.running("first")

    daemon.shell("second", SHOW + "date +%s", resources=limits())

    assert (
        waits(daemon, "second", "DevicesUnavailable")
        == f"1 of {KIND} wanted, 0 free of 1, held by job/default/first: place 1 of 1 in the queue, priority 0"
    )
    daemon.printed("first", "zero zero")
    daemon.stop("first")
    (run,) = daemon.ended("second", 12)["runs"]
    assert (run["exitCode"], run["devices"]) == (0, [f"{KIND}=0"])
    assert daemon.log_of("second").startswith("zero zero\n")


def test_each_of_two_runs_sees_its_own_device_and_not_the_others(daemon, directory):
    cdi.write(directory, "a.json", a_spec(ONE, OTHER))
    for name in ("first", "second"):
        daemon.shell(name, SHOW + UNTIL_TOLD, resources=limits())
    daemon.shell("third", "ls -d /dev/test; echo none $TEST_DEVICE")

    runs = {name: daemon.running(name) for name in ("first", "second")}

    shown = {tuple(run["devices"]): daemon.printed(name, "\n") for name, run in runs.items()}
    assert shown == {(f"{KIND}=0",): "zero zero\n", (f"{KIND}=1",): "full full\n"}
    daemon.ended("third")
    assert sorted(daemon.log_of("third").splitlines()) == [
        "ls: cannot access '/dev/test': No such file or directory",
        "none",
    ]
    for name in runs:
        daemon.stop(name)


def test_a_device_is_the_runs_after_the_daemon_and_the_launcher_were_killed(daemon, directory):
    cdi.write(directory, "a.json", a_spec(ONE))
    daemon.shell("first", SHOW + UNTIL_TOLD, resources=limits())
    daemon.running("first")
    daemon.shell("second", SHOW, resources=limits())
    waits(daemon, "second", "DevicesUnavailable")

    os.kill(daemon.pid, signal.SIGKILL)
    daemon.wait_daemon()
    daemon.kill_launcher()
    daemon.start()
    daemon.shell("third", SHOW, resources=limits())

    assert "held by job/default/first" in waits(daemon, "third", "DevicesUnavailable")
    assert not daemon.status("second").get("runs")
    daemon.stop("first")
    for name in ("second", "third"):
        assert daemon.ended(name)["runs"][0]["devices"] == [f"{KIND}=0"]


def test_a_spec_that_goes_while_its_device_is_used_ends_no_run_and_gives_none_to_another(daemon, directory):
    path = cdi.write(directory, "a.json", a_spec(ONE))
    daemon.shell("first", SHOW + UNTIL_TOLD, resources=limits())
    daemon.running("first")

    path.unlink()
    daemon.shell("second", SHOW, resources=limits())

    told = waits(daemon, "second", "DevicesNotFound")
    assert told.startswith(f"1 of {KIND} wanted, and this host has none: no CDI spec in {directory} declares it")
    assert daemon.status("first")["phase"] == "Running"
    cdi.write(directory, "a.json", a_spec(ONE))
    daemon.stop("first")
    assert daemon.ended("second")["phase"] == "Succeeded"


def test_what_can_never_run_here_and_what_is_broken_says_so_and_runs_nothing(daemon, directory):
    hook = {"hookName": "createContainer", "path": "/opt/vendor/hook", "args": ["hook", "prepare"]}
    cdi.write(directory, "a.json", a_spec(ONE))
    cdi.write(directory, "b.json", a_spec(a_device("0", hooks=[hook]), kind="vendor.com/odd"))
    (directory / "c.json").write_text("{")

    daemon.shell("many", SHOW, resources=limits(2))
    daemon.shell("odd", SHOW, resources=limits(1, "vendor.com/odd"))
    daemon.shell("none", SHOW, resources=limits(1, "nvidia.com/gpu"))

    assert "it can never run here: ask for at most 1" in waits(daemon, "many", "DevicesInsufficient")
    assert "its createContainer hook is /opt/vendor/hook prepare" in waits(daemon, "odd", "DevicesUnusable")
    told = waits(daemon, "none", "DevicesNotFound")
    assert f"cannot use {directory}/c.json: it is no JSON" in told
    assert not any(daemon.status(name).get("runs") for name in ("many", "odd", "none"))


def test_files_env_and_libraries_of_a_device_reach_the_run(daemon, directory):
    (directory.parent / "vendor.conf").write_text("from the driver\n")
    (directory.parent / "vendor.conf").chmod(0o644)
    libc = (
        os.path.realpath("/lib/x86_64-linux-gnu/libc.so.6")
        if os.path.exists("/lib/x86_64-linux-gnu")
        else "/lib/libc.so.6"
    )
    ldcache = {
        "hookName": "createContainer",
        "path": "/usr/bin/nvidia-cdi-hook",
        "args": ["nvidia-cdi-hook", "update-ldcache", "--folder", "/usr/lib/vendor"],
    }
    mounts = [
        {
            "hostPath": str(directory.parent / "vendor.conf"),
            "containerPath": "/usr/share/vendor/vendor.conf",
            "options": ["ro"],
        },
        {"hostPath": libc, "containerPath": "/usr/lib/vendor/libvendor.so.550", "options": ["ro", "bind"]},
    ]
    cdi.write(directory, "a.json", a_spec(ONE, mounts=mounts, hooks=[ldcache]))
    script = """
        cat /usr/share/vendor/vendor.conf; echo $LD_LIBRARY_PATH; readlink /run/devices/lib/libc.so.6; echo $TEST_DEVICE $TEST_OTHER
        (: > /usr/share/vendor/vendor.conf) 2>&1 | grep -o 'Read-only file system'
    """

    daemon.shell("uses", script, env=[{"name": "TEST_OTHER", "value": "mine"}], resources=limits())

    assert daemon.ended("uses")["phase"] == "Succeeded", daemon.log_of("uses")
    assert daemon.log_of("uses").splitlines() == [
        "from the driver",
        "/run/devices/lib",
        "/usr/lib/vendor/libvendor.so.550",
        "zero mine",
        "Read-only file system",
    ]
    assert not os.path.exists("/usr/lib/vendor")


def test_people_see_which_device_a_run_has(daemon, directory):
    cdi.write(directory, "a.json", a_spec(ONE))
    daemon.shell("first", SHOW + UNTIL_TOLD, resources=limits())
    daemon.running("first")

    described, explained = (
        daemon.rnx("describe", "job", "first").stdout,
        daemon.rnx("explain", "job/first", "-o", "wide").stdout,
    )

    assert f"{KIND} 1" in described
    assert f"{KIND}=0" in described
    assert f"devices: {KIND}=0" in explained
    assert "/dev/test/zero" in explained
    daemon.stop("first")


def test_gpus_can_be_asked_for_on_the_command_line(daemon, directory):
    cdi.write(directory, "a.json", a_spec(ONE, kind="nvidia.com/gpu"))
    cdi.write(directory, "b.json", a_spec(OTHER, kind="amd.com/gpu"))

    one = daemon.rnx("job", "run", "--gpu=1", "sh", "-c", "ls /dev/test")
    both = daemon.rnx("job", "run", "--gpu=1", "--device", "amd.com/gpu=1", "sh", "-c", "ls /dev/test")
    many = daemon.rnx("job", "run", "--gpu=2000", "true")

    assert (one.returncode, one.stdout) == (0, "zero\n")
    assert (both.returncode, both.stdout) == (0, "full\nzero\n")
    assert (many.returncode, "--gpu: " in many.stderr) == (2, True), many.stderr


@pytest.fixture
def neighbour(directory):
    """Another daemon of the same host, with a root of its own, that reads the same specs."""
    with a_daemon(f"devices.cdi_directories=[{directory}]", "runtime.default_registry=") as daemon:
        yield daemon


@pytest.mark.invariant("X31")
def test_a_device_that_a_run_of_another_daemon_has_is_waited_for_and_named(daemon, neighbour, directory):
    cdi.write(directory, "a.json", a_spec(ONE))
    daemon.shell("first", SHOW + UNTIL_TOLD, resources=limits())
    daemon.running("first")

    neighbour.shell("second", SHOW, resources=limits())
    told = waits(neighbour, "second", "DevicesUnavailable")
    os.kill(daemon.pid, signal.SIGKILL)
    daemon.wait_daemon()
    daemon.kill_launcher()
    neighbour.shell("third", SHOW, resources=limits())
    told_again = waits(neighbour, "third", "DevicesUnavailable")
    daemon.start()
    daemon.stop("first")
    ended = [neighbour.ended(name)["runs"][0]["devices"] for name in ("second", "third")]

    assert told == f"1 of {KIND} wanted, 0 free of 1, held by job/default/first of the daemon of {daemon.root}"
    assert told_again == told
    assert ended == [[f"{KIND}=0"]] * 2


@pytest.mark.invariant("X31")
def test_of_jobs_of_two_daemons_one_at_a_time_has_the_device(daemon, neighbour, directory):
    """Each says when it had it: none while another had."""
    cdi.write(directory, "a.json", a_spec(ONE))
    script = "date +%s%N; head -c 1 /dev/test/zero > /dev/null; sleep 0.3; date +%s%N"
    names = [f"job-{number}" for number in range(3)]
    for name in names:
        for each in (daemon, neighbour):
            each.shell(name, script, resources=limits())

    times = []
    for each in (daemon, neighbour):
        for name in names:
            status = each.ended(name, 120)
            assert status["phase"] == "Succeeded", status
            *_, last = status["runs"]
            times.append([int(word) for word in each.log_of(name, last["attempt"]).split()])

    times.sort()
    assert len(times) == 6
    assert all(one[1] <= other[0] for one, other in pairwise(times))
