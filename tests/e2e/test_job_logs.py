"""What runs print: kept byte for byte, apart and stamped, rotated under load, followed without a gap."""

import base64
import random
import re
import threading

import pytest

from api.errors import NotFound
from support import host
from support.daemon import a_daemon

pytestmark = pytest.mark.needs_root

RECORD = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z (stdout|stderr) ([FP]) (.*)")
KiB = 1 << 10


@pytest.fixture(scope="module")
def daemon():
    """Files are small, and so many that nothing is lost."""
    before = host.snapshot()
    with a_daemon("logs.max_size=64Ki", "logs.max_files=100") as daemon:
        yield daemon
    host.assert_as_before(before)


@pytest.fixture(scope="module")
def forgetful():
    """Few small files, so that most is lost."""
    with a_daemon("logs.max_size=16Ki", "logs.max_files=3") as daemon:
        yield daemon


def records(path):
    return [RECORD.fullmatch(line).groups() for line in path.read_bytes().splitlines()]


def test_stdout_and_stderr_are_kept_apart_in_one_log_in_the_cri_format(daemon):
    job = daemon.shell("both", "echo one; echo two >&2; printf three; printf 'four\\n' >&2")
    daemon.ended("both")

    found = records(daemon.log_dir(job) / "0.log")

    assert [r for r in found if r[0] == b"stdout"] == [(b"stdout", b"F", b"one"), (b"stdout", b"P", b"three")]
    assert [r for r in found if r[0] == b"stderr"] == [(b"stderr", b"F", b"two"), (b"stderr", b"F", b"four")]
    assert daemon.log_of("both", stream="stdout") == "one\nthree"
    assert daemon.log_of("both", stream="stderr") == "two\nfour\n"
    assert re.fullmatch(r"(\d{4}-\S+Z (one|two|four)\n){3}\d{4}-\S+Z three", daemon.log_of("both", timestamps=True))
    assert (daemon.log_dir(job) / "0.log").stat().st_mode & 0o777 == 0o640


@pytest.mark.invariant("J6")
def test_output_comes_back_byte_for_byte(daemon):
    blob = random.Random(4).randbytes(600_000)
    files = [{"path": "blob", "base64": base64.b64encode(blob).decode()}]
    daemon.apply("binary", command=["cat", "blob"], files=files)

    daemon.ended("binary")

    assert daemon.log_bytes("binary") == blob
    assert daemon.log_bytes("binary", follow=True) == blob


def test_a_line_longer_than_a_record_comes_back_whole_and_counts_as_one(daemon):
    daemon.shell("long", "echo before; head -c 100000 /dev/zero | tr '\\0' x; echo; echo after")
    daemon.ended("long")

    assert daemon.log_of("long") == f"before\n{'x' * 100_000}\nafter\n"
    assert daemon.log_of("long", tail_lines=2) == f"{'x' * 100_000}\nafter\n"
    assert daemon.log_of("long", tail_lines=0) == ""


@pytest.mark.invariant("J6")
def test_following_a_job_that_prints_fast_misses_nothing_over_rotations(daemon):
    count = 400_000
    job = daemon.shell("fast", f"seq {count}")

    followed = daemon.log_of("fast", follow=True) if daemon.running_or_ended("fast") else ""

    assert daemon.ended("fast")["phase"] == "Succeeded"
    assert len(list(daemon.log_dir(job).iterdir())) > 3
    expected = "".join(f"{n}\n" for n in range(1, count + 1))
    assert followed == expected
    assert daemon.log_of("fast") == expected
    assert daemon.log_of("fast", tail_lines=3) == f"{count - 2}\n{count - 1}\n{count}\n"


def test_a_log_takes_no_more_room_than_the_settings_say(forgetful):
    count = 100_000
    job = forgetful.shell("much", f"seq {count}")
    followed = forgetful.log_of("much", follow=True) if forgetful.running_or_ended("much") else ""
    forgetful.ended("much")

    # What was being followed when the run ended goes when it has been read.
    forgetful.until("three files are left", lambda: len(list(forgetful.log_dir(job).iterdir())) == 3)
    files = list(forgetful.log_dir(job).iterdir())
    # A batch of output, 64 KiB at most, is never split over two files; as records of short lines it is 8 times that.
    assert sum(path.stat().st_size for path in files) <= 3 * (16 * KiB + 64 * KiB * 8)
    kept = [int(line) for line in forgetful.log_of("much").split()]
    assert kept == list(range(kept[0], count + 1))
    assert kept[0] > 1
    seen = [int(line) for line in followed.split()]
    assert seen == sorted(seen)
    assert seen[-1] == count


def test_following_gives_each_line_as_it_comes_and_ends_with_the_run(daemon):
    daemon.shell("slow", "echo first; exec sleep 60")
    daemon.printed("slow", "first")
    got, ended = [], threading.Event()

    def follow():
        with daemon.follow("slow") as chunks:
            for chunk in chunks:
                got.append(chunk)
        ended.set()

    thread = threading.Thread(target=follow)
    thread.start()
    daemon.until("the first line is there", lambda: b"".join(got) == b"first\n")
    assert not ended.is_set()
    daemon.delete("slow", grace_seconds=0)

    thread.join(10)
    assert ended.is_set()


def test_rnx_logs_follows_tails_and_looks_back(daemon):
    daemon.shell("cli", "seq 5; echo err >&2; exec sleep 0.5")

    followed = daemon.rnx("logs", "-f", "job/cli")

    assert followed.returncode == 0, followed.stderr
    assert sorted(followed.stdout.split()) == ["1", "2", "3", "4", "5", "err"]
    assert daemon.rnx("logs", "job/cli", "--tail", "2").stdout in ("5\nerr\n", "4\n5\n", "err\n5\n")
    assert len(daemon.rnx("logs", "job/cli", "--since", "1h").stdout.splitlines()) == 6
    daemon.until("a second has passed", lambda: daemon.log_of("cli", since_seconds=1) == "", 10)
    assert daemon.rnx("logs", "job/cli", "--since", "1s").stdout == ""


def test_a_run_that_left_no_log_is_not_found_and_the_message_says_why(daemon):
    daemon.shell("unstarted", "true", suspend=True)

    with pytest.raises(NotFound, match="it has not started|no log|not found"):
        daemon.log_of("unstarted")
    with pytest.raises(NotFound):
        daemon.log_of("nobody")
