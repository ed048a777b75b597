"""What a build cannot do to the host, tried from inside the real sandbox, and what it sees of it."""

import os
import shlex
import shutil
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from controller.cgroup.limits import Limits
from controller.engine.errors import TransientError
from controller.linux import inotify, mount_api
from controller.runtime.build.sandbox import BuildEnd, HostOverlay, TreeRoot, run_build
from controller.runtime.build.sandbox_init import FIRST_ID, KEPT
from support.building import Building, a_recipe, changed, listing
from support.host import directory_on_disk
from support.in_child import in_own_mounts

pytestmark = pytest.mark.needs_root


@pytest.mark.invariant("B1")
def test_whatever_a_build_does_to_the_system_the_host_is_untouched(building):
    places = ("/etc", "/var/lib/dpkg", "/usr/bin", "/usr/sbin", "/opt")
    before = listing(*places)

    ran = building.shell(
        "set -e; echo evil >> /etc/passwd; rm -rf /var/lib/dpkg /opt /usr/local; useradd -m somebody; ln -sf /x /bin/y;"
        "chmod 777 /etc; chown 12:34 /etc/group; mv /etc/hosts /etc/stolen; touch /usr/bin/new; rm -rf /usr/bin; echo ok"
    )

    assert ran.lines == ["ok"]
    assert changed(before, listing(*places)) == []


@pytest.mark.invariant("B1")
def test_what_a_build_starts_is_gone_with_it(building):
    ran = building.shell("for i in 1 2 3; do setsid nohup sleep 7777 >/dev/null 2>&1 & done; (sleep 7778 &) ")

    assert ran.result.ok
    assert not [pid for pid in os.listdir("/proc") if pid.isdigit() and b"7777" in _command_line(pid)]


def test_the_build_is_root_of_nothing_but_its_sandbox(building):
    ran = building.shell(
        "id -u; cat /proc/self/uid_map; sed -n 's/^CapBnd:\\t//p; s/^NoNewPrivs:\\t//p; s/^Seccomp:\\t//p' /proc/self/status"
    )

    bounding = sum(1 << capability for capability in KEPT)
    assert ran.lines[0] == "0"
    assert ran.lines[1].split() == ["0", str(FIRST_ID), "65536"]
    assert sorted(ran.lines[2:]) == sorted(["1", "2", f"{bounding:016x}"])


@pytest.mark.parametrize(
    "attempt",
    [
        "mount -t tmpfs none /mnt",
        "mount --bind /etc /mnt",
        "umount /proc",
        "unshare -U true",
        "unshare -m true",
        "nsenter -t 1 -m true",
        "mknod /tmp/disk b 8 0",
        "mknod /tmp/mem c 1 1",
        "echo 1 > /proc/sys/kernel/core_pattern",
        "echo b > /proc/sysrq-trigger && test -s /proc/sysrq-trigger",
        "hostname other",
        "dmesg | grep .",
        "kill -9 1; test ! -e /proc/self/status",
        "python3 -c 'import ctypes; import sys; sys.exit(0 if ctypes.CDLL(None).ptrace(16, 1, 0, 0) == 0 else 1)'",
        "cat /proc/1/mem",
        "cat /proc/kcore | head -c 1 | grep -q .",
        "head -c 1 /dev/sda || head -c 1 /dev/vda || head -c 1 /dev/nvme0n1",
        "ls /dev/disk /dev/mem /dev/kmsg",
        "date -s 2020-01-01",
        "renice -n -5 $$",
        "setfattr -n trusted.overlay.opaque -v y /usr",
    ],
)
def test_it_is_refused(building, attempt):
    ran = building.shell(f"if ({attempt}) >/dev/null 2>&1; then echo done; else echo refused; fi")

    assert ran.lines == ["refused"]


def test_flushing_to_the_disk_is_said_to_be_done_and_is_not(building):
    """A pipe cannot be flushed, so the kernel itself would have said EINVAL."""
    ran = building.shell("python3 -c 'import os; one, other = os.pipe(); print(os.fsync(one), os.fdatasync(other))'")

    assert ran.lines == ["None None"]


def test_secrets_of_the_host_are_not_there(building, tmp_path):
    ran = building.shell(
        "cat /etc/shadow | grep -v ':\\*:' ; ls -A /root /home /srv /mnt; ls /etc/ssh/ssh_host_*key /etc/ssl/private;"
        "cat /etc/gshadow- /etc/shadow- /var/backups/*; ls /var/lib/docker /run/docker.sock /var/run/docker.sock;"
        f"ls -d {tmp_path} {building.directory} /work; echo end",
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
    )

    seen = [line for line in ran.lines if line and "No such file" not in line and not line.endswith(":")]
    assert seen == ["end"]


