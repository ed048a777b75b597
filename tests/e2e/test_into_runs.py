"""Into running jobs through a real daemon: rnx exec, attach, cp and top; kubectl; and what happens when somebody dies."""

import contextlib
import fcntl
import hashlib
import json
import os
import pty
import select
import shutil
import signal
import socket
import stat
import struct
import subprocess
import termios
import threading
from pathlib import Path

import pytest

from api import channels
from api.channels import Channel
from api.errors import BadRequest, NotFound
from api.kinds import JOB
from support import host
from support.daemon import RNX, a_daemon

pytestmark = pytest.mark.needs_root

MIB = 1 << 20
KUBECTL = shutil.which("kubectl")


@pytest.fixture(scope="module")
def daemon():
    before = host.snapshot()
    with a_daemon("jobs.workers=4") as daemon:
        daemon.shell("held", "echo begun; exec sleep 1000", env=[{"name": "GREETING", "value": "hello"}])
        daemon.running("held")
        yield daemon
    host.assert_as_before(before)


def rnx(daemon, *arguments, stdin=b"", timeout=60, umask=-1):
    command = [str(RNX), "--root", str(daemon.root), *arguments]
    done = subprocess.run(command, input=stdin, capture_output=True, timeout=timeout, check=False, umask=umask)
    return done.returncode, done.stdout, done.stderr.decode()


def popen(daemon, *arguments, **options):
    return subprocess.Popen([str(RNX), "--root", str(daemon.root), *arguments], **options)


def sleeping(seconds):
    found = []
    for each in Path("/proc").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, NotADirectoryError):
            if each.name.isdecimal() and (each / "cmdline").read_bytes() == b"sleep\0%d\0" % seconds:
                found.append(int(each.name))
    return found


def read_until(fd, text, seconds=20):
    out = b""
    while text not in out:
        assert select.select([fd], [], [], seconds)[0], out
        chunk = os.read(fd, 4096)
        assert chunk, out
        out += chunk
    return out


# exec


def test_output_and_exit_code_are_the_commands(daemon):
    code, out, err = rnx(daemon, "exec", "held", "--", "sh", "-c", "echo out; echo err >&2; pwd; exit 7")

    assert (code, out, err) == (7, b"out\n/work\n", "err\n")


def test_the_environment_is_the_jobs(daemon):
    _, out, _ = rnx(daemon, "exec", "held", "--", "sh", "-c", "echo $GREETING $JOB_NAME $JOB_ATTEMPT $HOME")

    assert out == b"hello held 1 /work\n"


def test_no_log_has_the_words_of_a_command(daemon):
    assert rnx(daemon, "exec", "held", "--", "echo", "pass-4711-word")[1] == b"pass-4711-word\n"

    logs = [daemon.log, daemon.root / "var/log/runwright/launcher.log"]
    assert [path for path in logs if "pass-4711-word" in path.read_text()] == []


@pytest.mark.parametrize("word", ["held", "job/held", "pod/held-1", "held-1"])
def test_a_run_may_be_named_by_its_job_or_its_pod(daemon, word):
    assert rnx(daemon, "exec", word, "--", "true")[0] == 0


def test_stdin_goes_in_and_its_end_too(daemon):
    code, out, _ = rnx(daemon, "exec", "-i", "held", "--", "sh", "-c", "cat; echo end", stdin=b"in\n")

    assert (code, out) == (0, b"in\nend\n")


def test_fifty_megabytes_go_through_both_ways_as_they_are(daemon):
    content = os.urandom(50 * MIB)

    code, out, _ = rnx(daemon, "exec", "-i", "held", "--", "cat", stdin=content)

    assert code == 0
    assert hashlib.sha256(out).hexdigest() == hashlib.sha256(content).hexdigest()


def test_a_command_that_is_not_there_is_told_as_a_shell_tells_it(daemon):
    code, _, err = rnx(daemon, "exec", "held", "--", "nonesuch")

    assert (code, "it is in no directory of PATH" in err) == (127, True)


