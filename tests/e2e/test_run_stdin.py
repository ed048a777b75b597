"""The standard input of jobs through a real daemon: rnx job run -i, rnx attach -i, kills of the daemon, jobs that do not read."""

import os
import select
import signal
import subprocess

import pytest

from support import host
from support.daemon import RNX, a_daemon

# httpcore leaves a socket to the garbage collector when a connection is refused, which is what dead daemons do.
pytestmark = [pytest.mark.needs_root, pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")]

MIB = 1 << 20
WAIT_SECONDS = 30


@pytest.fixture(scope="module")
def daemon():
    before = host.snapshot()
    with a_daemon("jobs.workers=4") as daemon:
        yield daemon
    host.assert_as_before(before)


def popen(daemon, *arguments):
    return subprocess.Popen(
        [str(RNX), "--root", str(daemon.root), *arguments],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def rnx(daemon, *arguments, stdin=b""):
    with popen(daemon, *arguments) as process:
        out, err = process.communicate(stdin, timeout=60)
    return process.returncode, out, err.decode()


def said_by(process, text):
    """What `process` prints, up to and with `text`."""
    out = b""
    while text not in out:
        assert select.select([process.stdout], [], [], WAIT_SECONDS)[0], out
        chunk = os.read(process.stdout.fileno(), 1 << 16)
        assert chunk, (out, process.stderr.read())
        out += chunk
    return out


def a_cat(daemon, name, **spec):
    daemon.apply(name, command=["cat"], stdin=True, backoffLimit=0, **spec)
    daemon.running(name)


def test_what_is_piped_into_rnx_goes_through_the_job_and_its_end_ends_it(daemon):
    assert rnx(daemon, "job", "run", "-i", "cat", stdin=b"hi\n") == (0, b"hi\n", "")
    assert rnx(daemon, "job", "run", "-i", "--", "sh", "-c", "wc -c; exit 3", stdin=b"") == (3, b"0\n", "")


def test_megabytes_go_in_as_they_are(daemon):
    content = os.urandom(20 * MIB)

    code, out, err = rnx(daemon, "job", "run", "-i", "--", "sh", "-c", "tee copy | wc -c; md5sum < copy", stdin=content)

    assert (code, out.split()[0], err) == (0, b"%d" % len(content), "")


def test_a_job_that_reads_nothing_ends_as_it_would(daemon):
    with popen(daemon, "job", "run", "-i", "--", "sh", "-c", "exit 4") as process:
        assert process.wait(WAIT_SECONDS) == 4


def test_one_that_is_started_detached_waits_for_who_attaches(daemon):
    assert rnx(daemon, "job", "run", "-d", "-i", "--name=late", "cat")[0] == 0
    daemon.running("late")

    code, out, _ = rnx(daemon, "attach", "-i", "late", stdin=b"said\n")

    assert (code, out) == (0, b"said\n")


@pytest.mark.invariant("X62")
def test_who_leaves_ends_it_where_it_is_once(daemon):
    a_cat(daemon, "once", stdinOnce=True)
    with popen(daemon, "attach", "-i", "once") as process:
        process.stdin.write(b"x\n")
        process.stdin.flush()
        said_by(process, b"x\n")
        process.send_signal(signal.SIGKILL)

    assert daemon.ended("once")["phase"] == "Succeeded"


def test_without_once_another_goes_on_where_the_first_left(daemon):
    a_cat(daemon, "many")
    for word in (b"one\n", b"two\n"):
        with popen(daemon, "attach", "-i", "many") as process:
            process.stdin.write(word)
            process.stdin.close()
            assert said_by(process, word) == word
            process.send_signal(signal.SIGKILL)

    assert daemon.log_so_far("many") == "one\ntwo\n"
    daemon.delete("many")


@pytest.mark.invariant("X61")
def test_a_job_that_does_not_read_holds_up_its_own_client_alone(daemon):
    daemon.apply("deaf", command=["sleep", "1000"], stdin=True)
    a_cat(daemon, "hears")
    daemon.running("deaf")
    with popen(daemon, "attach", "-i", "deaf") as deaf, popen(daemon, "attach", "-i", "hears") as hears:
        os.set_blocking(deaf.stdin.fileno(), False)
        sent = 0
        while select.select([], [deaf.stdin], [], 1)[1]:
            sent += os.write(deaf.stdin.fileno(), bytes(4096))
            assert sent < 64 * MIB
        hears.stdin.write(b"heard\n")
        hears.stdin.flush()
        assert said_by(hears, b"heard\n") == b"heard\n"
        for process in (deaf, hears):
            process.send_signal(signal.SIGKILL)
    for name in ("deaf", "hears"):
        daemon.delete(name)


@pytest.mark.invariant("X62")
def test_a_daemon_that_is_killed_while_somebody_is_attached_ends_nothing_and_its_successor_goes_on(daemon):
    a_cat(daemon, "kept", stdinOnce=True)
    with popen(daemon, "attach", "-i", "kept") as first:
        first.stdin.write(b"before\n")
        first.stdin.flush()
        said_by(first, b"before\n")
        daemon.kill_daemon()
        daemon.kill_launcher()
        first.wait(WAIT_SECONDS)
    daemon.start()

    code, out, err = rnx(daemon, "attach", "-i", "kept", stdin=b"after\n")

    assert (code, out) == (0, b"after\n"), err
    assert daemon.log_of("kept") == "before\nafter\n"


def test_who_runs_a_job_is_told_that_its_input_may_be_lost_with_the_daemon(daemon):
    with popen(daemon, "job", "run", "-i", "--name=torn", "cat") as process:
        process.stdin.write(b"before\n")
        process.stdin.flush()
        said_by(process, b"before\n")
        daemon.kill_daemon()
        _, err = process.communicate(timeout=WAIT_SECONDS)
    daemon.start()

    assert (process.returncode, b"rnx attach -i torn gives it more" in err) == (1, True), err
    assert rnx(daemon, "attach", "-i", "torn", stdin=b"after\n")[:2] == (0, b"after\n")


@pytest.mark.invariant("X62")
def test_a_daemon_that_is_stopped_while_somebody_is_attached_ends_nothing_either(daemon):
    a_cat(daemon, "stays", stdinOnce=True)
    with popen(daemon, "attach", "-i", "stays") as first:
        first.stdin.write(b"before\n")
        first.stdin.flush()
        said_by(first, b"before\n")
        daemon.stop_daemon()
        first.wait(WAIT_SECONDS)
    daemon.start()

    assert rnx(daemon, "attach", "-i", "stays", stdin=b"after\n")[:2] == (0, b"after\n")


def test_a_job_without_one_says_what_to_do(daemon):
    daemon.apply("plain", command=["sleep", "1000"])
    daemon.running("plain")

    code, _, err = rnx(daemon, "attach", "-i", "plain")

    assert (code, "it is /dev/null: set spec.stdin of its job, or use exec -i" in err) == (1, True)
    daemon.delete("plain")


def test_once_it_has_ended_nobody_is_attached_to_it(daemon):
    script = "cat; echo ended; exec sleep 1000"
    daemon.shell("over", script, stdin=True, stdinOnce=True)
    daemon.running("over")
    with popen(daemon, "attach", "-i", "over") as process:
        process.stdin.close()
        said_by(process, b"ended\n")
        process.send_signal(signal.SIGKILL)

    code, _, err = rnx(daemon, "attach", "-i", "over")

    assert (code, "its standard input has ended" in err) == (1, True)
    daemon.delete("over")
