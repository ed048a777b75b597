"""Sandboxes made before their run is known: used only if they would be made the same way now, and right for each run."""

import os
import signal

import pytest

from controller.launcher.client import LauncherClient
from controller.linux import mount_api
from controller.linux.mount_api import MountAttribute
from controller.sandbox.spec import MIB, Bind, EtcFile, PrivateCopy
from support.in_child import in_own_mounts
from support.launching import host_sandbox, readable

pytestmark = pytest.mark.needs_root


@pytest.fixture
def source(tmp_path):
    directory = tmp_path / "source"
    directory.mkdir()
    (directory / "word").write_text("first\n")
    return directory


def sandbox_of(source, **changes):
    host = host_sandbox()
    return host_sandbox(binds=(*host.binds, Bind(str(source), "/opt/source")), **changes)


def made_ahead(launching):
    return launching.client.status()["made"] >= 1


def run_twice(launching, sandbox, script, between):
    """Run `script` in `sandbox`, do `between` once the same sandbox is made ahead, and run it again."""
    first = launching.shell(script, sandbox=sandbox)
    launching.until(lambda: made_ahead(launching))
    between()
    return first[1], launching.shell(script, sandbox=sandbox)[1]


def test_a_run_in_a_sandbox_made_ahead_has_a_name_and_files_of_its_own(launching, tmp_path):
    (tmp_path / "mine").write_text("mine\n")
    script = "hostname; cat /etc/hostname; grep -c $(hostname) /etc/hosts; ls /work; stat -f -c %b /work"
    launching.shell(script, sandbox=host_sandbox(hostname="one"))
    launching.until(lambda: made_ahead(launching))

    changed = host_sandbox(hostname="two", files_dir=str(tmp_path), work_bytes=MIB)
    record, output = launching.shell(script, sandbox=changed)

    assert record.reason == "Completed"
    assert output.split() == ["two", "two", "1", "mine", "256"]


def test_the_root_of_a_sandbox_made_ahead_is_sealed(launching):
    first, second = run_twice(launching, host_sandbox(), "touch /new /etc/new; ls / /etc/new", lambda: None)

    assert first == second
    assert "new" not in second


@pytest.mark.invariant("X3")
def test_a_source_that_another_has_taken_the_place_of_is_mounted_as_it_is_now(launching, source):
    def replace():
        source.rename(source.with_name("before"))
        source.mkdir()
        (source / "word").write_text("second\n")

    outputs = run_twice(launching, sandbox_of(source), "cat /opt/source/word", replace)

    assert outputs == ("first\n", "second\n")


def test_a_source_that_is_gone_fails_the_run_as_ever(launching, source):
    sandbox = sandbox_of(source)
    launching.shell("true", sandbox=sandbox)
    launching.until(lambda: made_ahead(launching))
    source.rename(source.with_name("before"))

    record, _ = launching.shell("true", sandbox=sandbox)

    assert record.reason == "SandboxFailed"
    assert str(source) in record.message


def test_a_link_in_a_tree_that_leads_elsewhere_now_is_followed_now(launching, source):
    for name in ("a", "b"):
        (source / name).mkdir()
        (source / name / "word").write_text(f"{name}\n")
    (source / "current").symlink_to("a")

    def turn():
        os.symlink("b", source / "next")
        os.rename(source / "next", source / "current")

    binds = (*host_sandbox().binds, Bind("current", "/opt/source", within=str(source)))
    outputs = run_twice(launching, host_sandbox(binds=binds), "cat /opt/source/word", turn)

    assert outputs == ("a\n", "b\n")


@pytest.mark.invariant("X3")
def test_what_is_mounted_below_a_source_is_seen_by_the_next_run(launching, source):
    """In a mount namespace of the test's own, with a launcher of its own in it."""
    (source / "below").mkdir()
    sandbox = sandbox_of(source)
    specs = [launching.spec("sh", "-c", "ls /opt/source/below", sandbox=sandbox) for _ in range(2)]

    def body():
        client = own_client(launching)
        client.start(specs[0])
        launching.record_of(specs[0])
        launching.until(lambda: client.status()["made"] >= 1)
        with mount_api.new_filesystem("tmpfs", {"size": "4096"}, MountAttribute.NODEV) as tree:
            mount_api.attach(tree, source / "below")
        (source / "below" / "new").touch()
        client.start(specs[1])
        launching.record_of(specs[1])
        client.shutdown()
        return launching.output_of(specs[1])

    assert in_own_mounts(body) == "new\n"


def test_sandboxes_made_ahead_keep_nothing_mounted_that_the_host_unmounts(launching, source):
    spec = launching.spec("true", sandbox=sandbox_of(source))

    def body():
        with mount_api.new_filesystem("tmpfs", {"size": "4096"}, MountAttribute.NODEV) as tree:
            mount_api.attach(tree, source)
        device = source.stat().st_dev
        client = own_client(launching)
        client.start(spec)
        launching.record_of(spec)
        launching.until(lambda: sandboxes_with(device))
        mount_api.unmount(str(source), lazy=True)
        launching.until(lambda: not sandboxes_with(device))
        client.shutdown()
        return "let go"

    assert in_own_mounts(body) == "let go"


def sandboxes_with(device):
    """Return the processes that see this file system where `sandbox_of` has it."""
    where = f" {os.major(device)}:{os.minor(device)} / /opt/source "
    return [pid for pid in os.listdir("/proc") if pid.isdigit() and where in mounts_of(pid)]


def mounts_of(pid):
    try:
        with open(f"/proc/{pid}/mountinfo") as file:
            return file.read()
    except OSError:  # It has ended.
        return ""


def own_client(launching):
    root = launching.root / "own"
    (root / "launcher").mkdir(parents=True)
    client = LauncherClient(root / "launcher.sock", root / "launcher", root / "launcher.log")
    client.ensure_running()
    return client


def test_copies_are_made_for_each_run_anew(launching, source):
    copies = (PrivateCopy(str(source), "/opt/copy", MIB),)
    sandbox = host_sandbox(private_copies=copies)
    launching.shell("cat /opt/copy/word", sandbox=sandbox)
    (source / "word").write_text("second\n")
    launching.until(lambda: launching.client.status()["warm"] == 4)

    assert launching.client.status()["made"] == 0
    assert launching.shell("cat /opt/copy/word", sandbox=sandbox)[1] == "second\n"


@pytest.mark.invariant("X3")
def test_another_sandbox_is_not_given_what_was_made_for_one(launching, source):
    launching.shell("true", sandbox=sandbox_of(source))
    launching.until(lambda: made_ahead(launching))

    for _ in range(6):
        sandbox = host_sandbox(etc_files=(EtcFile("/etc/hosts", "mine\n"),))
        assert launching.shell("cat /etc/hosts; ls /opt", sandbox=sandbox)[1] == "mine\n"


def test_a_supervisor_that_was_killed_while_it_had_a_sandbox_made_costs_no_run(launching):
    launching.shell("true")
    launching.until(lambda: launching.client.status()["made"] == 3)
    launcher = launching.client.ping()
    with open(f"/proc/{launcher}/task/{launcher}/children") as file:
        for pid in map(int, file.read().split()):
            fd = os.pidfd_open(pid)
            os.kill(pid, signal.SIGKILL)
            assert readable(fd, 20)
            os.close(fd)

    assert launching.run("true")[0].reason == "Completed"
