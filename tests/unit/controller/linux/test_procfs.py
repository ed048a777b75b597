import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.linux import procfs
from controller.linux.procfs import CgroupMembership, Stat

STAT_TAIL = (
    "S 1 4242 4242 0 -1 4194560 1090 0 0 0 3 1 0 0 20 0 1 0 8315 5435392 909 18446744073709551615 "
    "1 1 0 0 0 0 0 4096 134433281 0 0 0 17 1 0 0 0 0 0 0 0 0 0 0 0 0 0\n"
)
STATUS = """Name:\tpython3
Umask:\t0022
State:\tS (sleeping)
Tgid:\t4242
Pid:\t4242
PPid:\t1
Uid:\t1000\t1001\t1002\t1003
Gid:\t100\t100\t100\t100
NSpid:\t4242\t7\t1
Threads:\t3
CapInh:\t0000000000000000
CapPrm:\t0000000000000000
CapEff:\t00000000a80425fb
CapBnd:\t000001ffffffffff
NoNewPrivs:\t1
Seccomp:\t2
Seccomp_filters:\t2
"""


def test_stat_is_read():
    assert procfs.parse_stat(f"4242 (bash) {STAT_TAIL}") == Stat(4242, "bash", "S", 1, 4194560, 8315)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_command_may_be_called_anything(command):
    assert procfs.parse_stat(f"4242 ({command}) {STAT_TAIL}") == Stat(4242, command, "S", 1, 4194560, 8315)


@pytest.mark.parametrize("text", ["", "4242 (bash) S 1", "4242 bash S 1 2 3", ") "])
def test_what_is_no_stat_is_refused(text):
    with pytest.raises(ValueError, match="as /proc/PID/stat: fields are missing"):
        procfs.parse_stat(text)


def test_status_is_read():
    status = procfs.parse_status(STATUS)

    assert status.pids == (4242, 7, 1)
    assert (status.uids, status.gids[0], status.threads) == ((1000, 1001, 1002, 1003), 100, 3)
    assert (status.effective_capabilities, status.bounding_capabilities) == (0xA80425FB, 0x1FFFFFFFFFF)
    assert (status.no_new_privs, status.seccomp_filters) == (True, 2)


def test_a_status_with_a_line_missing_says_which():
    with pytest.raises(ValueError, match="it has no line CapBnd"):
        procfs.parse_status(STATUS.replace("CapBnd", "Other"))


def test_our_own_status_is_read():
    status = procfs.parse_status(Path("/proc/self/status").read_text())

    assert status.pids[-1] == os.getpid()
    assert status.uids[0] == os.getuid()


def test_cgroup_memberships_of_both_versions_are_read():
    text = "9:name=systemd:/\n4:cpu,cpuacct:/a:b/c\n0::/user.slice\n"

    assert procfs.parse_cgroup(text) == (
        CgroupMembership(9, ("name=systemd",), "/"),
        CgroupMembership(4, ("cpu", "cpuacct"), "/a:b/c"),
        CgroupMembership(0, (), "/user.slice"),
    )


def test_what_is_no_membership_is_refused():
    with pytest.raises(ValueError, match="it is not ID:CONTROLLERS:PATH"):
        procfs.parse_cgroup("4:memory\n")
