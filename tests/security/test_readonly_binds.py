"""A tree given read-only stays so: below submounts, through descriptors, and from inside a user namespace.

The remount of the older mount(2) reached only the top mount (CVE-2023-25809 and its kin in runc).
"""

import errno
import os

import pytest

from controller.linux import mount_api, namespaces, user_namespace
from controller.linux.libc import SyscallError
from controller.linux.mount_api import MountAttribute
from controller.linux.namespaces import LinuxNamespace
from support.in_child import in_own_mounts

pytestmark = pytest.mark.needs_root

READONLY = MountAttribute.RDONLY | MountAttribute.NOSUID | MountAttribute.NODEV


@pytest.fixture
def trees(tmp_path):
    tmp_path.chmod(0o755)
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "sub" / "deeper").mkdir(parents=True)
    target.mkdir()
    return source, target


def bind_with_submount(source, target):
    """Mount a tmpfs under `source`, and `source` read-only at `target`."""
    with mount_api.new_filesystem("tmpfs", {"mode": "777"}, MountAttribute.NOSUID) as tree:
        mount_api.attach(tree, source / "sub")
    (source / "sub" / "file").touch()
    with mount_api.clone_tree(source) as tree:
        mount_api.set_attributes(tree, READONLY)
        mount_api.attach(tree, target)


@pytest.mark.invariant("X2")
def test_a_readonly_bind_is_readonly_all_the_way_down(trees):
    source, target = trees

    def body():
        bind_with_submount(source, target)
        refused = []
        for path in (target / "new", target / "sub" / "new"):
            with pytest.raises(OSError) as error:
                path.touch()
            refused.append(error.value.errno)
        (source / "sub" / "still writable").touch()
        return refused

    assert in_own_mounts(body) == [errno.EROFS, errno.EROFS]


def test_a_descriptor_opened_before_writes_nothing_through_the_mount(trees):
    source, target = trees

    def body():
        bind_with_submount(source, target)
        directory = os.open(target / "sub", os.O_PATH)
        with pytest.raises(OSError) as error:
            os.open("file", os.O_WRONLY, dir_fd=directory)
        return error.value.errno

    assert in_own_mounts(body) == errno.EROFS


def test_root_of_a_user_namespace_cannot_make_it_writable_again(trees):
    source, target = trees
    user_fd = user_namespace.create(user_namespace.IdMap(300_000))

    def body():
        bind_with_submount(source, target)
        os.chdir(target.parent)
        namespaces.enter(user_fd, LinuxNamespace.USER)
        os.setgroups([])
        os.setresgid(0, 0, 0)
        os.setresuid(0, 0, 0)
        namespaces.unshare(LinuxNamespace.MOUNT)
        refused = []
        with pytest.raises(SyscallError) as copied, mount_api.clone_tree("target", recursive=False) as tree:
            mount_api.set_attributes(tree, MountAttribute(0), clear=MountAttribute.RDONLY)
        refused.append(copied.value.errno)
        with pytest.raises(SyscallError) as unmounted:
            mount_api.unmount("target/sub", lazy=True)
        refused.append(unmounted.value.errno)
        with pytest.raises(OSError) as written:
            open("target/sub/new", "w").close()
        refused.append(written.value.errno)
        return refused

    # What a more privileged namespace mounted is locked: neither changed nor taken off to see what it hides.
    # Source: mount_namespaces(7), "Restrictions on mount namespaces".
    copied, unmounted, written = in_own_mounts(body)
    assert {copied, unmounted} <= {errno.EPERM, errno.EINVAL}
    assert written == errno.EROFS
    os.close(user_fd)


def test_a_link_followed_out_of_the_tree_finds_the_readers_root_and_not_ours(trees):
    source, target = trees
    (source / "sub" / "up").symlink_to("/etc/hostname")

    def body():
        with mount_api.clone_tree(source) as tree:
            mount_api.set_attributes(tree, READONLY | MountAttribute.NOSYMFOLLOW)
            mount_api.attach(tree, target)
        with pytest.raises(OSError) as error:
            (target / "sub" / "up").read_bytes()
        return error.value.errno

    assert in_own_mounts(body) == errno.ELOOP
