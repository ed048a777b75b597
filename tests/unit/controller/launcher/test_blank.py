"""Files without a name that get one, or are not to be had."""

import os

import pytest

from controller.launcher import blank


@pytest.fixture
def directory_fd(tmp_path):
    fd = os.open(tmp_path, os.O_RDONLY)
    yield fd
    os.close(fd)


def test_a_blank_has_no_name_until_it_is_given_one(tmp_path, directory_fd):
    fd = blank.make(str(tmp_path))
    os.write(fd, b"text")
    assert os.listdir(tmp_path) == []

    assert blank.give_name(fd, "name", directory_fd)

    assert (tmp_path / "name").read_bytes() == b"text"
    os.close(fd)


def test_a_name_that_is_taken_is_kept(tmp_path, directory_fd):
    (tmp_path / "name").write_text("first")
    fd = blank.make(str(tmp_path))

    with pytest.raises(FileExistsError):
        blank.give_name(fd, "name", directory_fd)

    assert (tmp_path / "name").read_text() == "first"
    os.close(fd)


def test_a_blank_of_another_file_system_is_given_up(directory_fd, tmp_path):
    fd = blank.make("/dev/shm")

    assert not blank.give_name(fd, "name", directory_fd)

    assert os.listdir(tmp_path) == []
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_there_is_no_blank_where_there_are_no_nameless_files():
    assert blank.make("/proc") is None
    assert blank.make("/nonexistent") is None


def test_without_a_blank_there_is_nothing_to_name(directory_fd):
    assert not blank.give_name(None, "name", directory_fd)
