"""Durable writes and renames, against the kernel."""

import errno
from pathlib import Path

import pytest

from controller.linux import disk
from controller.linux.disk import RenameFlag
from controller.linux.libc import SyscallError


def test_an_exchange_gives_each_the_name_of_the_other(tmp_path: Path):
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "x").touch()
    (tmp_path / "new").write_text("new")

    disk.rename(tmp_path / "old", tmp_path / "new", RenameFlag.EXCHANGE)

    assert (tmp_path / "new" / "x").exists()
    assert (tmp_path / "old").read_text() == "new"


def test_an_exchange_needs_both_names(tmp_path: Path):
    (tmp_path / "old").mkdir()

    with pytest.raises(SyscallError, match=r"cannot rename .*old to .*new \(EXCHANGE\): ENOENT") as caught:
        disk.rename(tmp_path / "old", tmp_path / "new", RenameFlag.EXCHANGE)
    assert caught.value.errno == errno.ENOENT


def test_a_rename_that_may_not_replace_leaves_even_an_empty_directory_alone(tmp_path: Path):
    (tmp_path / "old").mkdir()
    (tmp_path / "new").mkdir()

    with pytest.raises(SyscallError, match="EEXIST"):
        disk.rename(tmp_path / "old", tmp_path / "new", RenameFlag.NOREPLACE)
    assert (tmp_path / "old").exists()


def test_a_file_system_and_a_directory_can_be_synced(tmp_path: Path):
    (tmp_path / "file").write_text("x")
    disk.sync_file_system(tmp_path)
    disk.sync_directory(tmp_path)

    with pytest.raises(FileNotFoundError):
        disk.sync_file_system(tmp_path / "missing")
    with pytest.raises(NotADirectoryError):
        disk.sync_directory(tmp_path / "file")