def test_a_long_command_goes_in_and_one_that_is_too_long_or_no_text_says_so(daemon):
    words = ["sh", "-c", "echo $#", "sh"]

    longest = rnx(daemon, "exec", "held", "--", *words, *("a" * 90 for _ in range(590)))
    longer = rnx(daemon, "exec", "held", "--", *words, *("a" * 90 for _ in range(700)))
    no_text = rnx(daemon, "exec", "held", "--", "echo", b"\xff")
    no_path = rnx(daemon, "cp", "/etc/hostname", b"held:/work/\xff")

    assert longest[:2] == (0, b"590\n")
    assert (longer[0], "60000 at most go at once" in longer[2]) == (2, True)
    assert (no_text[0], "'\\udcff': it holds bytes that are no UTF-8" in no_text[2]) == (2, True)
    assert (no_path[0], "'/work/\\udcff': it holds bytes that are no UTF-8" in no_path[2]) == (2, True)


def test_a_terminal_has_our_size_follows_it_and_passes_keys_on(daemon):
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 111, 0, 0))
    # bash forgets a signal that comes while its trap runs: that is over at once.
    loop = "until read -t 0.1 x; do if [ $news ]; then news=; stty size; fi; done"
    script = f"tty; stty size; trap 'news=1' WINCH; echo ready; {loop}; echo got $x; exit 5"
    process = popen(
        daemon, "exec", "-it", "held", "--", "bash", "-c", script, stdin=theirs, stdout=theirs, stderr=theirs
    )
    try:
        before = read_until(ours, b"ready")
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 44, 122, 0, 0))
        process.send_signal(signal.SIGWINCH)
        read_until(ours, b"44 122")
        os.write(ours, b"word\r")
        read_until(ours, b"got word")
        assert process.wait(20) == 5
    finally:
        process.kill()
        process.wait()
        os.close(ours)
        os.close(theirs)
    assert b"/dev/pts/" in before


def test_an_interrupt_is_sent_on(daemon):
    process = popen(
        daemon, "exec", "held", "--", "sh", "-c", "trap 'echo caught; exit 9' INT; echo ready; while :; do sleep 0.02; done",
        stdout=subprocess.PIPE,
    )  # fmt: skip
    with process:
        read_until(process.stdout.fileno(), b"ready")
        process.send_signal(signal.SIGINT)
        read_until(process.stdout.fileno(), b"caught")
        assert process.wait(20) == 9


@pytest.mark.invariant("X42")
def test_a_killed_client_ends_what_it_had_executed(daemon):
    process = popen(daemon, "exec", "held", "--", "sh", "-c", "echo ready; exec sleep 88001", stdout=subprocess.PIPE)
    with process:
        read_until(process.stdout.fileno(), b"ready")
        daemon.until("it sleeps", lambda: sleeping(88001))
        process.kill()
        assert daemon.until("it has ended", lambda: not sleeping(88001))


def test_a_killed_client_ends_what_does_not_read_its_stdin(daemon):
    with popen(daemon, "exec", "-i", "held", "--", "sleep", "88002", stdin=subprocess.PIPE) as process:
        daemon.until("it sleeps", lambda: sleeping(88002))
        os.set_blocking(process.stdin.fileno(), False)
        stuffed = stuff(process.stdin.fileno())
        process.kill()
        daemon.until("it has ended", lambda: not sleeping(88002))
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
    assert stuffed > 100_000


def stuff(fd):
    """Write until nobody takes any more for a while; return how much was taken."""
    taken, quiet = 0, 0
    while quiet < 10:
        try:
            taken += os.write(fd, bytes(65536))
            quiet = 0
        except BlockingIOError:
            quiet += 1
            select.select([], [], [], 0.05)
    return taken


def test_a_reader_that_stops_reading_holds_up_the_command_and_no_memory(daemon):
    def memory():
        text = Path(f"/proc/{daemon.pid}/status").read_text()
        return int(text.partition("VmRSS:")[2].split()[0])

    before = memory()
    with daemon.client.execute("default", "held-1", ["sh", "-c", "yes | head -c 500000000"]) as stream:
        select.select([stream], [], [], 10)
        select.select([], [], [], 1.0)
        grown = memory() - before
    assert grown < 30_000