def test_what_is_hidden_cannot_be_uncovered(building):
    hidden = Path("/usr/local/etc")
    ran = building.shell(
        "rm -rf /etc/shadow; cat /etc/shadow; rmdir /root; mkdir /root; ls -A /root; rm -rf /home; ls /home; ls /usr/local/etc",
        root=HostOverlay(hidden=(hidden,)),
    )

    assert len(ran.lines) == 3, ran.lines
    assert all("No such file" in line for line in ran.lines)


def test_sockets_of_the_host_are_out_of_reach_by_name(building):
    path = Path(f"/var/lib/runwright-test-{os.getpid()}.sock")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        try:
            ran = building.shell(f"test -e {path} && echo there; echo end", network=True)
        finally:
            path.unlink()

    assert ran.lines == ["end"]


def test_without_network_there_is_a_loopback_and_nothing_else(building):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        ran = building.shell(
            f"grep -o '^ *[a-z0-9]*:' /proc/net/dev; (echo > /dev/tcp/127.0.0.1/{port}) 2>/dev/null && echo reached; echo end"
        )

    assert [line.strip() for line in ran.lines] == ["lo:", "end"]


def test_with_network_it_is_on_the_hosts(building):
    with socket.create_server(("127.0.0.1", 0)) as server:
        accepted: list[bytes] = []
        thread = threading.Thread(target=lambda: accepted.append(_first_words(server)))
        thread.start()
        building.shell(f"printf hello > /dev/tcp/127.0.0.1/{server.getsockname()[1]}", network=True)
        thread.join(10)

    assert accepted == [b"hello"]


@pytest.mark.invariant("B2")
def test_a_fork_bomb_ends_at_its_limit(building):
    ran = building.shell("f() { f | f & }; f 2>/dev/null; sleep 0.5; echo survived", limits=Limits(None, None, 64))

    assert ran.result.reason in (BuildEnd.EXITED, BuildEnd.SIGNALLED)


WATCH_ALL = """
import ctypes, socket
libc = ctypes.CDLL(None)
while libc.inotify_init1(0) >= 0:
    pass
with socket.create_connection(("127.0.0.1", {port})) as held:
    held.recv(1)
"""


def test_what_the_kernel_counts_by_user_is_not_a_builds_to_use_up_for_root(building, tmp_path):
    def watch():
        met, _ = server.accept()
        with met:
            os.close(inotify.watch_modified(str(tmp_path)))
            watched.append(True)

    watched: list[bool] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=watch)
        thread.start()
        script = WATCH_ALL.format(port=server.getsockname()[1])
        ran = building.shell(f"/usr/bin/python3 -c {shlex.quote(script)}", network=True)
        thread.join(10)

    assert watched == [True], ran.lines


@pytest.mark.invariant("B2")
def test_memory_is_held_to_its_limit_and_blamed(building):
    ran = building.shell("tail /dev/zero", limits=Limits(64 << 20, None, 100))

    assert ran.result.reason is BuildEnd.OUT_OF_MEMORY
    assert "more memory than its limit" in ran.result.message


@pytest.mark.invariant("B2")
def test_a_build_ends_at_its_deadline_with_all_that_it_started(building):
    ran = building.shell("trap '' TERM; setsid sleep 7779 & echo on; sleep 7779", timeout_seconds=1)

    assert ran.lines == ["on"]
    assert ran.result.reason is BuildEnd.DEADLINE
    assert not [pid for pid in os.listdir("/proc") if pid.isdigit() and b"7779" in _command_line(pid)]


@pytest.mark.invariant("B2")
def test_a_build_that_fills_the_disk_is_ended(building):
    free = os.statvfs(building.directory)
    floor = free.f_bavail * free.f_frsize - (64 << 20)
    low = Building.at(directory_on_disk("runwright-test-"), space_floor_bytes=floor)
    try:
        ran = low.shell("cat /dev/zero | head -c 4G > /big; sleep 60")
    finally:
        low.close()

    assert ran.result.reason is BuildEnd.NO_SPACE


def test_a_tree_as_root_is_changed_in_place_and_belongs_to_root(building):
    tree = building.directory / "tree"
    _with_host_programs(tree)

    ran = building.run(
        "/usr/bin/bash", "-c",
        "id -u; echo hi > /made; chown 1:2 /made; touch /tmp/gone /run/gone /root/gone; ls /etc; echo $(cat /root/given)",
        root=TreeRoot(tree), readable=((Path("/usr"), "/usr"),), files={"/root/given": "given"},
    )  # fmt: skip

    assert ran.lines == ["0", "given"], ran.lines
    status = (tree / "made").stat()
    assert (status.st_uid, status.st_gid) == (1, 2)
    assert sorted(os.listdir(tree)) == ["bin", "etc", "lib", "lib64", "made"]


