"""Caches that runs leave to each other: who owns them on the host, who sees them, and what cannot be put into them."""

import os
import stat
from pathlib import Path

import pytest

from api.packages.manifest import PackageManager
from controller.daemon.package_caches import PackageCaches
from controller.job import package_cache
from controller.launcher import slots
from controller.launcher.server import WARM
from controller.linux import landlock, mount_api, user_namespace
from controller.linux.mount_api import MountAttribute
from controller.linux.user_namespace import IdMap
from controller.sandbox.spec import NEUTRAL_ID
from support.in_child import in_own_mounts

pytestmark = pytest.mark.needs_root

MIB = 1 << 20
PIP = PackageManager("pip", "pip-cache")


@pytest.fixture
def caches(launching):
    caches = PackageCaches(launching.root / "caches", 5 * MIB)
    yield caches
    caches.close()


def sandbox_with(launching, cache):
    mount = package_cache.mount(cache, MIB)
    if cache.directory:
        return launching.sandbox(binds=(*launching.sandbox().binds, mount))
    return launching.sandbox(scratches=(mount,))


def in_cache(launching, cache, script):
    """Run a script with the cache; return where its ids begin on the host, and what it printed."""
    sandbox = sandbox_with(launching, cache)
    record, output = launching.shell(f"cd /volumes/* && {script}", sandbox=sandbox, stderr=True)
    assert record.exit_code == 0, (record, output)
    return record.receipt["hostUid"], output


@pytest.mark.invariant("X20")
def test_a_run_reads_and_changes_what_another_one_with_other_ids_left(launching, caches):
    cache = caches.of("python", PIP)
    left = "cd /volumes/*; umask 077; mkdir sub; echo one > sub/file; stat -c %u:%g . sub sub/file; echo left"
    still_there = launching.spec("sh", "-c", f"{left}; sleep 600", sandbox=sandbox_with(launching, cache))

    launching.client.start(still_there)
    launching.wait_for_output(still_there, "left")
    second, found = in_cache(launching, cache, "stat -c %u:%g sub/file; cat sub/file; echo two >> sub/file; rm -r sub")
    launching.stop(still_there)

    assert launching.record_of(still_there).receipt["hostUid"] != second
    assert launching.output_of(still_there) == "0:0\n" * 3 + "left\n"
    assert found == "0:0\none\n"
    assert os.listdir(cache.directory) == []


@pytest.mark.invariant("X20")
def test_what_runs_leave_belongs_to_nobody_on_the_host_and_cannot_be_reached_by_others(launching, caches):
    cache = caches.of("python", PIP)
    in_cache(launching, cache, "cp /bin/true suid; chmod 6755 suid; mkdir sub; ln -s /etc/shadow sub/link")

    owners = {(path.lstat().st_uid, path.lstat().st_gid) for path in Path(cache.directory).rglob("*")}
    assert owners == {(NEUTRAL_ID, NEUTRAL_ID)}
    assert not slots.FIRST_ID <= NEUTRAL_ID < slots.FIRST_ID + slots.SLOTS * slots.IDS_PER_SLOT
    assert stat.S_IMODE(Path(cache.directory).stat().st_mode) == 0o700
    assert stat.S_IMODE(Path(cache.directory).parent.stat().st_mode) == 0o700


@pytest.mark.invariant("X20")
def test_a_cache_has_no_devices_no_setuid_and_no_way_out(launching, caches):
    cache = caches.of("python", PIP)
    script = (
        "mknod disk b 254 0 2>/dev/null && echo made; chown 1 . 2>/dev/null && echo given away; "
        "grep ' /volumes/pip-cache ' /proc/self/mountinfo | cut -d' ' -f6"
    )

    _, options = in_cache(launching, cache, script)

    assert set(options.strip().split(",")) >= {"rw", "nosuid", "nodev"}
    assert "made" not in options
    assert "given away" not in options


