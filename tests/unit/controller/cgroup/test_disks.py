"""From a path to its disks: mountinfo as hosts have it, and a /sys of the same shape."""

import os
from pathlib import Path

import pytest

from controller.cgroup.disks import Disks, NoDisk
from controller.linux import mountinfo
from support.disks import mounted_disk

ROOT = "20 1 8:1 / / rw - ext4 /dev/sda1 rw\n"


@pytest.fixture
def sys(tmp_path):
    """A disk 8:0 with two partitions, a mapped device, and a btrfs over two partitions."""
    block = tmp_path / "dev/block"
    block.mkdir(parents=True)
    for name, device, parent in (
        ("sda", "8:0", ""),
        ("sda1", "8:1", "sda"),
        ("sdb", "8:16", ""),
        ("dm-0", "253:0", ""),
    ):
        place = tmp_path / "devices" / parent / name
        place.mkdir(parents=True)
        (place / "dev").write_text(f"{device}\n")
        if parent:
            (place / "partition").write_text("1\n")
        (block / device).symlink_to(os.path.relpath(place, block))
    return str(tmp_path)


def behind(sys, text, *paths):
    return Disks(mountinfo.parse(text), sys).behind(paths)


def test_a_partition_is_its_disk(sys):
    assert behind(sys, ROOT, "/usr", "/opt/x") == ("8:0",)


def test_a_mapped_device_is_limited_itself(sys):
    assert behind(sys, ROOT + "21 20 253:0 / /opt rw - xfs /dev/mapper/a rw\n", "/opt/x") == ("253:0",)


def test_what_is_mounted_below_a_path_counts_with_it(sys):
    text = ROOT + "21 20 8:16 / /usr/local rw - ext4 /dev/sdb rw\n"

    assert behind(sys, text, "/usr") == ("8:0", "8:16")
    assert behind(sys, text, "/usr/locale") == ("8:0",)
    assert behind(sys, text, "/usr/local/bin") == ("8:16",)


def test_the_last_mount_at_a_place_is_the_one_that_is_seen(sys):
    assert "8:16" in behind(sys, ROOT + "21 20 8:16 / / rw - ext4 /dev/sdb rw\n", "/usr")


def test_memory_needs_no_disk(sys):
    text = ROOT + "21 20 0:30 / /run rw - tmpfs tmpfs rw\n22 20 0:31 / /proc rw - proc proc rw\n"

    assert behind(sys, text, "/run", "/proc") == ()


def test_an_overlay_is_on_the_disks_of_its_layers(sys, tmp_path):
    (upper := tmp_path / "upper").mkdir()
    (lower := tmp_path / "lower").mkdir()
    text = ROOT + (
        f"21 20 8:16 / {lower} rw - ext4 /dev/sdb rw\n"
        f"22 20 0:40 / /over rw - overlay overlay rw,lowerdir={lower},upperdir={upper},workdir=/w\n"
    )

    assert behind(sys, text, "/over/x") == ("8:0", "8:16")


@pytest.mark.parametrize(
    ("mount", "why"),
    [
        ("0:40 / /x rw - nfs host:/export rw", r"it is on nfs \(host:/export\), which is no disk"),
        ("0:40 / /x rw - 9p host rw", "it is on 9p"),
        ("0:40 / /x rw - zfs pool/x rw", "it is on zfs"),
        ("0:40 / /x rw - overlay overlay rw,lowerdir=/nowhere/lower", "the layer /nowhere/lower of its overlay is not"),
        ("0:40 / /x rw - btrfs /dev/nonesuch rw", "/dev/nonesuch cannot be looked at"),
        ("0:40 / /x rw - btrfs /dev/null rw", "/dev/null is no disk"),
        ("9:9 / /x rw - ext4 /dev/sdz rw", "device 9:9 is not in"),
    ],
)
def test_what_cannot_be_limited_is_named_with_its_reason(sys, mount, why):
    with pytest.raises(NoDisk, match=why):
        behind(sys, f"{ROOT}21 20 {mount}\n", "/x/y")


def test_a_path_in_no_mount_is_refused(sys):
    with pytest.raises(NoDisk, match="in no mount that is seen from here"):
        behind(sys, "21 20 8:16 / /other rw - ext4 /dev/sdb rw\n", "/usr")


@pytest.mark.needs_root
def test_the_disk_of_this_host_is_found_by_its_number(tmp_path):
    (directory := tmp_path / "disk").mkdir()
    with mounted_disk(directory) as disk:
        found = Disks.of_host().behind([str(directory)])

    assert found == (disk.device,)


@pytest.mark.needs_root
def test_a_btrfs_is_on_all_its_disks(tmp_path, sys):
    node = tmp_path / "node"
    os.mknod(node, 0o60600, os.makedev(8, 1))
    members = Path(sys, "fs/btrfs/uuid/devices")
    members.mkdir(parents=True)
    for name, device in (("sda1", "8:1"), ("dm-0", "253:0")):
        (members / name).mkdir()
        (members / name / "dev").write_text(f"{device}\n")

    assert behind(sys, f"{ROOT}21 20 0:40 /sub /x rw - btrfs {node} rw\n", "/x") == ("253:0", "8:0")