def test_links_in_a_tree_lead_nowhere_outside_of_it(building):
    tree = building.directory / "tree"
    _with_host_programs(tree)
    outside = building.directory / "outside"
    outside.mkdir()
    (tree / "tmp").symlink_to(f"../../../../../../{outside}")
    (tree / "run").symlink_to("/etc")

    with pytest.raises(TransientError, match="File exists"):
        building.run("/usr/bin/true", root=TreeRoot(tree), readable=((Path("/usr"), "/usr"),))
    (tree / "tmp").unlink()
    ran = building.run(
        "/usr/bin/bash", "-c", "touch /tmp/x /run/y; echo ok", root=TreeRoot(tree), readable=((Path("/usr"), "/usr"),)
    )

    assert ran.lines == ["ok"]
    assert os.listdir(outside) == []
    assert os.listdir(tree / "etc") == []


def test_a_share_that_is_readable_is_not_writable(building):
    shared = building.directory / "shared"
    shared.mkdir()
    (shared / "file").write_text("text")

    ran = building.shell(
        "cat /build/in/file; (echo x > /build/in/file) 2>/dev/null || echo refused; echo y > /build/out/new; "
        "mount | grep -q ' /build/in .*\\bro\\b' && echo ro",
        readable=((shared, "/build/in"),), writable=((shared, "/build/out"),),
    )  # fmt: skip

    assert ran.lines == ["text", "refused", "ro"] or ran.lines == ["textrefused", "ro"]
    status = (shared / "new").stat()
    assert (status.st_uid, status.st_gid) == (0, 0)


def test_a_file_system_of_its_own_below_usr_is_overlaid_too(building):
    place = "/usr/local/share"
    before = listing(place)

    def body():
        with mount_api.new_filesystem("tmpfs", {"mode": "755"}, mount_api.MountAttribute.NODEV) as tree:
            mount_api.attach(tree, place)
        Path(place, "seen").write_text("seen")
        ran = building.shell(f"cat {place}/seen; echo; echo changed > {place}/seen; touch {place}/new; ls {place}")
        return ran.lines, Path(place, "seen").read_text(), os.listdir(place)

    assert in_own_mounts(body) == (["seen", "new", "seen"], "seen", ["seen"])
    assert changed(before, listing(place)) == []


@pytest.mark.parametrize("kind", ["sysfs", "bpf"])
def test_a_file_system_below_usr_that_cannot_be_a_layer_is_an_empty_directory_and_said_to_be(building, kind):
    place = "/usr/local/share"

    def body():
        with mount_api.new_filesystem(kind, {}, mount_api.MountAttribute.NODEV) as tree:
            mount_api.attach(tree, place)
        return building.shell(f"ls {place}; touch {place}/mine; ls {place}").lines

    lines = in_own_mounts(body)

    assert lines[0] == f"runwright: {place} is an empty directory here: {kind} cannot be shown to a build"
    assert lines[1] == "mine"


def refusal(building, **changed):
    """Return why a build does not start, which must not have run."""
    with pytest.raises(TransientError) as refused:
        building.shell(f"touch {building.directory}/ran", **changed)
    assert refused.value.reason == "CannotStart"
    return refused.value.message


def test_a_usr_that_cannot_map_owners_is_no_empty_directory_but_refused(building):
    def body():
        stacked = building.directory / "stacked"
        for name in ("upper", "work"):
            (stacked / name).mkdir(parents=True)
        layers = {"lowerdir": "/usr", "upperdir": str(stacked / "upper"), "workdir": str(stacked / "work")}
        with mount_api.new_filesystem("overlay", layers, mount_api.MountAttribute.NODEV) as tree:
            mount_api.attach(tree, "/usr")
        return refusal(building)

    assert "the file system of /usr cannot map owners" in in_own_mounts(body)


def test_a_root_that_cannot_map_owners_is_refused_unless_the_host_allows_builds_that_are_root(building):
    def body():
        lower = building.directory / "stacked"
        for name in ("upper", "work", "merged"):
            (lower / name).mkdir(parents=True)
        options = {"lowerdir": "/", "upperdir": str(lower / "upper"), "workdir": str(lower / "work")}
        with mount_api.new_filesystem("overlay", options, mount_api.MountAttribute.NODEV) as tree:
            mount_api.attach(tree, lower / "merged")
        return refusal(building, root=HostOverlay(base=lower / "merged"))

    said = in_own_mounts(body)

    assert "cannot keep the build from being root on the host" in said
    assert "set runtime.build_as_root: true" in said


