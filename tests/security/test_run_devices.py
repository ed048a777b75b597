"""What a run has of the devices that it was given, and what of those it was not: seen from inside, and on the host."""

import os
import signal
import stat
from pathlib import Path

import pytest

from controller.cgroup import choose
from controller.launcher import runspec
from controller.launcher.client import LauncherError, RunRefused
from controller.launcher.host_claims import HostClaim, HostClaims
from controller.launcher.records import Reason
from controller.linux import landlock
from controller.sandbox.spec import Bind, DeviceFile, DeviceNode, Devices

pytestmark = pytest.mark.needs_root

ZERO = DeviceNode("/dev/test/zero0", "c", 1, 5, 0o660)
MISSING = "/usr/lib/runwright-test-no-such-directory"


def given(launching, *nodes, files=(), links=()):
    return launching.sandbox(devices=Devices(nodes, tuple(files), tuple(links)))


def test_a_run_reads_and_writes_its_device_which_is_its_own(launching):
    script = "stat -c '%t:%T %a %U' /dev/test/zero0; head -c 3 /dev/test/zero0 | od -An -c; echo x > /dev/test/zero0"

    record, output = launching.shell(script, sandbox=given(launching, ZERO))

    assert (record.exit_code, output.split()) == (0, ["1:5", "660", "root", "\\0", "\\0", "\\0"])
    assert record.receipt["devices"] == {"/dev/test/zero0": "c 1:5 0660"}


def test_a_run_without_devices_sees_none_of_them_and_can_make_none(launching):
    script = (
        "ls -d /dev/test; for at in /work /tmp /dev /dev/shm; do mknod $at/zero0 c 1 5 && echo made; done; echo end"
    )

    _, output = launching.shell(script, stderr=True)

    assert "cannot access '/dev/test'" in output
    assert (output.count("mknod: "), "made" in output) == (4, False), output


def test_a_node_that_may_only_be_read_is_not_written_by_its_owner(launching):
    node = DeviceNode("/dev/readable", "c", 1, 5, 0o440)

    _, output = launching.shell(
        "chmod 666 /dev/readable; (: > /dev/readable); echo end", stderr=True, sandbox=given(launching, node)
    )

    assert "chmod: changing permissions of '/dev/readable': Read-only file system" in output
    assert "cannot create /dev/readable: Permission denied" in output


def test_files_of_a_device_are_seen_where_a_readonly_directory_lacks_them(launching, tmp_path):
    library = tmp_path / "libtest.so.1"
    library.write_text("a library")
    library.chmod(0o644)
    tmp_path.chmod(0o755)
    before = sorted(os.listdir("/usr/lib"))
    files = (
        DeviceFile(str(library), "/usr/lib/libtest.so.1"),
        DeviceFile(str(library), f"{MISSING}/deeper/libtest.so.1"),
        DeviceFile(str(tmp_path), "/usr/share/runwright-test", directory=True),
        DeviceFile(str(library), "/opt/own/libtest.so.1"),
    )
    links = (("/usr/lib/libtest.so", "libtest.so.1"), ("/run/devices/lib/libtest.so", "/usr/lib/libtest.so.1"))
    script = f"""
        cat /usr/lib/libtest.so.1 /usr/lib/libtest.so {MISSING}/deeper/libtest.so.1 /usr/share/runwright-test/* \\
            /opt/own/libtest.so.1 /run/devices/lib/libtest.so; echo
        ls /usr/lib | sort; (: > /usr/lib/new); (: > /usr/lib/libtest.so.1); grep /usr/lib /proc/self/mountinfo >&2
    """

    record, output = launching.shell(script, sandbox=given(launching, files=files, links=links))

    assert output, record.message
    first, *names = output.splitlines()
    assert first == "a library" * 6
    assert sorted(names) == sorted([*before, "libtest.so", "libtest.so.1", Path(MISSING).name])
    assert launching.errors_of(record).count("Read-only file system") == 2
    assert "/ /usr/lib ro,nosuid,nodev,relatime - overlay " in launching.errors_of(record)
    assert sorted(os.listdir("/usr/lib")) == before


def test_what_was_mounted_below_a_directory_that_gets_a_file_is_still_there(launching, tmp_path):
    tree = tmp_path / "tree"
    (tree / "below").mkdir(parents=True)
    (tree / "deeper").mkdir()
    (tree / "deeper" / "file").write_text("mounted below")
    tmp_path.chmod(0o755)
    sandbox = launching.sandbox()
    binds = (*sandbox.binds, Bind(str(tree), "/opt/tree"), Bind(str(tree / "deeper"), "/opt/tree/below"))
    devices = Devices(files=(DeviceFile("/etc/hostname", "/opt/tree/added"),))

    record, output = launching.shell(
        "cat /opt/tree/below/file; ls /opt/tree", sandbox=launching.sandbox(binds=binds, devices=devices)
    )

    assert (record.exit_code, output) == (0, "mounted belowadded\nbelow\ndeeper\n")
    assert sorted(path.name for path in tree.iterdir()) == ["below", "deeper"]


@pytest.mark.invariant("X3")
def test_a_device_is_no_part_of_what_is_made_ahead_for_other_runs(launching):
    with_device, without = launching.spec("true", sandbox=given(launching, ZERO)), launching.spec("true")

    assert runspec.to_parts(with_device).shared == runspec.to_parts(without).shared


