"""Carrying out of a root: what is moved, what it becomes, and what is refused."""

import os
import stat
from pathlib import Path

import pytest

from controller.engine.errors import TerminalError
from controller.runtime.build import carry


def everything(path: str) -> bool:
    return True


def nothing(path: str) -> bool:
    return False


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root/usr/bin").mkdir(parents=True)
    (tmp_path / "tree").mkdir()
    return tmp_path / "root"


def test_only_what_is_wanted_is_carried_and_the_rest_stays(root, tmp_path):
    (root / "usr/bin/sh").write_text("sh")
    (root / "usr/bin/apt").write_text("apt")

    count = carry.carry(root, tmp_path / "tree", lambda path: path == "usr/bin/sh", nothing)

    assert count == 1
    assert (tmp_path / "tree/usr/bin/sh").read_text() == "sh"
    assert os.listdir(root / "usr/bin") == ["apt"]


def test_modes_become_plain_and_nothing_stays_setuid(root, tmp_path):
    for name, mode in (("su", 0o4755), ("secret", 0o600), ("odd", 0o111)):
        (root / "usr/bin" / name).write_text(name)
        (root / "usr/bin" / name).chmod(mode)

    carry.carry(root, tmp_path / "tree", everything, nothing)

    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "tree/usr/bin").iterdir()}
    assert modes == {"su": 0o755, "secret": 0o644, "odd": 0o755}


def test_what_was_generated_has_the_same_time_each_time_and_the_rest_keeps_its_own(root, tmp_path):
    for name in ("packaged", "made"):
        (root / name).write_text(name)
        os.utime(root / name, (1234567890, 1234567890))

    carry.carry(root, tmp_path / "tree", everything, lambda path: path == "made")

    assert (tmp_path / "tree/packaged").stat().st_mtime == 1234567890
    assert (tmp_path / "tree/made").stat().st_mtime == carry.FIXED_TIME


def test_a_link_is_carried_as_a_link_and_never_followed(root, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("of the host")
    (root / "usr/lib").symlink_to("bin")

    carry.carry(root, tmp_path / "tree", everything, nothing)

    assert os.readlink(tmp_path / "tree/usr/lib") == "bin"
    assert (outside / "file").read_text() == "of the host"


def test_a_directory_that_became_a_link_to_the_host_is_not_walked_into(root, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "passwd").write_text("of the host")
    (root / "etc").symlink_to(outside)  # Absolute: inside, it leads to somewhere in the tree.

    carry.carry(root, tmp_path / "tree", everything, nothing)

    assert (outside / "passwd").read_text() == "of the host"
    assert os.readlink(tmp_path / "tree/etc") == str(outside)


def test_a_link_that_leaves_the_tree_is_refused(root, tmp_path):
    (root / "up").symlink_to("../../../etc/passwd")

    with pytest.raises(TerminalError, match=r"isolated/up -> .* leads out of the tree"):
        carry.carry(root, tmp_path / "tree", everything, nothing)


def test_a_pipe_is_refused_with_its_name(root, tmp_path):
    os.mkfifo(root / "usr/bin/pipe")

    with pytest.raises(TerminalError, match="/usr/bin/pipe out of the build: it is no file, directory or link"):
        carry.carry(root, tmp_path / "tree", everything, nothing)


def test_what_a_step_made_or_changed_is_known_even_if_it_set_the_time_back(root):
    for name in ("kept", "changed"):
        (root / name).write_text("before")
    before = carry.look(root)
    (root / "changed").write_text("afterw")
    os.utime(root / "changed", ns=((root / "kept").stat().st_mtime_ns,) * 2)
    (root / "new").mkdir()
    (root / "new/file").write_text("")

    assert carry.changed(before, carry.look(root)) == {"changed", "new", "new/file"}


def test_a_finished_tree_is_settled_after_a_command_worked_in_it(root):
    (root / "kept").write_text("")
    (root / "kept").chmod(0o600)
    before = carry.look(root)
    (root / "cache").write_text("")
    (root / "cache").chmod(0o4700)

    carry.settle(root, before)

    assert stat.S_IMODE((root / "cache").stat().st_mode) == 0o755
    assert (root / "cache").stat().st_mtime == carry.FIXED_TIME
    assert stat.S_IMODE((root / "kept").stat().st_mode) == 0o600


@pytest.mark.parametrize("link", ["usr", "usr/local", "usr/local/bin"])
def test_a_link_where_something_is_to_be_written_is_refused(tmp_path, link):
    (tmp_path / link).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / link).symlink_to("/usr")

    with pytest.raises(TerminalError, match=f"/{link} is a link: leave it a directory"):
        carry.refuse_links(tmp_path, ("usr/local/bin",))


def test_what_is_not_there_is_no_link(tmp_path):
    carry.refuse_links(tmp_path, ("usr/local/bin", "etc"))

    assert not any(tmp_path.iterdir())
