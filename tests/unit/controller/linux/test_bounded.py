"""Files of somebody else's are read up to a size, and only if they are files."""

import errno
import os

import pytest

from controller.linux.bounded import read_bounded


def test_a_file_is_read_whole(tmp_path):
    (tmp_path / "a").write_bytes(b"x" * 100)

    assert read_bounded(tmp_path / "a", 100) == b"x" * 100


def test_one_byte_more_is_too_much_and_none_of_it_is_kept(tmp_path):
    with (tmp_path / "a").open("wb") as file:
        file.truncate(1 << 40)

    with pytest.raises(OSError, match="larger than 100 bytes") as refused:
        read_bounded(tmp_path / "a", 100)
    assert refused.value.errno == errno.EFBIG


@pytest.mark.parametrize(
    ("make", "number"),
    [
        (lambda path: path.symlink_to("/etc/passwd"), errno.ELOOP),
        (os.mkfifo, errno.EINVAL),
        (os.mkdir, errno.EINVAL),
    ],
)
def test_what_is_no_file_is_neither_read_nor_waited_for(tmp_path, make, number):
    make(tmp_path / "a")

    with pytest.raises(OSError) as refused:
        read_bounded(tmp_path / "a")
    assert refused.value.errno == number