@pytest.mark.invariant("X20")
def test_two_runtimes_share_nothing_unless_both_say_so(launching, caches):
    shared = PackageManager("pip", "shared:wheels")
    in_cache(launching, caches.of("python", PIP), "touch mine")
    in_cache(launching, caches.of("python", shared), "touch ours")

    assert in_cache(launching, caches.of("other", PIP), "ls")[1] == ""
    assert in_cache(launching, caches.of("other", PackageManager("pip", "wheels")), "ls")[1] == ""
    assert in_cache(launching, caches.of("other", shared), "ls")[1] == "ours\n"
    assert in_cache(launching, caches.of("python", PIP), "ls")[1] == "mine\n"


@pytest.mark.invariant("X20")
def test_where_owners_cannot_be_mapped_each_run_has_a_cache_of_its_own_and_says_so(launching, tmp_path):
    def told():
        """A file system whose owners are mapped already cannot map them once more."""
        (tmp_path / "caches").mkdir()
        with mount_api.new_filesystem("tmpfs", {}, MountAttribute.NOSUID) as tree:
            owners_fd = user_namespace.create(IdMap(300_000))
            mount_api.map_owners(tree, owners_fd)
            mount_api.attach(tree, tmp_path / "caches")
        return PackageCaches(tmp_path / "caches", MIB).of("python", PIP)

    cache = in_own_mounts(told)

    assert (cache.directory, cache.volume) == ("", "pip-cache")
    assert cache.problem.startswith(f"cannot keep {tmp_path}/caches/runtimes/python/pip-cache for other runs: ")
    assert in_cache(launching, cache, "touch left; stat -f -c %T .; ls")[1] == "tmpfs\nleft\n"
    assert in_cache(launching, cache, "ls")[1] == ""


@pytest.mark.parametrize("volume", ["../../etc", "a/b", ".", "shared:../x", "shared:", "-x", "x\n", "é"])
def test_a_volume_whose_name_is_none_makes_no_directory(caches, launching, volume):
    cache = caches.of("python", PackageManager("pip", volume))

    assert cache is None or (cache.directory == "" and cache.problem)
    assert not (launching.root / "caches").exists()


@pytest.mark.invariant("X20")
def test_in_a_sandbox_made_ahead_the_cache_is_that_of_now(launching, caches):
    cache = caches.of("python", PIP)
    script = "cat all; echo line >> all; stat -c %u all"
    outputs = []
    for step in ("nothing", "anew", "nothing"):
        if step == "anew":
            Path(cache.directory).rename(launching.root / "before")
            assert caches.of("python", PIP) == cache
        outputs.append(in_cache(launching, cache, f"touch all; {script}")[1])
        launching.until(lambda: launching.client.status()["warm"] == WARM)  # Most of them with this sandbox made.

    assert outputs == ["0\n", "0\n", "line\n0\n"]


LEAVE = """
import os, socket, sys
for make in (lambda: socket.socket(socket.AF_UNIX).bind("socket"), lambda: os.mkfifo("pipe")):
    try:
        make()
        print("made")
    except PermissionError:
        print("refused")
socket.socket(socket.AF_UNIX).bind("/work/socket")
os.mkfifo("/work/pipe")
for name in ("socket", "pipe"):
    for bring in (os.rename, os.link):
        try:
            bring(f"/work/{name}", name)
            print("brought")
        except OSError:
            print("refused")
"""


@pytest.mark.invariant("X20")
@pytest.mark.elsewhere("a kernel with Landlock")
@pytest.mark.skipif(landlock.abi() == 0, reason="this kernel has no Landlock")
def test_runs_hand_each_other_no_descriptors_by_way_of_a_cache(launching, caches):
    cache = caches.of("python", PIP)

    _, output = in_cache(launching, cache, f"python3 -c '{LEAVE}'")

    assert output.split() == ["refused"] * 6
    assert os.listdir(cache.directory) == []
