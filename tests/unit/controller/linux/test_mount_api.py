import errno
import os
from pathlib import Path

import pytest

from controller.linux import mount_api, mountinfo, namespaces, user_namespace
from controller.linux.libc import SyscallError
from controller.linux.mount_api import MountAttribute
from controller.linux.namespaces import LinuxNamespace
from support.in_child import in_own_mounts

pytestmark = pytest.mark.needs_root

NOSUID = MountAttribute.NOSUID


def mounts():
    return {entry.mount_point: entry for entry in mountinfo.parse(Path("/proc/self/mountinfo").read_text())}


def mount_tmpfs(target, **options):
    with mount_api.new_filesystem("tmpfs", options, NOSUID) as tree:
        mount_api.attach(tree, target)


def test_a_new_filesystem_has_its_options_and_attributes(tmp_path):
    def body():
        mount_tmpfs(tmp_path, size="1m", mode="750")
        return mounts()[str(tmp_path)], tmp_path.stat().st_mode & 0o777

    entry, mode = in_own_mounts(body)
    assert (entry.filesystem, mode) == ("tmpfs", 0o750)
    assert "nosuid" in entry.options
    assert "size=1024k" in entry.super_options


def test_an_option_the_filesystem_refuses_is_explained_in_the_kernels_words(tmp_path):
    with pytest.raises(SyscallError, match=r"cannot make a new tmpfs with size=much: EINVAL .*Bad value for 'size'"):
        mount_api.new_filesystem("tmpfs", {"size": "much"}, NOSUID)


def test_a_filesystem_that_does_not_exist_is_named():
    with pytest.raises(SyscallError, match="cannot make a new nofs: ENODEV"):
        mount_api.new_filesystem("nofs", {}, NOSUID)


def test_a_flag_option_takes_no_value(tmp_path):
    def body():
        with mount_api.new_filesystem("tmpfs", {"noswap": ""}, NOSUID) as tree:
            mount_api.attach(tree, tmp_path)
        return mounts()[str(tmp_path)].super_options

    assert "noswap" in in_own_mounts(body)


def test_what_was_never_attached_is_seen_by_nobody_and_goes_with_its_descriptor(tmp_path):
    def body():
        before = mounts().keys()
        tree = mount_api.clone_tree(tmp_path)
        seen = mounts().keys() - before
        tree.close()
        tree.close()
        return seen, tree.fd

    assert in_own_mounts(body) == (set(), -1)


def test_a_copy_is_of_the_tree_or_of_its_top_alone(tmp_path):
    source, deep, flat = (tmp_path / name for name in ("source", "deep", "flat"))
    for directory in (source / "sub", deep, flat):
        directory.mkdir(parents=True)

    def body():
        mount_tmpfs(source / "sub")
        (source / "sub" / "file").touch()
        for target, recursive in ((deep, True), (flat, False)):
            with mount_api.clone_tree(source, recursive=recursive) as tree:
                mount_api.attach(tree, target)
        return (deep / "sub" / "file").exists(), (flat / "sub" / "file").exists()

    assert in_own_mounts(body) == (True, False)


def test_a_mount_goes_from_descriptor_to_descriptor_without_a_path(tmp_path):
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "file").write_text("here")
    (tmp_path / "target").mkdir()

    def body():
        source = os.open(tmp_path / "source", os.O_PATH)
        target = os.open(tmp_path / "target", os.O_PATH)
        with mount_api.clone_from_fd(source, "the source") as tree:
            mount_api.attach_to_fd(tree, target)
        return (tmp_path / "target" / "file").read_text()

    assert in_own_mounts(body) == "here"


def test_paths_may_be_relative_to_a_directory(tmp_path):
    (tmp_path / "source").mkdir()
    (tmp_path / "target").mkdir()

    def body():
        directory = os.open(tmp_path, os.O_PATH)
        with mount_api.clone_tree("source", directory_fd=directory) as tree:
            mount_api.attach(tree, "target", directory_fd=directory)
        return str(tmp_path / "target") in mounts()

    assert in_own_mounts(body)


def test_a_link_is_not_followed_to_mount_somewhere_else(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")

    def body():
        with mount_api.new_filesystem("tmpfs", {}, NOSUID) as tree, pytest.raises(SyscallError) as refused:
            mount_api.attach(tree, tmp_path / "link")
        return refused.value.errno, str(tmp_path / "real") in mounts()

    number, mounted = in_own_mounts(body)
    assert number in (errno.ELOOP, errno.EINVAL, errno.ENOTDIR)
    assert not mounted


def test_attributes_are_set_and_cleared(tmp_path):
    def body():
        with mount_api.clone_tree(tmp_path) as tree:
            mount_api.set_attributes(tree, MountAttribute.NODEV | MountAttribute.NOEXEC | MountAttribute.NOATIME)
            mount_api.set_attributes(tree, MountAttribute.RDONLY, clear=MountAttribute.NOEXEC)
            mount_api.attach(tree, tmp_path)
        return mounts()[str(tmp_path)].options

    options = in_own_mounts(body)
    assert {"ro", "nodev", "noatime"} <= set(options)
    assert "noexec" not in options


def test_a_private_tree_neither_sends_nor_receives_mounts():
    assert {entry.propagation for entry in in_own_mounts(mounts).values()} == {()}


def test_the_root_is_exchanged_and_the_old_one_let_go(tmp_path):
    def body():
        mount_tmpfs(tmp_path)
        (tmp_path / "only").touch()
        os.chdir(tmp_path)
        mount_api.pivot_root(".", ".")
        mount_api.unmount(".", lazy=True)
        os.chdir("/")
        return os.listdir("/")

    assert in_own_mounts(body) == ["only"]


def test_a_mount_in_use_is_unmounted_only_lazily(tmp_path):
    def body():
        mount_tmpfs(tmp_path)
        os.chdir(tmp_path)
        with pytest.raises(SyscallError, match="EBUSY"):
            mount_api.unmount(str(tmp_path), lazy=False)
        mount_api.unmount(str(tmp_path), lazy=True)
        return str(tmp_path) in mounts()

    assert in_own_mounts(body) is False


def test_owners_are_shown_as_the_user_namespace_maps_them(tmp_path):
    user_fd = user_namespace.create(user_namespace.IdMap(300_000))

    def body():
        with mount_api.new_filesystem("tmpfs", {}, NOSUID) as tree:
            mount_api.attach(tree, tmp_path)
        (tmp_path / "file").touch()
        (tmp_path / "mapped").mkdir()
        with mount_api.clone_tree(tmp_path) as tree:
            mount_api.map_owners(tree, user_fd)
            mount_api.attach(tree, tmp_path / "mapped")
        return (tmp_path / "mapped" / "file").stat().st_uid

    assert in_own_mounts(body) == 300_000
    os.close(user_fd)


def test_outside_its_mount_namespace_nothing_is_seen(tmp_path):
    def body():
        namespaces.unshare(LinuxNamespace.MOUNT)
        mount_tmpfs(tmp_path)
        (tmp_path / "hidden").touch()

    in_own_mounts(body)
    assert not (tmp_path / "hidden").exists()
