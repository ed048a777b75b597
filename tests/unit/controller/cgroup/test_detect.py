import os
from pathlib import Path

import pytest

from controller.cgroup import choose, detect
from controller.cgroup.detect import Hierarchies
from controller.cgroup.disks import Disks
from controller.cgroup.lifecycle import CgroupError
from controller.linux import mount_api
from controller.linux.mount_api import MountAttribute
from support.in_child import in_own_mounts

V2_ONLY = "35 24 0:30 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n"
V1_EACH = "".join(
    f"{number} 31 0:{number} / /sys/fs/cgroup/{name} rw - cgroup cgroup rw,{name}\n"
    for number, name in enumerate(["cpu", "cpuacct", "cpuset", "memory", "freezer", "pids", "blkio"], 40)
)
V1_TOGETHER = (
    "40 31 0:40 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
    "41 31 0:41 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
    "42 31 0:42 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n"
    "43 31 0:43 / /sys/fs/cgroup/freezer rw - cgroup cgroup rw,freezer\n"
    "44 31 0:44 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n"
)
HYBRID = V1_EACH + "50 31 0:50 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"


def test_a_unified_host_is_version_2():
    assert detect.detect(V2_ONLY, "cpuset cpu io memory hugetlb pids rdma misc\n") == Hierarchies(
        2,
        dict.fromkeys(("memory", "cpu", "pids"), "/sys/fs/cgroup"),
        (),
        dict.fromkeys(("io", "cpuset"), "/sys/fs/cgroup"),
    )


def test_a_version_1_host_has_a_mount_for_each():
    found = detect.detect(V1_EACH)

    assert (found.version, found.missing) == (1, ())
    assert found.mounts["memory"] == "/sys/fs/cgroup/memory"
    assert set(found.mounts) == {"memory", "cpu", "cpuacct", "pids", "freezer"}
    assert found.rare == {"blkio": "/sys/fs/cgroup/blkio", "cpuset": "/sys/fs/cgroup/cpuset"}


def test_a_mount_may_hold_two():
    found = detect.detect(V1_TOGETHER)

    assert found.mounts["cpu"] == found.mounts["cpuacct"] == "/sys/fs/cgroup/cpu,cpuacct"


def test_a_hybrid_host_whose_version_2_has_nothing_to_limit_with_is_version_1():
    assert detect.detect(HYBRID, "hugetlb\n").version == 1


def test_a_hybrid_host_is_version_2_only_if_that_has_all_it_takes():
    assert detect.detect(HYBRID, "memory cpu\n").version == 1
    assert detect.detect(HYBRID, "memory cpu pids\n").version == 2


@pytest.mark.parametrize(
    "text, controllers, version, missing",
    [
        (V2_ONLY, "cpu pids", 2, ("memory",)),
        (V1_EACH.replace("pids", "gone"), "", 1, ("pids",)),
        ("", "", 1, ("memory", "cpu", "cpuacct", "pids", "freezer")),
    ],
)
def test_what_is_missing_is_named(text, controllers, version, missing):
    found = detect.detect(text, controllers)

    assert (found.version, found.missing) == (version, missing)


@pytest.mark.parametrize(
    "hierarchies, message",
    [
        (detect.detect(V2_ONLY, "cpu pids"), r"cgroup v2 has no memory here\): .*cgroup_no_v1=all"),
        (detect.detect(V1_EACH.replace("memory", "gone")), r"cgroup v1 has no memory here\): .*cgroup_enable=memory"),
    ],
)
def test_a_host_that_could_not_enforce_a_limit_is_refused_with_what_to_do(hierarchies, message):
    with pytest.raises(CgroupError, match=message):
        choose.open_lifecycle(hierarchies, "runwright")


def test_this_host_is_one_of_the_two():
    found = choose.hierarchies_of_host()

    assert found.missing == ()
    assert all(Path(mount).is_dir() for mount in found.mounts.values())


@pytest.mark.needs_root
def test_a_mount_whose_name_has_a_carriage_return_is_in_no_ones_way(tmp_path):
    odd = os.fsencode(tmp_path / "a") + b"\rb\xe9"
    os.mkdir(odd)

    def body():
        with mount_api.new_filesystem("tmpfs", {"size": "4096"}, MountAttribute.NODEV) as tree:
            mount_api.attach(tree, Path(os.fsdecode(odd)))
        return choose.hierarchies_of_host(), len(Disks.of_host().behind([os.fsdecode(odd)]))

    assert in_own_mounts(body) == (choose.hierarchies_of_host(), 0)