@pytest.mark.invariant("X3")
def test_runs_of_one_sandbox_by_turns_see_their_own_device_only(launching):
    other = DeviceNode("/dev/test/full0", "c", 1, 7, 0o660)
    seen = []
    for node in (ZERO, other, None, ZERO, None, other):
        sandbox = given(launching, node) if node else launching.sandbox()
        _, output = launching.shell("ls /dev/test 2>&1 || true", sandbox=sandbox)
        seen.append(output.strip())

    none = "ls: cannot access '/dev/test': No such file or directory"
    assert seen == ["zero0", "full0", none, "zero0", none, "full0"]


def test_a_library_that_is_gone_when_the_run_starts_fails_the_run_with_its_name(launching, tmp_path):
    devices = given(launching, files=(DeviceFile(str(tmp_path / "gone.so"), "/opt/gone.so"),))

    record, _ = launching.run("true", sandbox=devices)

    assert record.reason == Reason.SANDBOX_FAILED
    assert "gone.so" in record.message


def test_what_drivers_tell_in_proc_is_seen_by_runs_with_a_device_alone(launching):
    script = "grep -c ' /proc/driver ' /proc/self/mountinfo"

    with_device = launching.shell(script, sandbox=given(launching, ZERO))[1]
    without = launching.shell(script)[1]

    assert (with_device, without) == ("0\n", "1\n" if os.path.isdir("/proc/driver") else "0\n")


def test_a_run_may_control_its_own_device_and_not_those_of_every_run(launching):
    ask = "import fcntl, errno\n"
    ask += "for path in ('/dev/test/zero0', '/dev/zero'):\n"
    ask += "  try: fcntl.ioctl(open(path), 0x5401, bytes(64))\n"
    ask += "  except OSError as error: print(errno.errorcode[error.errno])\n"

    record, output = launching.run("python3", "-c", ask, sandbox=given(launching, ZERO))

    refused = "EACCES" if landlock.abi() >= landlock.IOCTL_ABI else "ENOTTY"
    assert (record.exit_code, output.split()) == (0, ["ENOTTY", refused])


def test_a_block_device_is_given_as_one(launching):
    node = DeviceNode("/dev/disk0", "b", 7, 0, 0o400)

    _, output = launching.shell("stat -c '%F %t:%T' /dev/disk0", sandbox=given(launching, node))

    assert output == "block special file 7:0\n"
    assert stat.S_ISCHR(os.stat("/dev/zero").st_mode)


CLAIM = HostClaim("uid-1", "/test", "job/default/etl", ("c1:5",))


@pytest.mark.invariant("X31")
def test_a_run_keeps_its_claim_for_life_and_the_job_has_no_hold_of_it(launching, tmp_path):
    claims = HostClaims(str(tmp_path / "claims"))
    with claims.claimed(CLAIM, lambda _live: "") as path:
        spec = launching.spec("sh", "-c", "ls /proc/self/fd; sleep 1000", device_claim=path)
        started = launching.client.start(spec)
    launching.wait_for_output(spec, "3")
    while_it_runs = claims.live()

    launching.client.shutdown()
    launching.start_launcher()
    without_its_launcher = claims.live()
    os.kill(started.pid, signal.SIGKILL)
    launching.until(lambda: claims.live() == ())

    assert (while_it_runs, without_its_launcher) == ((CLAIM,), (CLAIM,))
    assert launching.output_of(spec).split() == ["0", "1", "2", "3"]  # The last is the directory that ls reads.


def is_being_killed(pid):
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return any(int(line.split()[1], 16) >> (signal.SIGKILL - 1) & 1 for line in lines if "Pnd:" in line)


@pytest.mark.elsewhere("cgroup v1: what is frozen ends when it is killed on version 2")
@pytest.mark.skipif("freezer" not in choose.hierarchies_of_host().mounts, reason="this host freezes by version 2")
@pytest.mark.invariant("X31")
def test_the_devices_of_a_frozen_run_whose_supervisor_was_killed_are_claimed_until_its_processes_are_gone(
    launching, tmp_path
):
    claims = HostClaims(str(tmp_path / "claims"))
    with claims.claimed(CLAIM, lambda _live: "") as path:
        spec = launching.spec("sh", "-c", "echo up; exec sleep 1000", device_claim=path)
        started = launching.client.start(spec)
    launching.wait_for_output(spec, "up")
    lifecycle = choose.open_lifecycle(choose.hierarchies_of_host(), launching.cgroup_parent)

    (job,) = Path(f"/proc/{started.pid}/task/{started.pid}/children").read_text().split()

    lifecycle.freeze(spec.cgroup)
    os.kill(started.pid, signal.SIGKILL)
    launching.until(lambda: is_being_killed(job))  # By the kernel, which lets go of its supervisor's locks before.
    while_the_job_is_frozen = claims.live()
    lifecycle.thaw(spec.cgroup)
    launching.until(lambda: claims.live() == ())
    lifecycle.close()

    assert while_the_job_is_frozen == (CLAIM,)
    assert not os.path.exists(f"/proc/{started.pid}")


@pytest.mark.invariant("X31")
def test_a_run_whose_claim_is_gone_is_not_started(launching, tmp_path):
    with pytest.raises(LauncherError, match="No such file or directory") as refused:
        launching.client.start(launching.spec("true", device_claim=str(tmp_path / "gone")))

    assert not isinstance(refused.value, RunRefused)
    spec = launching.spec("true", device_claim=None)
    launching.client.start(spec)
    assert launching.record_of(spec).reason == Reason.COMPLETED
