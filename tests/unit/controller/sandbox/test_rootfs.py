"""Finding and making places inside a root that somebody else filled."""

import errno
import os

import pytest

from controller.linux import mount_api, user_namespace
from controller.linux.mount_api import MountAttribute
from controller.linux.user_namespace import IdMap
from controller.sandbox import rootfs
from support.in_child import in_own_mounts


@pytest.fixture
def root(tmp_path):
    fd = os.open(tmp_path, os.O_RDONLY)
    yield fd
    os.close(fd)


def test_missing_directories_are_made_on_the_way(root, tmp_path):
    os.close(rootfs.open_directory(root, "/usr/local/lib"))

    assert (tmp_path / "usr/local/lib").is_dir()


def test_what_is_there_is_opened_and_left_as_it_is(root, tmp_path):
    (tmp_path / "etc").mkdir(mode=0o700)

    os.close(rootfs.open_directory(root, "/etc"))

    assert (tmp_path / "etc").stat().st_mode & 0o777 == 0o700


def test_a_link_out_of_the_root_leads_back_into_it(root, tmp_path):
    (tmp_path / "etc").symlink_to("/../../../up")
    (tmp_path / "up").mkdir()

    os.close(rootfs.open_directory(root, "/etc/conf"))

    assert (tmp_path / "up/conf").is_dir()
    assert not os.path.exists("/up")


def test_an_absolute_link_means_the_root_it_lies_in(root, tmp_path):
    (tmp_path / "bin").symlink_to("/usr/bin")

    with pytest.raises(FileExistsError):  # It dangles: nothing is made behind a link that leads nowhere.
        rootfs.open_directory(root, "/bin")
    assert not (tmp_path / "usr").exists()


def test_a_mount_point_is_made_empty(root, tmp_path):
    assert rootfs.make_mount_point(root, "resolv.conf", "/resolv.conf", directory=False)
    assert rootfs.make_mount_point(root, "usr", "/usr", directory=True)

    assert (tmp_path / "resolv.conf").read_bytes() == b""
    assert (tmp_path / "usr").is_dir()


def test_what_is_there_is_no_new_mount_point(root, tmp_path):
    (tmp_path / "link").symlink_to("/etc/shadow")

    assert not rootfs.make_mount_point(root, "link", "/link", directory=False)
    assert os.readlink(tmp_path / "link") == "/etc/shadow"


@pytest.mark.needs_root
def test_what_a_read_only_mount_lacks_is_named_with_the_fix(tmp_path):
    def body():
        attributes = MountAttribute.RDONLY
        with mount_api.new_filesystem("tmpfs", {}, attributes) as tree, pytest.raises(OSError) as caught:
            rootfs.open_directory(tree.fd, "/usr/lib")
        return caught.value.errno, caught.value.strerror

    number, message = in_own_mounts(body)
    assert number == errno.EROFS
    assert message == "cannot make /usr: it lies in a read-only mount that lacks it: add it to what is mounted"


@pytest.fixture
def owned(tmp_path):
    """A directory that is 3000's on the disk, and one in it that is the host's root's."""
    directory = tmp_path / "owned"
    (directory / "roots").mkdir(parents=True)
    os.chown(directory, 3000, 3000)
    return directory


def shown_as(directory, host_uid):
    """Return `directory` as a mount that shows what is 3000's as `host_uid`'s, and nobody else's as anyone's."""
    tree = mount_api.clone_tree(directory)
    owners_fd = user_namespace.create(IdMap(host_uid, 1, 3000, 3000))
    try:
        mount_api.map_owners(tree, owners_fd)
    finally:
        os.close(owners_fd)
    return tree


@pytest.mark.needs_root
def test_what_is_made_where_the_hosts_root_is_nobody_belongs_to_whom_the_directory_does(owned):
    def body():
        with shown_as(owned, 7000) as tree:
            os.close(rootfs.open_directory(tree.fd, "/a/b"))
            made = rootfs.make_mount_point(tree.fd, "file", "/file", directory=False)
            seen = os.stat("a/b", dir_fd=tree.fd)
        return made, seen.st_uid, os.geteuid(), os.access("/proc/1/environ", os.R_OK)

    assert in_own_mounts(body) == (True, 7000, 0, True)
    assert [(owned / path).stat().st_uid for path in ("a", "a/b", "file")] == [3000] * 3


@pytest.mark.needs_root
@pytest.mark.parametrize(("mode", "where"), [(0o555, "/x"), (0o755, "/roots/x")])
def test_it_is_made_with_the_rights_of_that_one_and_no_others(owned, mode, where):
    def body():
        with shown_as(owned, 7000) as tree, pytest.raises(OSError) as caught:
            os.close(rootfs.open_directory(tree.fd, where))
        return caught.value.strerror

    owned.chmod(mode)

    assert in_own_mounts(body).startswith(f"cannot make {where}: ")
    assert not (owned / where[1:]).exists()
