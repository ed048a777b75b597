import errno
import os

import pytest

from controller.linux import mount_api
from controller.linux.mount_api import MountAttribute
from controller.sandbox import masks
from support.in_child import in_own_mounts

pytestmark = pytest.mark.needs_root


def hidden(root, paths, body):
    """Return what `body` sees in a root of a few files once `paths` are hidden."""

    def in_a_root():
        with mount_api.new_filesystem("tmpfs", {"size": "1048576"}, MountAttribute.NOSUID) as tree:
            mount_api.attach(tree, root)
        for name in ("aside", "full"):
            (root / name).mkdir()
        (root / "secret").write_text("secret")
        (root / "full/inside").write_text("inside")
        root_fd = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        masks.hide(root_fd, "/", frozenset(paths), "/aside")
        return body()

    return in_own_mounts(in_a_root)


def test_files_and_directories_look_empty_and_cannot_be_written(tmp_path):
    def body():
        seen = [(tmp_path / "secret").read_text(), os.listdir(tmp_path / "full")]
        for path in (tmp_path / "secret", tmp_path / "full/new"):
            try:
                path.write_text("x")
                seen.append("written")
            except OSError as error:
                seen.append(error.errno)
        return seen

    assert hidden(tmp_path, ("secret", "full"), body) == ["", [], errno.EROFS, errno.ENOENT]


def test_a_mask_is_no_device_and_has_no_rights(tmp_path):
    def body():
        flags = os.statvfs(tmp_path / "secret").f_flag
        return os.stat(tmp_path / "secret").st_rdev, flags & 0xF

    assert hidden(tmp_path, ("secret",), body) == (0, os.ST_RDONLY | os.ST_NOSUID | os.ST_NODEV | os.ST_NOEXEC)


def test_what_masks_are_made_of_has_no_name_left(tmp_path):
    assert hidden(tmp_path, ("secret", "full"), lambda: os.listdir(tmp_path / "aside")) == []


def test_what_is_not_there_needs_no_mask_and_what_is_elsewhere_is_not_meant(tmp_path):
    def body():
        return (tmp_path / "full/inside").read_text(), sorted(path.name for path in tmp_path.iterdir())

    assert hidden(tmp_path, ("nothing", "inside"), body) == ("inside", ["aside", "full", "secret"])


def test_a_link_in_place_of_what_is_to_be_hidden_is_refused(tmp_path):
    def body():
        (tmp_path / "link").symlink_to("secret")
        root_fd = os.open(tmp_path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            masks.hide(root_fd, "/", frozenset({"link"}), "/aside")
        except OSError as error:
            return error.errno, str(error)
        return None

    number, message = hidden(tmp_path, (), body)

    assert number == errno.ELOOP
    assert "link in / is a link" in message
