"""Trees that somebody else wrote, and that try to lead the sandbox's making out of them."""

import os

import pytest

from controller.sandbox.spec import Bind
from support.launching import host_sandbox

pytestmark = pytest.mark.needs_root


@pytest.fixture
def tree(launching):
    tree = launching.root / "tree"
    (tree / "usr" / "lib").mkdir(parents=True)
    return tree


def binds_of(tree, *more):
    return host_sandbox(binds=(*host_sandbox().binds, *more))


def test_a_source_that_is_a_link_to_the_host_stays_in_its_tree(launching, tree):
    (tree / "door").symlink_to("/../../../etc/ssl")
    sandbox = binds_of(tree, Bind("door", "/opt/door", within=str(tree)))

    record, _ = launching.run("true", sandbox=sandbox)

    assert record.reason == "SandboxFailed"
    assert "ENOENT" in record.message
    assert "BindMount of door at /opt/door" in record.message


def test_a_link_within_a_tree_is_followed_within_it(launching, tree):
    (tree / "usr" / "lib" / "here").touch()
    (tree / "lib").symlink_to("/usr/lib")
    sandbox = binds_of(tree, Bind("lib", "/opt/lib", within=str(tree)))

    _, output = launching.run("ls", "/opt/lib", sandbox=sandbox)

    assert output == "here\n"


def test_a_target_behind_a_hostile_link_stays_in_the_new_root(launching, tree):
    """CVE-2021-30465: the mount point is a link by the time of the mount."""
    (tree / "usr" / "lib" / "out").symlink_to("/../../../../../../tmp")
    sandbox = binds_of(tree, Bind(str(tree), "/opt/tree"), Bind("/usr/share", "/opt/tree/usr/lib/out/share"))

    record, output = launching.shell("ls -d /tmp/share; grep -c /tmp/share /proc/self/mountinfo", sandbox=sandbox)

    assert (record.reason, output) == ("Completed", "/tmp/share\n1\n")


def test_a_link_in_the_root_that_leads_up_leads_to_the_root(launching):
    host = host_sandbox()
    sandbox = host_sandbox(
        symlinks=(*host.symlinks, ("/opt", "/../../..")), binds=(*host.binds, Bind("/usr/share", "/opt/share"))
    )

    _, output = launching.shell("ls -d /share; ls /opt/", sandbox=sandbox)

    assert output.splitlines()[0] == "/share"
    assert "work" in output.splitlines()


def test_a_place_that_a_read_only_mount_lacks_is_named(launching, tree):
    sandbox = binds_of(tree, Bind(str(tree), "/opt/tree"), Bind("/usr/share", "/opt/tree/nowhere/share"))

    record, _ = launching.run("true", sandbox=sandbox)

    assert (record.reason, record.exit_code) == ("SandboxFailed", None)
    assert "it lies in a read-only mount that lacks it: add it to what is mounted" in record.message


def test_a_place_that_a_read_only_mount_has_is_mounted_on(launching, tree):
    sandbox = binds_of(tree, Bind(str(tree), "/opt/tree"), Bind("/usr/share", "/opt/tree/usr/lib"))

    record, output = launching.shell("ls -d /opt/tree/usr/lib/zoneinfo", sandbox=sandbox)

    assert (record.reason, output) == ("Completed", "/opt/tree/usr/lib/zoneinfo\n")


def test_a_single_file_can_be_mounted(launching, tree):
    (tree / "resolv.conf").write_text("nameserver 127.0.0.1\n")
    (tree / "resolv.conf").chmod(0o666)
    sandbox = binds_of(tree, Bind("resolv.conf", "/etc/resolv.conf", within=str(tree)))

    record, output = launching.shell("cat /etc/resolv.conf; echo >> /etc/resolv.conf", sandbox=sandbox)

    assert output == "nameserver 127.0.0.1\n"
    assert "Read-only file system" in launching.errors_of(record)


def test_an_upload_that_is_no_file_is_refused(launching):

    files = launching.root / "files"
    files.mkdir()
    os.mkfifo(files / "pipe")

    record, _ = launching.run("true", sandbox=host_sandbox(files_dir=str(files)))

    assert record.reason == "SandboxFailed"
    assert "no file, directory or symbolic link: 'pipe'" in record.message


def test_uploads_that_do_not_fit_are_refused(launching):
    files = launching.root / "files"
    files.mkdir()
    (files / "big").write_bytes(b"x" * 100_000)

    record, _ = launching.run("true", sandbox=host_sandbox(files_dir=str(files), work_bytes=8192))

    assert record.reason == "SandboxFailed"
    assert "No space left on device: 'big'" in record.message


def test_a_sandbox_that_cannot_be_is_refused_with_its_cause(launching):
    record, _ = launching.run("true", sandbox=host_sandbox(work_bytes=0))

    assert record.reason == "SandboxFailed"
    assert record.message == "cannot limit a file system to 0 bytes: a size is at least 1"


def in_a_network(tree):
    """A run in a network, whose /etc is that of the tree alone."""
    binds = [bind for bind in host_sandbox().binds if not bind.target.startswith("/etc")]
    own = Bind("etc", "/etc", within=str(tree))
    return host_sandbox(binds=(*binds, own), addresses=("192.0.2.9",), name_servers=("192.0.2.1",))


LOOK = "cat /etc/resolv.conf; cat /etc/other; echo changed >> /etc/resolv.conf; head -n 1 /etc/hosts"


@pytest.mark.parametrize("kind", ["file", "none", "link", "link that leads nowhere"])
def test_a_run_in_a_network_asks_it_for_names_whatever_its_runtime_brings(launching, tree, kind):
    """Else jobs of runtimes, which bring an /etc, found nobody by name."""
    etc = tree / "etc"
    etc.mkdir()
    (etc / "other").write_text("of the runtime\n")
    if kind == "file":
        (etc / "resolv.conf").write_text("nameserver 8.8.8.8\n")
    elif kind == "link":
        (etc / "resolv.conf").symlink_to("other-resolv.conf")
        (etc / "other-resolv.conf").write_text("nameserver 8.8.8.8\n")
    elif kind == "link that leads nowhere":
        (etc / "resolv.conf").symlink_to("../run/systemd/resolve/stub-resolv.conf")
    before = sorted(os.listdir(etc))
    sandbox = in_a_network(tree)

    record, output = launching.shell(LOOK, sandbox=sandbox)

    told = "nameserver 192.0.2.1\noptions timeout:2 attempts:3\n"
    assert output == f"{told}of the runtime\n127.0.0.1 localhost\n", record
    assert "ead-only file system" in launching.errors_of(record) or "ermission denied" in launching.errors_of(record)
    assert sorted(os.listdir(etc)) == before


def test_a_runtime_cannot_have_that_written_outside_of_its_root(launching, tree):
    (tree / "etc").mkdir()
    (tree / "etc/resolv.conf").symlink_to(f"../../../../../..{launching.root}/escaped")
    sandbox = in_a_network(tree)

    record, _ = launching.run("true", sandbox=sandbox)

    assert record.reason == "Completed"
    assert not (launching.root / "escaped").exists()
