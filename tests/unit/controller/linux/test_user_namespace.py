import array
import fcntl
import os
from pathlib import Path

import pytest

from controller.linux import capabilities, namespaces, user_namespace
from controller.linux.namespaces import LinuxNamespace
from controller.linux.user_namespace import IdMap
from support.in_child import in_child

pytestmark = pytest.mark.needs_root

NS_GET_OWNER_UID = 0xB704  # Source: ioctl_ns(2).


def test_ids_inside_are_those_mapped_outside(tmp_path):
    os.chmod(tmp_path, 0o777)
    fd = user_namespace.create(IdMap(host_base=300_000, count=1000))

    def body():
        os.chdir(tmp_path)
        namespaces.enter(fd, LinuxNamespace.USER)
        os.setgroups([])
        os.setresgid(0, 0, 0)
        os.setresuid(7, 7, 7)
        Path("made").touch()
        return Path("/proc/self/uid_map").read_text().split(), Path("/proc/self/gid_map").read_text().split()

    wanted = ["0", "300000", "1000"]
    assert in_child(body) == (wanted, wanted)
    made = (tmp_path / "made").stat()
    assert (made.st_uid, made.st_gid) == (300_007, 300_000)
    os.close(fd)


def test_ids_inside_need_not_begin_with_0():
    fd = user_namespace.create(IdMap(host_base=300_000, count=10, inside_base=5_000))

    def body():
        namespaces.enter(fd, LinuxNamespace.USER)
        return Path("/proc/self/uid_map").read_text().split()

    assert in_child(body) == ["5000", "300000", "10"]
    os.close(fd)


@pytest.mark.parametrize(("wanted", "owner"), [(None, 0), (300_009, 300_009)])
def test_it_is_owned_by_who_makes_it_or_by_whom_it_is_made_for(wanted, owner):
    fd = user_namespace.create(IdMap(300_000, host_owner=wanted))
    found = array.array("I", [77])

    fcntl.ioctl(fd, NS_GET_OWNER_UID, found)
    os.close(fd)

    assert found[0] == owner


def test_one_is_made_in_a_pid_namespace_with_the_hosts_proc_too():
    def body():
        namespaces.unshare(LinuxNamespace.PID)

        def process_1():
            fd = user_namespace.create(IdMap(300_000))
            namespaces.enter(fd, LinuxNamespace.USER)
            return os.getpid(), Path("/proc/self/uid_map").read_text().split()

        return in_child(process_1)

    assert in_child(body) == (1, ["0", "300000", "65536"])


def test_neither_a_process_nor_a_descriptor_is_left():
    def body():
        before = set(os.listdir("/proc/self/fd"))
        os.close(user_namespace.create(IdMap(300_000)))
        with pytest.raises(ChildProcessError):
            os.waitpid(-1, os.WNOHANG)
        return set(os.listdir("/proc/self/fd")) == before

    assert in_child(body)


def test_a_map_of_ids_that_do_not_exist_is_refused_and_leaves_nothing():
    def body():
        before = set(os.listdir("/proc/self/fd"))
        with pytest.raises(OSError, match="Invalid argument"):
            user_namespace.create(IdMap(host_base=2**32 - 10, count=100))
        with pytest.raises(ChildProcessError):
            os.waitpid(-1, os.WNOHANG)
        return set(os.listdir("/proc/self/fd")) == before

    assert in_child(body)


def test_without_the_right_to_map_ids_it_is_refused():
    def body():
        capabilities.drop_all_except(frozenset())
        with pytest.raises(PermissionError):
            user_namespace.create(IdMap(300_000))

    in_child(body)
