"""The daemon as who installs it meets it: its command line, what it refuses and why, its stops and starts."""

import ctypes
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from api.kinds import JOB
from controller.cgroup.choose import hierarchies_of_host
from support import host
from support.daemon import Daemon, a_daemon, is_alive

pytestmark = pytest.mark.needs_root

TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


@pytest.fixture
def place():
    """A root in which no daemon runs."""
    before = host.snapshot()
    with Daemon() as place:
        yield place
    host.assert_as_before(before)


@pytest.fixture
def typed(place):
    """The same, for a daemon that is started by its command line, as by who installs it."""
    place.may_be_forked = False
    return place


@pytest.fixture(scope="module")
def daemon():
    before = host.snapshot()
    with a_daemon() as daemon:
        yield daemon
    host.assert_as_before(before)


def configure(place, text):
    path = place.root / "etc/runwright/config.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def refused(place, *arguments):
    """Start the daemon, which must end by itself at once with 1; return what it says."""
    done = place.run_daemon(*arguments)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


# Its command line


def check_config(root, text):
    """Have `--check-config` look at these settings; return how it ended and what it said."""
    path = root / "etc/runwright/config.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    command = [sys.executable, "-m", "controller", "--root", str(root), "--check-config"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    assert sorted(str(found.relative_to(root)) for found in root.rglob("*")) == [
        "etc", "etc/runwright", "etc/runwright/config.yaml",
    ]  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def test_good_settings_are_called_good_and_nothing_is_made(tmp_path):
    assert check_config(tmp_path, "jobs:\n  pids: 64\n") == (0, "settings are good\n", "")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("job:\n  pids: 64\n", "unknown key job: did you mean jobs?"),
        ("jobs:\n  pids: lots\n", "cannot use setting jobs.pids of"),
        ("jobs: [\n", "it is no YAML"),
        ("- jobs\n", "it must hold sections such as `runtime:`, not a list"),
    ],
)
def test_settings_that_are_not_good_are_told_apart(tmp_path, text, message):
    code, _, said = check_config(tmp_path, text)

    assert code == 1
    assert message in said


def test_a_setting_that_nobody_knows_does_not_keep_the_daemon_from_starting(typed):
    configure(typed, "jobs:\n  colour: blue\n")

    typed.start()

    assert "unknown key jobs.colour" in typed.log.read_text()


def test_a_wrong_setting_keeps_the_daemon_from_starting(typed):
    configure(typed, "jobs:\n  pids: lots\n")

    assert "cannot use setting jobs.pids" in refused(typed)


def test_what_is_wrong_with_a_flag_is_told(typed):
    assert "there is no setting jobs.pid" in refused(typed, "--set", "jobs.pid=3")
    assert typed.run_daemon("--no-such-flag").returncode == 2


# What it refuses


def test_a_second_daemon_of_a_root_is_refused_and_the_first_goes_on(daemon):
    said = refused(daemon)

    assert f"another runwrightd (process {daemon.pid}) holds {daemon.root}/run/runwright/runwrightd.lock" in said
    assert "use another --root" in said
    assert daemon.client.transport.text("/readyz")


def test_cleaning_under_a_running_daemon_is_refused(daemon):
    assert "stop it" in refused(daemon, "--clean")


def test_a_root_that_cannot_hold_directories_is_refused_with_its_name(place):
    (place.root / "var").mkdir()
    (place.root / "var/lib").write_text("a file in the way")

    said = refused(place)

    assert f"cannot make the directory {place.root}/var/lib/runwright: Not a directory: make it a directory" in said


def test_a_root_whose_socket_path_would_be_too_long_is_refused(place):
    assert "too long" in refused(place, "--root", f"{place.root}/{'deep' * 30}")


def test_a_store_that_is_newer_or_damaged_is_refused_and_left_as_it_is(place):
    place.start()
    place.stop_daemon()
    store = place.root / "var/lib/runwright/store.db"
    with sqlite3.connect(store) as connection:
        connection.execute("INSERT INTO migrations (name) VALUES ('9999-from-the-future')")
    connection.close()

    newer = refused(place)

    assert f"cannot open the store {store}: a newer runwright wrote it" in newer
    assert "upgrade runwright, or restore a backup" in newer
    for tail in ("-wal", "-shm"):
        Path(f"{store}{tail}").unlink(missing_ok=True)
    store.write_bytes(b"nonsense " * 1000)

    said = refused(place)

    assert str(store) in said
    assert "backup" in said
    assert store.read_bytes() == b"nonsense " * 1000


