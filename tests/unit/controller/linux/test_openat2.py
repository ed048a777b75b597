import errno
import os

import pytest

from controller.linux import openat2
from controller.linux.libc import SyscallError
from controller.linux.openat2 import Resolve


@pytest.fixture
def root(tmp_path):
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir" / "file").write_text("inside")
    fd = os.open(tmp_path, os.O_PATH)
    yield fd
    os.close(fd)


def text_of(fd):
    with os.fdopen(fd) as stream:
        return stream.read()


def test_a_path_is_opened_from_the_root(root):
    assert text_of(openat2.open_in_root(root, "dir/file", os.O_RDONLY)) == "inside"
    assert text_of(openat2.open_in_root(root, "/dir/file", os.O_RDONLY)) == "inside"


def test_what_is_opened_is_closed_on_exec(root):
    fd = openat2.open_in_root(root, "dir", os.O_PATH)

    assert not os.get_inheritable(fd)
    os.close(fd)


def test_a_file_can_be_made_with_its_mode(root, tmp_path):
    os.close(openat2.open_in_root(root, "dir/new", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o640))

    assert (tmp_path / "dir" / "new").stat().st_mode & 0o777 == 0o640


def test_what_is_not_there_is_named(root):
    with pytest.raises(SyscallError, match="cannot open dir/nothing in its root: ENOENT"):
        openat2.open_in_root(root, "dir/nothing", os.O_RDONLY)


def test_links_can_be_ruled_out(root, tmp_path):
    (tmp_path / "link").symlink_to("dir")

    with pytest.raises(SyscallError) as refused:
        openat2.open_in_root(root, "link/file", os.O_RDONLY, resolve=Resolve.BENEATH | Resolve.NO_SYMLINKS)

    assert refused.value.errno == errno.ELOOP
