"""What runs leave, whole: files that are kept when they end, and all that they print; gone with the job."""

import hashlib
import os
import signal
import subprocess

import pytest

from api.kinds import VOLUME
from support.daemon import RNX, Daemon

pytestmark = pytest.mark.needs_root


@pytest.fixture(scope="module")
def daemon():
    with Daemon("files.artifacts_size=64Mi", "logs.max_size=256Ki", "logs.max_files=2") as daemon:
        daemon.start()
        yield daemon


def kept_on_disk(daemon, uid=""):
    root = daemon.root / "var/lib/runwright/artifacts" / uid
    return [path for path in root.rglob("*") if path.is_file()]


def test_a_failed_run_leaves_what_its_job_names_and_it_goes_with_the_job(daemon, tmp_path):
    script = "mkdir -p out/deep; echo 1,2 > out/deep/a.csv; echo x > out/b.txt; chmod 0 out/b.txt; exit 3"
    flags = ("--name=leaving", "--artifact=out", "--artifact=*.log")

    done = daemon.rnx("job", "run", *flags, "--", "sh", "-c", script)
    fetched = daemon.rnx("job", "download", "leaving", "-o", str(tmp_path))

    assert (done.returncode, fetched.returncode) == (3, 0), fetched.stderr
    assert (tmp_path / "out/deep/a.csv").read_text() == "1,2\n"
    assert (tmp_path / "out/b.txt").read_text() == "x\n"
    status = daemon.status("leaving")["artifacts"]
    assert (status["count"], [file["path"] for file in status["files"]]) == (2, ["out/b.txt", "out/deep/a.csv"])
    daemon.rnx("job", "delete", "leaving")
    assert kept_on_disk(daemon) == []


@pytest.mark.invariant("U4")
def test_a_job_gets_nothing_of_the_host_into_its_artifacts(daemon, tmp_path):
    script = (
        "ln -s /etc/shadow a; ln -s ../../../../etc/shadow b; ln -s /proc/1/root c; mkfifo d;"
        "ln -s /proc/self/environ e; ln -s /dev/null f; mkdir g; ln -s / g/h; echo mine > i"
    )

    daemon.rnx("job", "run", "--name=hostile", "--artifact=**", "--", "sh", "-c", script)
    listed = daemon.rnx("job", "download", "hostile", "--list")

    assert [line.split()[-1] for line in listed.stdout.splitlines()] == ["PATH", "i"]


@pytest.mark.invariant("U5")
def test_a_run_whose_supervisor_is_killed_while_it_keeps_leaves_nothing(daemon):
    script = "for n in 1 2 3 4 5 6 7 8 9; do head -c 6000000 /dev/urandom > $n; done"
    daemon.shell("killed", script, artifacts=["*"], resources={"limits": {"ephemeral-storage": "128Mi"}})
    uid, pid = daemon.jobs()["killed"]["metadata"]["uid"], daemon.running("killed")["pid"]
    daemon.until("it is being kept", lambda: kept_on_disk(daemon, uid), every=0.002)

    os.kill(pid, signal.SIGKILL)
    status = daemon.ended("killed")

    run = status["runs"][0]
    if run["reason"] == "RunLost":  # Else it was faster than we.
        assert "artifacts" not in status
        daemon.until("nothing is left", lambda: not kept_on_disk(daemon, uid))
    assert run["reason"] in ("RunLost", "Completed")
    daemon.rnx("job", "delete", "killed")


def test_what_was_kept_is_there_after_the_daemon_was_killed(daemon, tmp_path):
    daemon.rnx("job", "run", "--name=before", "--artifact=a", "--", "sh", "-c", "echo kept > a")
    os.kill(daemon.pid, signal.SIGKILL)
    daemon.wait_daemon()
    daemon.start()

    daemon.rnx("job", "download", "before", "-o", str(tmp_path))

    assert (tmp_path / "a").read_text() == "kept\n"


def test_of_several_runs_the_last_is_kept(daemon, tmp_path):
    script = "echo $JOB_ATTEMPT > a; test $JOB_ATTEMPT = 2"
    daemon.shell("retried", script, artifacts=["a"], backoffLimit=2, backoffSeconds=0.1)
    status = daemon.ended("retried")

    daemon.rnx("job", "download", "retried", "-o", str(tmp_path))

    assert ((tmp_path / "a").read_text(), status["artifacts"]["attempt"]) == ("2\n", 2)


PRINTER = """
import hashlib, random, sys
source, digest = random.Random(7), hashlib.sha256()
for _ in range(100):
    piece = source.randbytes(100_003)
    digest.update(piece)
    sys.stdout.buffer.write(piece)
sys.stdout.flush()
print(digest.hexdigest(), file=sys.stderr)
sys.exit(5)
"""


@pytest.mark.invariant("J22")
def test_what_a_job_prints_is_ours_byte_for_byte_however_much_it_is_and_its_exit_code_too(daemon, tmp_path):
    """Twenty times as much as the settings keep of other logs."""
    command = [str(RNX), "--root", str(daemon.root), "job", "run", "--name=printer", "--", "python3", "-c", PRINTER]
    with (tmp_path / "out").open("wb") as out:
        done = subprocess.run(command, stdout=out, stderr=subprocess.PIPE, text=True, timeout=120, check=False)

    content = (tmp_path / "out").read_bytes()
    assert (done.returncode, len(content)) == (5, 10_000_300)
    assert done.stderr == f"{hashlib.sha256(content).hexdigest()}\n"


def test_what_a_job_prints_without_a_newline_is_printed_so(daemon):
    command = [str(RNX), "--root", str(daemon.root), "job", "run", "--", "printf", "a\\000b\\r"]

    done = subprocess.run(command, capture_output=True, timeout=60, check=False)

    assert (done.returncode, done.stdout) == (0, b"a\0b\r")


def test_files_in_a_volume_below_work_stay_there_and_the_status_says_so(daemon):
    spec = {"type": "memory", "size": "1Mi"}
    document = {"apiVersion": "runwright.dev/v1alpha1", "kind": "Volume", "metadata": {"name": "data"}, "spec": spec}
    daemon.client.apply(VOLUME, "default", document)
    script = "echo 1 > data/a; mkdir -p data/deep; ln -s data/a through; echo 2 > own"
    mounts = [{"name": "data", "mountPath": "/work/data"}]

    daemon.shell("mounted", script, artifacts=["**"], volumeMounts=mounts)
    daemon.ended("mounted")
    kept = daemon.status("mounted")["artifacts"]
    daemon.rnx("job", "delete", "mounted")
    daemon.rnx("volume", "remove", "data")

    assert [file["path"] for file in kept["files"]] == ["own"]
    why = "2 (it is in a volume, which keeps it itself; the first is "
    assert kept["leftOut"] in (f'{why}"data")', f'{why}"through")')
