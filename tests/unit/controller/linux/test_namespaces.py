import os
import socket

import pytest

from controller.linux import namespaces
from controller.linux.libc import SyscallError
from controller.linux.namespaces import LinuxNamespace
from support.in_child import in_child

pytestmark = pytest.mark.needs_root

FILES = {
    LinuxNamespace.MOUNT: "mnt",
    LinuxNamespace.CGROUP: "cgroup",
    LinuxNamespace.UTS: "uts",
    LinuxNamespace.IPC: "ipc",
    LinuxNamespace.USER: "user",
    LinuxNamespace.NETWORK: "net",
    LinuxNamespace.PID: "pid_for_children",
}


def identity(kind):
    return os.readlink(f"/proc/self/ns/{FILES[kind]}")


@pytest.mark.parametrize("kind", FILES, ids=lambda kind: kind.name)
def test_a_new_namespace_is_another_one_and_the_rest_stay(kind):
    def body():
        before = {each: identity(each) for each in FILES}
        namespaces.unshare(kind)
        if kind == LinuxNamespace.PID and os.fork() == 0:
            # The new one has a name only once it has a process.
            os._exit(0)
        elif kind == LinuxNamespace.PID:
            os.wait()
        return [each for each in FILES if identity(each) != before[each]]

    assert in_child(body) == [kind]


def test_a_namespace_held_by_descriptor_can_be_entered():
    before = socket.gethostname()
    child_ready, go_on = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        namespaces.unshare(LinuxNamespace.UTS)
        socket.sethostname("inside")
        os.write(child_ready[1], b".")
        os.read(go_on[0], 1)
        os._exit(0)
    os.read(child_ready[0], 1)
    fd = os.open(f"/proc/{pid}/ns/uts", os.O_RDONLY)
    os.write(go_on[1], b".")
    os.waitpid(pid, 0)

    def body():
        namespaces.enter(fd, LinuxNamespace.UTS)
        return socket.gethostname()

    assert in_child(body) == "inside"
    assert socket.gethostname() == before
    for each in (fd, *child_ready, *go_on):
        os.close(each)


def test_a_namespace_of_another_kind_is_refused():
    fd = os.open("/proc/self/ns/uts", os.O_RDONLY)

    with pytest.raises(SyscallError, match=r"cannot enter the namespaces .*NETWORK.*: EINVAL"):
        namespaces.enter(fd, LinuxNamespace.NETWORK)
    os.close(fd)
