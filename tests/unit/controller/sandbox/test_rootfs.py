"""Finding and making places inside a root that somebody else filled."""

import errno
import os

import pytest

from controller.linux import mount_api
from controller.linux.mount_api import MountAttribute
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
