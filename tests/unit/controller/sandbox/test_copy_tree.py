"""Copying what a user handed in: all of it, nothing but it, and never through a link."""

import errno
import os

import pytest

from controller.sandbox.copy_tree import copy_files, copy_tree
from controller.sandbox.spec import GivenFile


@pytest.fixture
def trees(tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    target.mkdir()
    return source, target


def copy(source, target):
    source_fd, target_fd = os.open(source, os.O_RDONLY), os.open(target, os.O_RDONLY)
    try:
        copy_tree(source_fd, target_fd, os.getuid(), os.getgid())
    finally:
        os.close(source_fd)
        os.close(target_fd)


def test_files_and_directories_are_copied_with_their_modes(trees):
    source, target = trees
    (source / "a" / "b").mkdir(parents=True)
    (source / "a" / "b" / "run.sh").write_bytes(b"#!/bin/sh\n")
    (source / "a" / "b" / "run.sh").chmod(0o750)
    (source / "a").chmod(0o711)

    copy(source, target)

    assert (target / "a" / "b" / "run.sh").read_bytes() == b"#!/bin/sh\n"
    assert (target / "a" / "b" / "run.sh").stat().st_mode & 0o7777 == 0o750
    assert (target / "a").stat().st_mode & 0o7777 == 0o711


def test_a_file_larger_than_one_piece_is_copied_whole(trees):
    source, target = trees
    content = os.urandom(3 * (1 << 20) + 17)
    (source / "big").write_bytes(content)

    copy(source, target)

    assert (target / "big").read_bytes() == content


def test_setuid_is_left_behind(trees):
    source, target = trees
    (source / "su").touch()
    (source / "su").chmod(0o6755)

    copy(source, target)

    assert (target / "su").stat().st_mode & 0o7777 == 0o755


def test_a_link_is_copied_as_a_link_and_not_followed(trees):
    source, target = trees
    (source / "shadow").symlink_to("/etc/shadow")
    (source / "up").symlink_to("../../..")

    copy(source, target)

    assert os.readlink(target / "shadow") == "/etc/shadow"
    assert os.readlink(target / "up") == "../../.."


def test_a_linked_directory_is_not_walked_into(trees, tmp_path):
    source, target = trees
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").touch()
    (source / "door").symlink_to(outside)

    copy(source, target)

    assert (target / "door").is_symlink()


@pytest.mark.parametrize("where", ["", "deep"])
def test_what_is_no_file_is_refused_by_name(trees, where):
    source, target = trees
    (source / where).mkdir(exist_ok=True)
    os.mkfifo(source / where / "pipe")

    with pytest.raises(OSError, match="no file, directory or symbolic link") as caught:
        copy(source, target)

    assert (caught.value.errno, caught.value.filename) == (errno.EINVAL, "pipe")


def test_a_link_waiting_at_the_target_is_not_written_through(trees, tmp_path):
    source, target = trees
    (source / "file").write_text("new")
    victim = tmp_path / "victim"
    victim.write_text("old")
    (target / "file").symlink_to(victim)

    with pytest.raises(FileExistsError):
        copy(source, target)

    assert victim.read_text() == "old"


def give(source, target, *files):
    source_fd, target_fd = os.open(source, os.O_RDONLY), os.open(target, os.O_RDONLY)
    try:
        copy_files(source_fd, target_fd, files, os.getuid(), os.getgid())
    finally:
        os.close(source_fd)
        os.close(target_fd)


def test_one_content_may_be_several_files_of_different_modes(trees):
    source, target = trees
    (source / "content").write_bytes(b"x" * 100_000)
    (source / "content").chmod(0o400)
    (target / "sub").mkdir()

    give(source, target, GivenFile("content", "a", 0o644), GivenFile("content", "sub/b", 0o6755))

    assert (target / "a").read_bytes() == (target / "sub" / "b").read_bytes() == b"x" * 100_000
    assert [(target / name).stat().st_mode & 0o7777 for name in ("a", "sub/b")] == [0o644, 0o755]


def test_no_content_is_put_behind_a_link_that_is_in_the_way(trees, tmp_path):
    source, target = trees
    (source / "content").write_bytes(b"x")
    (tmp_path / "elsewhere").mkdir()
    (target / "sub").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(OSError, check=lambda error: error.errno == errno.ELOOP and error.filename == "sub/a"):
        give(source, target, GivenFile("content", "sub/a", 0o644))
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_no_content_takes_the_place_of_another_file(trees):
    source, target = trees
    (source / "content").write_bytes(b"x")
    (target / "a").write_bytes(b"first")

    with pytest.raises(OSError, check=lambda error: error.errno == errno.EEXIST):
        give(source, target, GivenFile("content", "a", 0o644))
    assert (target / "a").read_bytes() == b"first"


def test_holes_stay_holes(trees):
    source, target = trees
    with (source / "content").open("wb") as file:
        file.seek(64 << 20)
        file.write(b"end")
        file.truncate(128 << 20)

    give(source, target, GivenFile("content", "a", 0o644))

    found = (target / "a").stat()
    assert (found.st_size, found.st_blocks * 512 < 1 << 20) == (128 << 20, True)
    with (target / "a").open("rb") as file:
        file.seek(64 << 20)
        assert file.read(4) == b"end\0"