def test_a_root_that_cannot_map_owners_is_overlaid_with_few_rights_and_says_so(building):
    building.host = replace(building.host, as_root=True)

    def body():
        lower = building.directory / "stacked"
        for name in ("upper", "work", "merged"):
            (lower / name).mkdir(parents=True)
        options = {"lowerdir": "/", "upperdir": str(lower / "upper"), "workdir": str(lower / "work")}
        with mount_api.new_filesystem("overlay", options, mount_api.MountAttribute.NODEV) as tree:
            mount_api.attach(tree, lower / "merged")
        ran = building.shell(
            "cat /proc/self/uid_map; echo mine > /etc/mine; cat /etc/mine; mount -t tmpfs x /mnt || echo refused; cat /etc/shadow | grep -vc '[*]'",
            root=HostOverlay(base=lower / "merged"),
        )
        return ran.lines, (lower / "upper" / "etc" / "mine").exists()

    lines, leaked = in_own_mounts(body)

    assert "cannot map owners: this build is root on the host too" in lines[0], lines
    assert lines[1].split() == ["0", "0", "4294967295"]
    assert lines[2] == "mine"
    assert lines[-2:] == ["refused", "0"]
    assert not leaked


def test_where_the_disk_can_be_no_layer_what_is_written_is_kept_in_memory_within_the_limit(building):
    building.host = replace(building.host, as_root=True)

    def body():
        stacked = building.directory / "stacked"
        for name in ("upper", "work", "merged"):
            (stacked / name).mkdir(parents=True)
        layers = {"lowerdir": "/usr/share/doc", "upperdir": str(stacked / "upper"), "workdir": str(stacked / "work")}
        with mount_api.new_filesystem("overlay", layers, mount_api.MountAttribute.NODEV) as tree:
            mount_api.attach(tree, stacked / "merged")
        scratch = stacked / "merged" / "scratch"
        ran = building.shell("echo mine > /etc/mine; cat /etc/mine", scratch=scratch)
        large = building.shell("head -c 256M /dev/zero > /large", scratch=scratch, limits=Limits(64 << 20, None, 100))
        return ran.lines, large.result.reason, scratch.exists()

    lines, reason, left = in_own_mounts(body)

    assert any("is on overlay, which can be no layer: what is written counts as memory" in line for line in lines)
    assert lines[-1] == "mine"
    assert reason is BuildEnd.OUT_OF_MEMORY
    assert not left


def test_builds_that_run_at_once_do_not_meet(building):
    def build(number: int) -> str:
        count = 'n=0; for f in /proc/[0-9]*/comm; do read name < $f; [ "$name" = bash ] && n=$((n + 1)); done; echo $n'
        script = f"echo {number} > /etc/number; {count}; cat /etc/number"
        return " ".join(building.shell(script).lines)

    with ThreadPoolExecutor(3) as threads:
        said = list(threads.map(build, range(6)))

    assert said == [f"1 {number}" for number in range(6)]


def _with_host_programs(tree: Path) -> None:
    (tree / "etc").mkdir(parents=True)
    for name in ("bin", "lib", "lib64"):
        (tree / name).symlink_to(f"usr/{name}")


def _first_words(server: socket.socket) -> bytes:
    connection, _ = server.accept()
    with connection:
        return connection.recv(5)


def _command_line(pid: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


@pytest.mark.invariant("B2")
def test_no_file_of_a_build_becomes_larger_than_what_it_may_take_of_the_disk(building):
    floor = shutil.disk_usage(building.directory).free - (4 << 30)
    building.host = replace(building.host, space_floor_bytes=floor)

    ran = building.shell("truncate -s 1T /large; ls /large; truncate -s 1M /small && echo small")

    assert "File too large" in ran.text
    assert ran.lines[-1] == "small"


@pytest.mark.invariant("J9")
def test_nothing_is_run_or_made_while_the_host_could_not_be_protected_from_it(building):
    held = Building(building.directory, replace(building.host, why_not=lambda: "cannot cap all: busy"))
    package = a_recipe(building.directory / "package", "true")
    (staging := building.directory / "staging").mkdir()
    run = held.spec("true")

    for begin in (
        lambda: run_build(run, held.host, print),
        lambda: held.recipes()(package, "a", "1.0.0", staging, print),
    ):
        with pytest.raises(TransientError, match="cannot cap all: busy") as refused:
            begin()
        assert refused.value.reason == "LimitUnenforceable"

    assert not run.scratch.exists()
    assert list(staging.iterdir()) == []
