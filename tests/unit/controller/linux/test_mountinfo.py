from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.linux import mountinfo
from controller.linux.mountinfo import MountEntry

HOST = r"""22 27 0:21 / /proc rw,relatime - proc proc rw
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct
41 31 0:38 / /sys/fs/cgroup/unified rw shared:4 master:2 propagate_from:1 - cgroup2 cgroup2 rw,nsdelegate
60 27 254:1 /data/with\040space /srv/tab\011and\134slash ro,noatime unbindable - ext4 /dev/disk/by-label/a\040b rw
61 27 0:50 / /empty rw - tmpfs  rw,size=4k
62 27 0:51 /a /merged rw - overlay overlay rw,lowerdir=/l\0541:/l2,upperdir=/u\043
"""


def entries():
    return {entry.mount_point: entry for entry in mountinfo.parse(HOST)}


def test_a_plain_mount_is_read_whole():
    assert entries()["/proc"] == MountEntry(
        22, 27, "0:21", "/", "/proc", ("rw", "relatime"), (), "proc", "proc", ("rw",)
    )


def test_optional_fields_are_however_many_there_are():
    assert entries()["/proc"].propagation == ()
    assert entries()["/sys/fs/cgroup/unified"].propagation == ("shared:4", "master:2", "propagate_from:1")


def test_octal_escapes_are_undone_in_every_path():
    entry = entries()["/srv/tab\tand\\slash"]

    assert (entry.root, entry.source) == ("/data/with space", "/dev/disk/by-label/a b")
    assert entries()["/merged"].super_options[-1] == "upperdir=/u#"


def test_an_empty_source_is_a_field_too():
    assert entries()["/empty"].source == ""
    assert entries()["/empty"].super_options == ("rw", "size=4k")


@pytest.mark.parametrize(
    "line", ["junk", "1 2 0:1 / /proc rw", "x 2 0:1 / /p rw - proc proc rw", "1 2 0:1 / /p rw - a"]
)
def test_what_is_no_mount_is_refused_with_the_line(line):
    with pytest.raises(ValueError, match="as a line of mountinfo") as refused:
        mountinfo.parse(line)

    assert repr(line) in str(refused.value)


def test_this_hosts_own_file_is_read():
    assert "/" in {entry.mount_point for entry in mountinfo.parse(Path("/proc/self/mountinfo").read_text())}


def escaped(path):
    return "".join(f"\\{ord(letter):03o}" if letter in " \t\n\\#" else letter for letter in path)


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_whatever_a_mount_point_is_called_it_is_read_back(name):
    line = f"1 2 0:1 / /{escaped(name)} rw - tmpfs {escaped(name)} rw"

    (entry,) = mountinfo.parse(line)

    assert (entry.mount_point, entry.source) == ("/" + name, name)