def test_something_in_the_place_of_the_api_socket_is_refused(place):
    socket = place.root / "run/runwright/api.sock"
    socket.mkdir(parents=True)

    assert f"cannot listen at {socket}: there is something else than a socket: remove it" in refused(place)


# Stopping and starting


def test_what_tests_fork_is_as_what_its_command_line_starts(place):
    """In all that a process has of its own: else the tests that fork daemons would be of something else."""
    looks = []
    for may_be_forked in (True, False):
        place.may_be_forked = may_be_forked
        place.start()
        looks.append(look_at(place.pid))
        place.stop_daemon()

    assert looks[0] == looks[1]


def look_at(pid):
    proc = Path(f"/proc/{pid}")
    told = dict(line.split(":\t", 1) for line in (proc / "status").read_text().splitlines())
    same = ("Umask", "Uid", "Gid", "Groups", "SigBlk", "SigIgn", "SigCgt", "CapEff", "NoNewPrivs", "Seccomp")
    open_files = sorted(re.sub(r"\d+|/[^/]*-(wal|shm)$", "", os.readlink(each)) for each in (proc / "fd").iterdir())
    return {
        **{name: told[name] for name in same},
        "limits": (proc / "limits").read_text(),
        "namespaces": {each.name: os.readlink(each) for each in (proc / "ns").iterdir()},
        "directory": os.readlink(proc / "cwd"),
        "priority": os.getpriority(os.PRIO_PROCESS, pid),
        "group and session": (os.getpgid(pid), os.getsid(pid)),
        "opened": open_files,
    }


@pytest.mark.invariant("J4")
def test_a_stopped_daemon_leaves_its_runs_alive_and_the_next_adopts_them(typed):
    typed.start()
    job = typed.shell("lives", "echo $$; exec sleep 600", terminationGracePeriodSeconds=0)
    typed.printed("lives", "\n")
    before = typed.status("lives")["runs"][0]

    for number in (signal.SIGTERM, signal.SIGINT):
        os.kill(typed.pid, number)
        assert typed.wait_daemon() == 0
        assert is_alive(before["pid"])
        typed.start()
        after = typed.running("lives")
        assert (after["pid"], after["startedAt"]) == (before["pid"], before["startedAt"])

    assert typed.status("lives")["attempts"] == 1
    assert typed.log.read_text().count("msg=ended") == 2
    typed.delete("lives")
    typed.gone("lives", 5)
    assert typed.cgroups_of(job) == {}


def test_a_daemon_ends_whichever_of_its_threads_the_kernel_interrupts(typed):
    """As it does with the others while the main thread is traced: that one sleeps on."""
    typed.start()
    others = [int(tid) for tid in os.listdir(f"/proc/{typed.pid}/task") if int(tid) != typed.pid]

    assert ctypes.CDLL(None).tgkill(typed.pid, others[0], signal.SIGTERM) == 0
    assert typed.wait_daemon() == 0

    assert typed.log.read_text().count("msg=ended") == 1


def test_a_daemon_that_is_asked_to_stop_ends_at_once_whoever_watches_it(typed):
    typed.start()
    typed.shell("watched", "echo ready; exec sleep 60", terminationGracePeriodSeconds=0)
    typed.printed("watched", "ready")
    ended = []
    follow = threading.Thread(target=lambda: ended.append(typed.rnx("logs", "-f", "job/watched")))
    follow.start()
    typed.until("someone follows", lambda: "rnx" in _children(os.getpid()))

    begin = time.monotonic()
    typed.stop_daemon()
    took = time.monotonic() - begin
    typed.start()
    typed.delete("watched")
    follow.join()

    assert took < 4
    assert "Traceback" not in typed.log.read_text()
    assert "Traceback" not in ended[0].stderr


@pytest.mark.invariant("J4")
def test_a_run_that_ended_while_no_daemon_was_there_is_told_by_the_next(place):
    place.start()
    job = place.shell("later", "trap 'exit 7' USR1; echo ready; while :; do sleep 0.02; done")
    place.printed("later", "ready")
    pid = place.status("later")["runs"][0]["pid"]
    place.kill_daemon()
    procs = (next(iter(place.cgroups_of(job).values())) / "cgroup.procs").read_text().split()
    (shell,) = [int(each) for each in procs if _name(each) == "sh"]
    os.kill(shell, signal.SIGUSR1)
    place.until("the run has ended", lambda: not is_alive(pid))

    place.start()

    status = place.ended("later")
    assert (status["runs"][0]["exitCode"], status["attempts"]) == (7, 1)