def test_many_commands_at_once_end_each_with_its_own_code(daemon):
    codes = {}

    def run(number):
        codes[number] = exit_code_of(daemon, "sh", "-c", f"exit {number}")

    threads = [threading.Thread(target=run, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == {number: number for number in range(20)}


def exit_code_of(daemon, *command):
    with daemon.client.execute("default", "held-1", command) as stream:
        while True:
            for message in stream.receive():
                channel, payload = channels.split(message)
                if channel == Channel.STATUS:
                    return channels.exit_code_of(json.loads(payload))
            select.select([stream], [], [], 30)


def test_nonsense_of_a_client_changes_nothing(daemon):
    nonsense = [
        b"",
        b"\x04{",
        b'\x04{"Width":-1,"Height":1e99}',
        b"\x05NONE",
        b"\x63x",
        b"\xff\x07",
        b"\x03x",
        b"\x01out",
    ]
    with daemon.client.execute("default", "held-1", ["cat"], takes_input=True) as stream:
        for message in nonsense:
            stream.send(message)
        stream.send(channels.frame(Channel.STDIN, b"sense"))
        stream.send(channels.frame(Channel.CLOSE, b"\0"))
        got = list(messages_of(stream))

    assert b"".join(payload for channel, payload in got if channel == Channel.STDOUT) == b"sense"
    assert json.loads(got[-1][1])["status"] == "Success"


def messages_of(stream):
    while not stream.is_over:
        yield from map(channels.split, stream.receive())
        if not stream.is_over:
            select.select([stream], [], [], 30)


@pytest.mark.parametrize(
    ("pod", "refusal"), [("none-1", NotFound), ("held-99", NotFound), ("ended-1", BadRequest), ("held", NotFound)]
)
def test_what_is_not_running_is_refused(daemon, pod, refusal):
    if "ended" not in daemon.jobs():
        daemon.shell("ended", "true")
        daemon.ended("ended")

    with pytest.raises(refusal):
        daemon.client.execute("default", pod, ["true"]).close()


def test_a_suspended_run_is_not_gone_into(daemon):
    daemon.shell("frozen", "exec sleep 1000")
    daemon.running("frozen")
    daemon.patch("frozen", suspend=True)
    daemon.until("it is frozen", lambda: daemon.status("frozen").get("phase") == "Suspended")

    code, _, err = rnx(daemon, "exec", "frozen", "--", "true")

    assert (code, "suspended" in err) == (1, True)
    daemon.delete("frozen")
    daemon.gone("frozen")


def test_how_a_command_ends_is_not_how_the_job_ends(daemon):
    daemon.shell("own-end", "while [ ! -e /work/go ]; do sleep 0.02; done; exit 3")
    daemon.running("own-end")

    assert rnx(daemon, "exec", "own-end", "--", "sh", "-c", "exit 9")[0] == 9
    assert rnx(daemon, "exec", "own-end", "--", "touch", "/work/go")[0] == 0

    assert daemon.ended("own-end")["runs"][-1]["exitCode"] == 3


# attach


def test_attach_prints_what_comes_from_now_on_and_ends_as_the_run_does(daemon):
    daemon.shell("talker", "echo before; while [ ! -e /work/go ]; do sleep 0.02; done; echo after; echo e >&2; exit 4")
    daemon.printed("talker", "before")
    with popen(daemon, "attach", "talker", stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        daemon.until("it is attached", lambda: attached_to(daemon))
        rnx(daemon, "exec", "talker", "--", "touch", "/work/go")
        out, err = process.communicate(timeout=30)

    assert (process.returncode, out, err) == (4, b"after\n", b"e\n")


def attached_to(daemon):
    """Whether the daemon follows a log: it watches the file."""
    links = []
    for each in Path(f"/proc/{daemon.pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            links.append(os.readlink(each))
    return sum("talker" in link for link in links) >= 2


# cp


def test_a_tree_goes_in_and_comes_out_as_it_was(daemon, tmp_path):
    source = tmp_path / "tree"
    (source / "sub").mkdir(parents=True)
    (source / "sub/file").write_bytes(os.urandom(3 * MIB))
    (source / "sub/file").chmod(0o751)
    (source / "link").symlink_to("sub/file")
    (source / "new\nline \udcff").write_bytes(b"odd")
    os.link(source / "sub/file", source / "same")

    into = rnx(daemon, "cp", str(source), "held:/work/")
    out = rnx(daemon, "cp", "held:/work/tree", str(tmp_path / "back"))

    assert (into, out) == ((0, b"", ""), (0, b"", ""))
    assert sorted(os.listdir(tmp_path / "back")) == sorted(os.listdir(source))
    assert (tmp_path / "back/sub/file").read_bytes() == (source / "sub/file").read_bytes()
    assert (tmp_path / "back/sub/file").stat().st_mode == (source / "sub/file").stat().st_mode
    assert (tmp_path / "back/same").stat().st_ino == (tmp_path / "back/sub/file").stat().st_ino
    assert os.readlink(tmp_path / "back/link") == "sub/file"


def test_what_comes_out_has_no_permission_that_the_umask_forbids(daemon, tmp_path):
    rnx(
        daemon,
        "exec",
        "held",
        "--",
        "sh",
        "-c",
        "mkdir -m 777 /work/open; touch /work/open/it; chmod 777 /work/open/it",
    )

    rnx(daemon, "cp", "held:/work/open", str(tmp_path / "open"), umask=0o027)

    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("open", "open/it")]
    assert modes == [0o750, 0o750]


def test_what_goes_in_is_the_jobs_own(daemon, tmp_path):
    (tmp_path / "file").write_bytes(b"it")

    rnx(daemon, "cp", str(tmp_path / "file"), "held:/work/mine")

    assert rnx(daemon, "exec", "held", "--", "stat", "-c", "%u:%g", "/work/mine")[1] == b"0:0\n"


def test_a_link_of_the_job_leads_out_of_nothing(daemon, tmp_path):
    script = "mkdir -p /work/evil; cd /work/evil; ln -sfn /etc etc; ln -sf ../../victim up; echo x > file"
    rnx(daemon, "exec", "held", "--", "sh", "-c", script)
    (tmp_path / "victim").write_bytes(b"kept")
    (tmp_path / "in").mkdir()

    code, _, _ = rnx(daemon, "cp", "held:/work/evil", str(tmp_path / "in"))
    again, _, _ = rnx(daemon, "cp", "held:/work/evil", str(tmp_path / "in"))

    assert (code, again) == (0, 0)
    assert (tmp_path / "victim").read_bytes() == b"kept"
    assert os.readlink(tmp_path / "in/evil/etc") == "/etc"


def test_what_cannot_be_read_is_told_and_the_rest_is_copied(daemon, tmp_path):
    script = "mkdir -p /work/part; cd /work/part; echo x > good; echo y > bad; chmod 0 bad; mkfifo pipe"
    rnx(daemon, "exec", "held", "--", "sh", "-c", script)

    code, _, err = rnx(daemon, "cp", "held:/work/part", str(tmp_path / "part"))

    assert code == 1
    assert "./bad: Permission denied" in err
    assert "./pipe: it is a FIFO" in err
    assert os.listdir(tmp_path / "part") == ["good"]


@pytest.mark.parametrize(
    ("source", "target", "cause"),
    [
        ("held:/nowhere", "{here}", "cannot copy /nowhere: No such file"),
        ("{here}/none", "held:/work", "No such file"),
        ("/etc/hostname", "held:/no/such/place", "cannot copy to /no/such/place"),
        ("/etc/hostname", "held:/usr/bin/x", "Read-only file system"),
        ("/etc/hostname", "held:/proc/sys/kernel/x", "cannot copy to /proc/sys/kernel/x"),
    ],
)
def test_what_cannot_be_copied_says_why(daemon, tmp_path, source, target, cause):
    code, _, err = rnx(daemon, "cp", source.format(here=tmp_path), target.format(here=tmp_path))

    assert (code, cause in err) == (1, True), err


def test_a_copy_to_a_full_disk_is_told(daemon, tmp_path):
    daemon.shell("small", "exec sleep 1000", resources={"limits": {"ephemeral-storage": "4Mi"}})
    daemon.running("small")
    (tmp_path / "big").write_bytes(os.urandom(8 * MIB))

    code, _, err = rnx(daemon, "cp", str(tmp_path / "big"), "small:/work/")

    assert (code, "No space left" in err) == (1, True), err


def test_a_copy_of_files_beyond_the_jobs_limit_is_told_and_the_rest_is_copied(daemon, tmp_path):
    daemon.shell("narrow", "exec sleep 1000", resources={"limits": {"fileSize": "64Ki"}})
    daemon.running("narrow")
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "big").write_bytes(os.urandom(MIB))
    (tree / "small").write_text("small")
    with (tree / "wide").open("wb") as file:
        file.truncate(MIB)

    code, _, err = rnx(daemon, "cp", str(tree), "narrow:/work/")

    assert code == 1
    assert "./big: File too large" in err
    assert "./wide: File too large" in err
    assert rnx(daemon, "exec", "narrow", "--", "cat", "/work/tree/small")[1] == b"small"


# top


def test_top_shows_what_the_cgroup_counts(daemon):
    job = daemon.shell("busy", "while :; do :; done")
    daemon.running("busy")
    daemon.until("it was busy", lambda: used(daemon, "busy-1")["cpuSeconds"] > 0.5)
    cgroups = daemon.cgroups_of(job)
    before = used(daemon, "busy-1")
    counted = int((cgroups["cpuacct"] / "cpuacct.usage").read_text()) / 1e9
    memory = int((cgroups["memory"] / "memory.usage_in_bytes").read_text())
    after = used(daemon, "busy-1")

    assert before["cpuSeconds"] <= counted <= after["cpuSeconds"]
    assert abs(memory - after["memoryBytes"]) < MIB
    assert after["processes"] == int((cgroups["pids"] / "pids.current").read_text())
    code, out, _ = rnx(daemon, "top")
    (row,) = [line.split() for line in out.decode().splitlines() if line.startswith("busy-1")]
    assert code == 0
    assert 0.2 < float(row[1]) < 1.3
    daemon.delete("busy")


def used(daemon, pod):
    items = daemon.client.usages("default")["items"]
    return next(item["runwright"] for item in items if item["metadata"]["name"] == pod)


def test_top_shows_what_is_read_and_written(daemon, tmp_path):
    cache = "dd if=/dev/zero of=/tmp/x bs=1M count=8 2>/dev/null; echo done; exec sleep 1000"
    daemon.shell("mover", cache)
    daemon.printed("mover", "done")

    counted = used(daemon, "mover-1")

    (process,) = sleeping_below(daemon, "mover")
    fields = dict(line.split(": ") for line in Path(f"/proc/{process}/io").read_text().splitlines())
    assert (counted["readBytes"], counted["writtenBytes"]) == (int(fields["read_bytes"]), int(fields["write_bytes"]))


def sleeping_below(daemon, name):
    return [int(pid) for pid in (daemon.cgroups_of(daemon.get(JOB, name))["pids"] / "cgroup.procs").read_text().split()]


# kubectl


@pytest.fixture(scope="module")
def kubectl(daemon, tmp_path_factory):
    """kubectl against the daemon, over TCP, as it knows no sockets of files."""
    home = tmp_path_factory.mktemp("kubectl")
    with tcp_to(daemon.socket) as port:

        def run(*arguments, stdin=b""):
            command = [KUBECTL, "--server", f"http://127.0.0.1:{port}", *arguments]
            env = {"HOME": str(home), "PATH": os.environ["PATH"]}
            return subprocess.run(command, input=stdin, capture_output=True, timeout=60, check=False, env=env)

        yield run


@contextlib.contextmanager
def tcp_to(path):
    """Pass on what comes over TCP to a socket of a file; give the port."""
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=_accept, args=(listener, str(path)), daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def _accept(listener, path):
    with contextlib.suppress(OSError):
        while True:
            client, _ = listener.accept()
            server = socket.socket(socket.AF_UNIX)
            server.connect(path)
            for one, other in ((client, server), (server, client)):
                threading.Thread(target=_pass, args=(one, other), daemon=True).start()


def _pass(one, other):
    with contextlib.suppress(OSError):
        while chunk := one.recv(65536):
            other.sendall(chunk)
    for each in (one, other):
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
    one.close()


needs_kubectl = [pytest.mark.skipif(KUBECTL is None, reason="no kubectl"), pytest.mark.elsewhere("with kubectl")]


def with_kubectl(test):
    for mark in needs_kubectl:
        test = mark(test)
    return test


@with_kubectl
def test_kubectl_executes_with_stdin_and_exit_code(kubectl):
    done = kubectl("exec", "-i", "held-1", "--", "sh", "-c", "cat; echo err >&2; exit 6", stdin=b"in")

    assert (done.returncode, done.stdout) == (6, b"in")
    assert b"err" in done.stderr


@with_kubectl
def test_kubectl_gets_all_that_is_printed_from_the_first_byte(kubectl):
    done = kubectl("exec", "held-1", "--", "sh", "-c", "seq 1 300000")

    assert done.stdout == b"".join(b"%d\n" % number for number in range(1, 300_001))


@with_kubectl
def test_kubectl_copies_with_the_runs_own_tar(kubectl, tmp_path):
    (tmp_path / "file").write_bytes(os.urandom(MIB))

    into = kubectl("cp", str(tmp_path / "file"), "held-1:/work/by-kubectl")
    out = kubectl("cp", "held-1:/work/by-kubectl", str(tmp_path / "back"))

    assert (into.returncode, out.returncode) == (0, 0), (into.stderr, out.stderr)
    assert (tmp_path / "back").read_bytes() == (tmp_path / "file").read_bytes()


@with_kubectl
def test_kubectl_shows_what_pods_use(kubectl):
    done = kubectl("top", "pods")

    assert done.returncode == 0, done.stderr
    assert b"held-1" in done.stdout


@with_kubectl
def test_kubectl_is_told_why_it_cannot_execute(kubectl):
    done = kubectl("exec", "held-99", "--", "true")

    assert (done.returncode, b"not found" in done.stderr) == (1, True)


# Kills


def test_a_command_goes_on_when_the_launcher_is_killed(daemon):
    process = popen(
        daemon, "exec", "-i", "held", "--", "sh", "-c", "echo ready; cat; exit 8", stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )  # fmt: skip
    with process:
        read_until(process.stdout.fileno(), b"ready")
        assert daemon.kill_launcher()
        out, _ = process.communicate(b"on", timeout=30)
    assert (process.returncode, out.strip()) == (8, b"on")
    assert rnx(daemon, "exec", "held", "--", "true")[0] == 0


def test_a_killed_daemon_ends_commands_and_no_job(daemon):
    process = popen(daemon, "exec", "held", "--", "sh", "-c", "echo ready; exec sleep 88003", stdout=subprocess.PIPE)
    with process:
        read_until(process.stdout.fileno(), b"ready")
        daemon.until("it sleeps", lambda: sleeping(88003))
        os.kill(daemon.pid, signal.SIGKILL)
        daemon.wait_daemon()
        daemon.until("it has ended", lambda: not sleeping(88003))
        assert process.wait(20) == 3
    daemon.start()

    assert rnx(daemon, "exec", "held", "--", "echo", "again")[1] == b"again\n"
    assert daemon.get(JOB, "held")["status"]["runs"][-1]["attempt"] == 1
