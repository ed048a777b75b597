"""Uploads, whole: from a directory of this machine into a run's /work, whoever is killed on the way."""

import hashlib
import os
import signal
import socket
import subprocess

import pytest

from api.errors import Forbidden
from api.kinds import NAMESPACE
from support.counting_way import Counting
from support.daemon import RNX, Daemon

pytestmark = pytest.mark.needs_root

SIZE = 200 << 20
SHOW = "cd pkg; stat -c '%A %n' *; sha256sum model; readlink bin/latest; cat bin/latest; ls empty | wc -l"


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    return tmp_path_factory.mktemp("shared")


@pytest.fixture(scope="module")
def daemon(shared):
    with Daemon("files.upload_size=1Gi", f"policy.host_files={{default: [{shared}]}}") as daemon:
        daemon.start()
        yield daemon


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "model"
    path.write_bytes(os.urandom(5_000_000))
    path.chmod(0o640)
    return path


def digest_of(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_directory_arrives_with_its_modes_its_links_and_what_is_empty(daemon, tmp_path):
    top = tmp_path / "pkg"
    for name in ("bin", "empty"):
        (top / name).mkdir(parents=True)
    (top / "bin" / "tool-1").write_text("the tool")
    (top / "bin" / "latest").symlink_to("tool-1")
    (top / "bin").chmod(0o710)
    (top / "model").write_bytes(os.urandom(3_000_000))
    (top / "model").chmod(0o640)

    done = daemon.rnx("job", "run", f"--upload-dir={top}", "--", "sh", "-c", SHOW)

    assert done.stdout.splitlines() == [
        "drwx--x--- bin", "drwxr-xr-x empty", "-rw-r----- model", "lrwxrwxrwx pkg", f"{digest_of(top / 'model')}  model",
        "tool-1", "the tool0",
    ]  # fmt: skip


def test_what_a_job_writes_into_its_upload_is_its_own(daemon, model):
    script = "echo changed > model; cat model"

    done = [daemon.rnx("job", "run", f"--upload={model}", "--", "sh", "-c", script) for _ in range(2)]
    again = daemon.rnx("job", "run", f"--upload={model}", "--", "sha256sum", "model")

    assert [each.stdout for each in done] == ["changed\n"] * 2
    assert again.stdout == f"{digest_of(model)}  model\n"


def test_what_does_not_fit_into_work_is_refused_with_the_flag(daemon, tmp_path):
    big = tmp_path / "big"
    with big.open("wb") as file:
        file.truncate(300 << 20)

    refused = daemon.rnx("job", "run", f"--upload={big}", "true")
    done = daemon.rnx("job", "run", "--max-disk=400", f"--upload={big}", "--", "stat", "-c", "%s", "big")

    assert (refused.returncode, "/work has 268435456" in refused.stderr, "--max-disk" in refused.stderr) == (
        2,
        True,
        True,
    )
    assert done.stdout == f"{300 << 20}\n"


@pytest.mark.invariant("U1")
def test_a_job_of_another_namespace_gets_nothing_by_a_digest(daemon, model):
    daemon.rnx("job", "run", f"--upload={model}", "true")
    daemon.client.create(NAMESPACE, "", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "thief"}})
    manifest = f"""{{apiVersion: runwright.dev/v1alpha1, kind: Job, metadata: {{name: theft, namespace: thief}},
      spec: {{command: [cat, model], files: [{{path: model, upload: "sha256:{digest_of(model)}"}}]}}}}"""

    done = daemon.rnx("apply", "-f", "-", stdin=manifest)

    assert done.returncode != 0
    assert "was not uploaded in namespace thief" in done.stderr


@pytest.mark.invariant("U2")
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_an_upload_survives_the_ends_of_the_client_and_of_the_daemon_and_no_byte_is_sent_twice(daemon, tmp_path, end):
    big = tmp_path / "big"
    with big.open("wb") as file:
        file.truncate(SIZE)
    arriving = daemon.root / "var/lib/runwright/contents/arriving"
    way = Counting(daemon.socket, daemon.root / f"way-{end}")
    flags = ("job", "run", f"--upload={big}", "--max-disk=300", "--", "sha256sum", "big")
    command = [str(RNX), "--server", f"unix://{way.path}", *flags]

    def has_come(size):
        return any(path.stat().st_size > size for path in arriving.glob("*/default/*/file-*"))

    killed = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    daemon.until("the upload has begun", lambda: has_come(20 << 20), every=0.005)
    killed.kill()
    killed.communicate()
    rnx = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    daemon.until("the upload goes on", lambda: has_come(100 << 20), every=0.005)
    os.kill(daemon.pid, end)
    daemon.wait_daemon()
    daemon.start()
    out, err = rnx.communicate(timeout=60)
    way.close()

    assert (rnx.returncode, out) == (0, f"{digest_of(big)}  big\n"), err
    assert "trying again" in err
    assert way.sent < SIZE + (8 << 20)  # What the daemon had in its buffers when it was killed.


@pytest.mark.invariant("U7")
def test_a_job_gets_copies_of_files_of_the_host_where_the_policy_says_so(daemon, shared):
    (shared / "set").mkdir(mode=0o750)
    (shared / "set" / "a").write_text("one")
    (shared / "set" / "b").symlink_to("a")
    files = [
        {"path": "data/set", "hostPath": str(shared / "set")},
        {"path": "tool", "hostPath": str(shared / "set/a"), "mode": 0o755},
    ]
    script = "cd data; stat -c %A set set/a ../tool; cat set/b ../tool; echo mine > set/a; cat set/b"

    daemon.shell("of-the-host", script, files=files)
    daemon.ended("of-the-host")

    assert daemon.log_of("of-the-host") == "drwxr-x---\n-rw-r--r--\n-rwxr-xr-x\noneonemine\n"
    assert (shared / "set" / "a").read_text() == "one"


def test_a_job_that_names_a_file_which_the_policy_does_not_give_is_refused_with_the_setting(daemon):
    with pytest.raises(Forbidden, match=r"spec.files\[0\].hostPath: .*policy.host_files .* nothing at /etc/shadow"):
        daemon.shell("theft", "cat x", files=[{"path": "x", "hostPath": "/etc/shadow"}])


def test_a_job_whose_file_of_the_host_is_not_there_says_so_and_waits(daemon, shared):
    daemon.shell("early", "cat late", files=[{"path": "late", "hostPath": str(shared / "late")}])

    def told():
        return "late: No such file or directory" in daemon.status("early").get("message", "")

    daemon.until("it says what is missing", told)
    (shared / "late").write_text("here")
    daemon.patch("early", files=[{"path": "late", "hostPath": str(shared / "late"), "mode": 0o600}])
    daemon.ended("early")

    assert daemon.log_of("early") == "here"


def test_a_run_that_can_never_have_a_file_of_the_host_ends_and_keeps_nothing_from_others(daemon, shared, monkeypatch):
    (shared / "sockets").mkdir()
    monkeypatch.chdir(shared / "sockets")  # The path may be too long for a socket.
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("x")

    job = daemon.shell("never", "true", files=[{"path": "d", "hostPath": str(shared / "sockets")}])
    status = daemon.ended("never")

    (run,) = status["runs"]
    assert (status["phase"], run["reason"]) == ("Failed", "CreateContainerConfigError")
    assert "cannot start job/default/never: spec.files[0].hostPath: cannot copy" in run["message"]
    assert "sockets/x: it is a socket: name a file or a directory" in run["message"]
    daemon.until("nothing is left of the run", lambda: not daemon.run_dir(job).exists())