def test_cleaning_ends_what_runs_and_leaves_what_is_declared(typed):
    typed.start()
    job = typed.shell("left", "echo ready; exec sleep 600")
    typed.printed("left", "ready")
    pid = typed.status("left")["runs"][0]["pid"]
    typed.kill_daemon()

    done = typed.run_daemon("--clean")

    assert done.returncode == 0, done.stderr
    assert f"removed {job['metadata']['uid']}-1" in done.stdout
    assert not is_alive(pid)
    assert typed.cgroups_of(job) == {}
    typed.start()
    assert typed.get(JOB, "left")["metadata"]["uid"] == job["metadata"]["uid"]
    run = typed.until("told", lambda: (r := typed.status("left")["runs"][0])["state"] == "Ended" and r)
    assert run["reason"] == "RunLost"


@pytest.mark.skipif(hierarchies_of_host().version != 1, reason="a cgroup of version 2 keeps its name")
@pytest.mark.elsewhere("cgroup v1")
def test_cleaning_removes_the_cgroup_that_a_killed_supervisor_had_ready(typed):
    typed.start()
    job = typed.shell("left", "echo ready; exec sleep 600")
    typed.printed("left", "ready")
    blank = next(iter(typed.cgroups_of(job).values())).with_name("blank-3999")
    blank.mkdir()  # As it leaves it where its launcher was killed, too.
    typed.kill_daemon()

    done = typed.run_daemon("--clean")

    assert done.returncode == 0, done.stderr
    assert not blank.exists()


def test_with_runtimes_switched_off_a_job_that_names_one_waits_and_says_so(place):
    place.settings = ("runtime.enabled=false",)
    place.start()
    place.apply("wants", runtime="python-3.11")
    place.shell("wants-none", "true")

    waiting = place.until("waits", lambda: (s := place.status("wants")).get("reason") == "RuntimesDisabled" and s)

    assert waiting["phase"] == "Pending"
    assert "set runtime.enabled" in waiting["message"]
    assert place.ended("wants-none")["phase"] == "Succeeded"


def test_only_so_many_runs_are_active_at_once_and_the_others_follow(place):
    place.settings = ("jobs.max_active=3", "jobs.workers=1")
    place.start()
    names = [f"crowd-{number}" for number in range(9)]
    for name in names:
        place.shell(name, "echo begin; sleep 0.2; echo end")

    statuses = [place.ended(name) for name in names]

    moments = []
    for status in statuses:
        run = status["runs"][0]
        moments += [(run["startedAt"], 1), (run["finishedAt"], -1)]
    active, most = 0, 0
    for _, change in sorted(moments):
        active += change
        most = max(most, active)
    assert {status["phase"] for status in statuses} == {"Succeeded"}
    assert most == 3


# At rest


@pytest.mark.invariant("J7")
def test_an_idle_daemon_writes_nothing_and_takes_next_to_no_time(place):
    place.settings = ("jobs.workers=8",)
    place.start()
    for number in range(100):
        place.apply(f"done-{number:03}")
    place.until("all ended", lambda: all(is_over(job) for job in place.jobs().values()), 60, every=0.2)
    place.until("at rest", lambda: _is_at_rest(place), 20, every=0.5)

    revision, used, since = revision_of(place), _cpu_seconds(place.pid), time.monotonic()
    place.until("five seconds have passed", lambda: time.monotonic() - since >= 5, 10, every=1)
    share = (_cpu_seconds(place.pid) - used) / (time.monotonic() - since)

    assert revision_of(place) == revision
    assert share < 0.02, f"{share:.1%} of a core"


def is_over(job):
    return job.get("status", {}).get("phase") in ("Succeeded", "Failed")


def revision_of(place):
    return place.client.list(JOB)["metadata"]["resourceVersion"]


def _is_at_rest(place):
    before = revision_of(place)
    threading.Event().wait(0.5)
    return revision_of(place) == before


def _cpu_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_A_SECOND


def _name(pid):
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except FileNotFoundError:
        return ""


def _children(pid):
    found = []
    for child in Path(f"/proc/{pid}/task").glob("*/children"):
        for number in child.read_text().split():
            found.append(Path(f"/proc/{number}/cmdline").read_text().replace("\0", " "))
    return " ".join(re.findall(r"\S+", " ".join(found)))
